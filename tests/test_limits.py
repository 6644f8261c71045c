"""Token buckets, by a clock of the test's own."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolscan import config
from spoolscan.errors import ConfigError
from spoolscan.receiver.limits import (
    CONNECTIONS,
    ERRORS,
    MESSAGES,
    RECIPIENTS,
    Buckets,
    Limits,
    owner,
)
from spoolscan.receiver.policy import IPAddress
from spoolscan.receiver.rates import Rates
from spoolscan.units import Rate

NONE = Rates(None, None, None, None, None, None, None)
ALICE, BOB = ip_address("192.0.2.1"), ip_address("192.0.2.2")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    st.integers(1, 50),
    st.floats(0.5, 3600),
    st.lists(st.tuples(st.floats(0, 600), st.integers(1, 60)), max_size=60),
)
def test_within_any_time_no_more_goes_through_than_a_bucket_and_what_fell_into_it(
    count: int, seconds: float, requests: list[tuple[float, int]]
) -> None:
    buckets, now, taken = Buckets(Rate(count, seconds)), 0.0, []
    for pause, tokens in requests:
        now += pause
        if buckets.holds(ALICE, now, tokens):
            buckets.take(ALICE, now, tokens)
            taken.append((now, tokens))
    for first, (begin, _) in enumerate(taken):
        total = 0
        for when, tokens in taken[first:]:
            total += tokens
            assert total <= count + (when - begin) * count / seconds + 1e-3


@given(st.integers(1, 1000), st.floats(0.1, 86_400))
def test_a_full_bucket_gives_exactly_its_count_at_once(count: int, seconds: float) -> None:
    buckets = Buckets(Rate(count, seconds))
    for _ in range(count):
        assert buckets.holds(ALICE, 5.0)
        buckets.take(ALICE, 5.0)
    assert not buckets.holds(ALICE, 5.0)
    assert buckets.holds(BOB, 5.0)
    assert buckets.holds(ALICE, 5.0 + seconds * 1.01, count)


def test_a_table_keeps_those_it_heard_of_last_and_no_more() -> None:
    buckets = Buckets(Rate(1, 3600.0), size=100)
    for number in range(10_000):
        buckets.take(number, 0.0)
    assert len(buckets) == 100
    assert not buckets.holds(9_999, 0.0)
    assert not buckets.holds(9_900, 0.0)
    assert buckets.holds(9_899, 0.0)


def test_without_a_rate_there_is_no_limit_and_nothing_is_remembered() -> None:
    buckets = Buckets(None)
    for _ in range(1000):
        buckets.take(ALICE, 0.0)
        assert buckets.holds(ALICE, 0.0)
    assert len(buckets) == 0


def test_each_thing_has_its_limit_and_its_reply() -> None:
    clock, two = Clock(), Rate(2, 60.0)
    limits = Limits(
        replace(
            NONE, connections_per_address=two, messages_per_address=two, recipients_per_address=two
        ),
        clock,
    )
    for ask, reply in (
        (limits.connection, CONNECTIONS),
        (limits.message, MESSAGES),
        (limits.recipient, RECIPIENTS),
    ):
        assert [ask(ALICE) for _ in range(4)] == [None, None, reply, reply]
        assert ask(BOB) is None
        assert [ask(None) for _ in range(4)] == [None] * 4  # our own networks
    clock.now += 30
    assert [limits.message(ALICE) for _ in range(2)] == [None, MESSAGES]


def test_a_limit_for_all_holds_for_our_own_networks_too() -> None:
    limits = Limits(replace(NONE, messages=Rate(3, 60.0)), Clock())
    assert [limits.message(who) for who in (ALICE, None, BOB)] == [None] * 3
    assert limits.message(None) == limits.message(BOB) == MESSAGES


def test_what_is_refused_to_one_is_not_taken_from_all() -> None:
    rates = replace(NONE, messages=Rate(3, 60.0), messages_per_address=Rate(1, 60.0))
    limits = Limits(rates, Clock())
    assert [limits.message(ALICE) for _ in range(10)] == [None] + [MESSAGES] * 9
    assert [limits.message(None) for _ in range(3)] == [None, None, MESSAGES]


def test_errors_shut_an_address_out_for_a_while_and_no_other() -> None:
    clock = Clock()
    limits = Limits(replace(NONE, errors_per_address=Rate(3, 60.0)), clock)
    assert [limits.errors(ALICE, 1) for _ in range(3)] == [None, None, ERRORS]
    assert limits.connection(ALICE) == ERRORS
    assert limits.connection(BOB) is None
    assert limits.errors(None, 1000) is None
    clock.now += 21
    assert limits.connection(ALICE) is None
    assert limits.errors(ALICE, 1000) == ERRORS
    clock.now += 21  # however many there were, the bucket was no more than empty
    assert limits.connection(ALICE) is None


@pytest.mark.parametrize(
    ("peer", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        (None, None),
    ],
)
def test_an_ipv6_address_counts_as_its_64(peer: str | None, whose: str | None) -> None:
    address: IPAddress | None = ip_address(peer) if peer else None
    assert owner(address) == (ip_address(whose) if whose else None)


def test_settings_say_rates_as_a_count_in_a_time() -> None:
    path = Path("/spool/etc/spoolscan.toml")
    text = '[receiver.limits]\nmessages = "30/2m"\nerrors_per_address = "none"\n'
    limits = config.read(text, path).receiver.limits
    assert limits == replace(Rates(), messages=Rate(30, 120.0), errors_per_address=None)
    settings = config.read(text, path)
    again = config.Config(root=path, **json.loads(settings.model_dump_json(exclude={"root"})))
    assert again.receiver == settings.receiver  # as the scanner's workers get it
    for wrong in ('"0/1m"', '"10/0s"', '"10"', '"-1/1m"', '"10/1w"', "10", "true"):
        with pytest.raises(ConfigError, match=r"limits\.messages: allowed: a count in a time"):
            config.read(f"[receiver.limits]\nmessages = {wrong}\n", path)
    with pytest.raises(ConfigError, match=r"limits\.message: .*did you mean messages\?"):
        config.read('[receiver.limits]\nmessage = "1/1m"\n', path)
