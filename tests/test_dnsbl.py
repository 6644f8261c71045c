"""DNS lists and the lookups of the rules, against a name server that answers, fails, is silent."""

from __future__ import annotations

import asyncio
import ipaddress
import logging

import pytest
from dns_lists import ADDRESS, listed, settings, zone
from hypothesis import given
from hypothesis import strategies as st
from name_server import NameServer

from spoolscan.config import ZoneSettings
from spoolscan.receiver.case import Answer, Fact
from spoolscan.receiver.dnsbl import Blacklists
from spoolscan.receiver.listing import Zone, weigh
from spoolscan.receiver.lookups import Lookups
from spoolscan.receiver.memory import Memory
from spoolscan.receiver.span import parse_span

V6 = ipaddress.ip_address("2001:db8::1")
NIBBLES = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"


def score(server: NameServer, *zones: ZoneSettings, address: str = str(ADDRESS)) -> int:
    async def find() -> int:
        wanted = settings(server, *zones)
        lists = Blacklists(wanted, Lookups(wanted))
        return (await lists.listing(ipaddress.ip_address(address))).score

    return asyncio.run(find())


# -- weighing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "fits", "not_fits"),
    [
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "127.0.1.2"]),
        ("127.0.0.4-7", ["127.0.0.4", "127.0.0.7"], ["127.0.0.3", "127.0.0.8"]),
        ("127.0.0.4-127.0.1.2", ["127.0.0.255", "127.0.1.2"], ["127.0.1.3"]),
        ("127.0.1.0/24", ["127.0.1.0", "127.0.1.255"], ["127.0.2.0"]),
    ],
)
def test_a_span_of_codes(span: str, fits: list[str], not_fits: list[str]) -> None:
    it = Zone("l.example", "l", 3, (parse_span(span),))
    for code in fits:
        assert weigh([it], {"l.example": (code,)}).score == 3
    assert weigh([it], {"l.example": tuple(not_fits)}).score == 0


@pytest.mark.parametrize(
    "span", ["", "127", "10.0.0.1", "127.0.0.9-2", "127.0.0.1-128.0.0.1", "127.0.0.0/7", "a-b"]
)
def test_what_is_no_span(span: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_span(span)


Codes = st.lists(st.integers(0, 255).map(lambda last: f"127.0.0.{last}"), max_size=5)


@given(st.dictionaries(st.sampled_from("abc"), st.none() | Codes.map(tuple)))
def test_each_list_counts_once_and_none_counts_without_an_answer(
    answers: dict[str, Answer],
) -> None:
    zones = [Zone(name, name, 2, (parse_span("127.0.0.2-200"),)) for name in "abc"]
    hits = weigh(zones, answers).hits
    wanted = {
        name
        for name, codes in answers.items()
        if codes and any(2 <= int(code.rpartition(".")[2]) <= 200 for code in codes)
    }
    assert {hit.zone.name for hit in hits} == wanted
    assert len(hits) == len(wanted)


# -- asking ----------------------------------------------------------------------------------------


def test_several_lists_add_up_and_a_list_of_good_senders_takes_away() -> None:
    records = {
        **listed("a.example", "127.0.0.2"),
        **listed("b.example", "127.0.0.4", "127.0.0.9"),
        **listed("white.example", "127.0.5.3"),
    }
    with NameServer(records) as server:
        bad = (zone("a.example", 3), zone("b.example", 4, "127.0.0.9"))
        assert score(server, *bad) == 7
        assert score(server, *bad, zone("white.example", -5)) == 2
        assert score(server, zone("b.example", 1, "127.0.0.2")) == 0
        assert score(server, zone("b.example", 1, "127.0.0.4"), zone("b.example", 5)) == 6
        assert score(server, *bad, address="198.51.100.8") == 0


def test_ipv6_is_asked_for_nibble_by_nibble() -> None:
    with NameServer({f"{NIBBLES}.a.example A": ["127.0.0.2"]}) as server:
        assert score(server, zone("a.example", 3), address=str(V6)) == 3
        assert server.asked == [f"{NIBBLES}.a.example A"]


@pytest.mark.parametrize("mood", [None, "SERVFAIL"], ids=["silent", "broken"])
def test_a_list_that_does_not_answer_weighs_nothing(mood: str | None) -> None:
    with NameServer({**listed("a.example", "127.0.0.2"), "b.example": mood}) as server:
        assert score(server, zone("a.example", 3), zone("b.example", 10)) == 3


@pytest.mark.parametrize("code", ["127.255.255.254", "127.255.255.252", "192.0.2.1"])
def test_what_no_list_says_is_no_answer(code: str, caplog: pytest.LogCaptureFixture) -> None:
    with (
        NameServer(listed("secret.bl.example", code, "127.0.0.2")) as server,
        caplog.at_level(logging.WARNING, "spoolscan"),
    ):
        assert score(server, zone("secret.bl.example")) == 0
    (record,) = caplog.records
    assert "event=no-answer" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_one_question_serves_all_who_ask_and_is_kept_for_its_time() -> None:
    async def ask() -> tuple[list[Answer], int, int]:
        lookups = Lookups(settings(server))
        fact = Fact("listed", str(ADDRESS), "a.example")
        lookups.expect(fact)
        answers = await asyncio.gather(*(lookups.answer(fact) for _ in range(50)))
        first = len(server.asked)
        await lookups.answer(fact)
        return list(answers), first, len(server.asked)

    with NameServer(listed("a.example", "127.0.0.2")) as server:
        answers, first, then = asyncio.run(ask())
    assert answers == [("127.0.0.2",)] * 50
    assert (first, then) == (1, 1)


def test_that_there_was_no_answer_is_known_for_a_while_too() -> None:
    async def ask() -> list[Answer]:
        lookups = Lookups(settings(server).model_copy(update={"timeout": 0.2}))
        fact = Fact("listed", str(ADDRESS), "a.example")
        return [await lookups.answer(fact) for _ in range(20)]

    with NameServer({"example": None}) as server:
        assert asyncio.run(ask()) == [None] * 20
        assert set(server.asked) == {"7.100.51.198.a.example A"}


def test_what_is_remembered_is_bounded_in_number_and_time() -> None:
    memory: Memory[int, str] = Memory(3)
    for number in range(5):
        memory.put(number, str(number), until=10)
    assert len(memory) == 3
    assert memory.get(1, 0) is None
    assert memory.get(2, 0) == "2"
    memory.put(5, "5", until=10)
    assert memory.get(2, 9.9) == "2"
    assert memory.get(3, 0) is None
    assert memory.get(2, 10) is None
    assert len(memory) == 2


@pytest.mark.parametrize(
    ("fact", "answer"),
    [
        (Fact("exists", "mail.example"), ("MX", "A")),
        (Fact("exists", "nowhere.example"), ()),
        (Fact("exists", "broken.example"), None),
        (Fact("exists", "half.example"), ("A",)),
        (Fact("servers", "mail.example"), ("ns1.example", "ns2.example", "192.0.2.53")),
        (Fact("servers", "a.b.mail.example"), ("ns1.example", "ns2.example", "192.0.2.53")),
        (Fact("servers", "nowhere.example"), ()),
        (Fact("servers", "broken.example"), None),
        (Fact("reason", str(ADDRESS), "a.example"), ("see https://a.example/",)),
    ],
)
def test_facts(fact: Fact, answer: Answer) -> None:
    records = {
        "mail.example MX": ["10 mx.mail.example."],
        "mail.example A": ["192.0.2.1"],
        "mail.example NS": ["ns2.example.", "NS1.example."],
        "ns1.example A": ["192.0.2.53"],
        "half.example A": ["192.0.2.1"],
        "7.100.51.198.a.example TXT": ['"see https://a.example/"'],
        "broken.example": "SERVFAIL",
    }

    async def ask(server: NameServer) -> Answer:
        return await Lookups(settings(server)).answer(fact)

    with NameServer(records) as server:
        assert asyncio.run(ask(server)) == answer
