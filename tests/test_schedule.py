"""When a message, and a next hop, are tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spoolscan.forwarder.schedule import Retries, Throttle

DAY = 86_400.0


def delay(age: float) -> float:
    return Retries().next(arrived=1000.0, now=1000.0 + age) - (1000.0 + age)


def test_a_fresh_message_is_tried_again_after_a_minute() -> None:
    assert delay(0) == 60
    assert delay(299) == 60


def test_then_after_as_long_as_it_has_waited_an_hour_at_most() -> None:
    assert delay(300) == 300
    assert delay(1000) == 1000
    assert delay(3600) == 3600
    assert delay(4 * DAY) == 3600


def test_a_message_from_the_future_is_a_fresh_one() -> None:
    assert delay(-10 * DAY) == 60


@given(st.floats(0, 6 * DAY))
def test_a_delay_is_always_within_its_bounds(age: float) -> None:
    assert 59 < delay(age) < 3601


def test_after_five_days_it_is_given_up() -> None:
    retries = Retries()
    assert not retries.expired(arrived=0, due=5 * DAY - 100, now=5 * DAY - 1)
    assert retries.expired(arrived=0, due=5 * DAY - 100, now=5 * DAY)


def test_a_clock_that_jumps_ten_years_expires_nothing_at_once() -> None:
    retries = Retries()
    jumped = 3650 * DAY
    assert not retries.expired(arrived=0, due=60, now=jumped)
    assert retries.expired(arrived=0, due=jumped + 3600, now=jumped + 3601)


def test_the_sender_is_told_of_a_delay_after_four_hours_and_of_failure_at_the_end() -> None:
    retries = Retries()
    assert not retries.is_late(arrived=0, now=4 * 3600 - 1)
    assert retries.is_late(arrived=0, now=4 * 3600)
    assert retries.look(0, warned=False) == 4 * 3600
    assert retries.look(0, warned=True) == 5 * DAY


def test_where_that_is_switched_off_he_is_told_of_failure_alone() -> None:
    retries = Retries(warning=0)
    assert not retries.is_late(arrived=0, now=4 * DAY)
    assert retries.look(0, warned=False) == 5 * DAY


def test_a_next_hop_gets_as_many_at_once_as_are_allowed() -> None:
    throttle = Throttle(ceiling=2)
    assert throttle.admits(0)
    throttle.busy = 2
    assert not throttle.admits(0)


def test_one_that_is_down_is_left_alone_twice_as_long_each_time() -> None:
    throttle = Throttle(ceiling=5)
    pauses, now = [], 100.0
    for _ in range(9):
        throttle.down(now)
        assert not throttle.admits(now)
        pauses.append(throttle.resumes - now)
        now = throttle.resumes
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_several_that_find_it_down_at_once_count_as_one() -> None:
    throttle = Throttle(ceiling=5)
    for _ in range(5):
        throttle.down(100)
    assert throttle.resumes == 105


def test_it_is_asked_again_by_one_and_then_by_more() -> None:
    throttle = Throttle(ceiling=3)
    throttle.down(100)
    throttle.busy = 1
    assert not throttle.admits(105)
    throttle.worked()
    assert throttle.admits(105)
    assert throttle.limit == 2
    throttle.worked()
    throttle.worked()
    assert throttle.limit == 3
    throttle.down(200)
    assert throttle.resumes == 205


def test_a_cut_conversation_may_be_the_fault_of_the_message() -> None:
    throttle = Throttle(ceiling=3)
    throttle.broke(100)
    throttle.broke(100)
    assert throttle.admits(100)
    throttle.worked()
    throttle.broke(100)
    throttle.broke(100)
    assert throttle.admits(100)
    throttle.broke(100)
    assert not throttle.admits(100)


def test_one_that_works_for_others_is_not_down() -> None:
    throttle = Throttle(ceiling=3)
    throttle.down(100)
    throttle.worked()
    assert throttle.admits(100)
    assert throttle.limit == 2
