"""Delivery into a command: what it is given, and what its exit status means."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from loopback import until

from spoolscan.config import Timeouts
from spoolscan.errors import Corrupt, TemporaryFailure
from spoolscan.forwarder.delivery import Fate, Mail, Outcome, Success
from spoolscan.forwarder.pipe import NEVER, PipeRoute

TEXT = b"Subject: x\r\n\r\n.\r\nx\r\n"
HEADER = b"Return-Path: <alice@example.org>\nDelivered-To: bob@example.com\n"


def run(
    command: str, *to: str, sender: str = "alice@example.org", data: bytes = TEXT, **clocks: float
) -> dict[int, Outcome]:
    outcomes: dict[int, Outcome] = {}

    async def content() -> AsyncIterator[bytes]:
        yield data

    async def settle(known: Mapping[int, Outcome]) -> None:
        outcomes.update(known)

    recipients = tuple(enumerate(to or ("bob@example.com",)))
    item = Mail("q1", sender, recipients, len(data), False, content)
    route = PipeRoute(f"pipe:{command}", command, Timeouts.model_validate(clocks))
    asyncio.run(route.deliver(item, settle))
    return outcomes


def shell(script: str, *words: str) -> str:
    return shlex.join(["/bin/sh", "-c", script, "name", *words])


def test_it_is_given_the_message_with_the_lines_of_final_delivery(tmp_path: Path) -> None:
    (outcome,) = run(shell('cat >"$1"', str(tmp_path / "got"))).values()
    assert (tmp_path / "got").read_bytes() == HEADER + TEXT.replace(b"\r\n", b"\n")
    assert (outcome.fate, outcome.success) == (Fate.DELIVERED, Success.DELIVERED)


def test_the_envelope_stands_in_its_words_and_is_no_shells(tmp_path: Path) -> None:
    sender, recipient = "a;{recipient}$(id)@example.org", "b`id`'@example.com"
    command = shell(
        'shift 0; cat >/dev/null; printf "%s\\n" "$@" >"$0.out"',
        "{sender}", "--to={recipient}", "{user}", "{domain}", "{id}", "{other}",
    ).replace(" name ", f" {tmp_path}/name ")  # fmt: skip
    run(command, recipient, sender=sender)
    assert (tmp_path / "name.out").read_text().splitlines() == [
        sender,
        f"--to={recipient}",
        "b`id`'",
        "example.com",
        "q1",
        "{other}",
    ]


def test_it_is_run_for_each_recipient_where_a_word_is_his() -> None:
    command = shell(
        'cat >/dev/null; case "$1" in c@*) exit 67;; d@*) exit 75;; esac', "{recipient}"
    )
    told = run(command, "b@x.test", "c@x.test", "d@x.test")
    assert [told[index].fate for index in range(3)] == [
        Fate.DELIVERED,
        Fate.REFUSED,
        Fate.DEFERRED,
    ]
    assert told[1].status == "5.1.1"


@pytest.mark.parametrize("word", ["{recipient}", "{user}", "{sender}"])
def test_an_address_is_never_an_option(tmp_path: Path, word: str) -> None:
    command = shell('touch "$0.ran"', word).replace(" name ", f" {tmp_path}/name ")
    (outcome,) = run(command, "-oProxy@example.com", sender="-f@example.org").values()
    assert (outcome.fate, outcome.status) == (Fate.REFUSED, "5.1.3")
    assert not (tmp_path / "name.ran").exists()


def test_behind_a_prefix_it_may_begin_with_a_dash() -> None:
    command = shell("cat >/dev/null", "--to={recipient}")
    assert run(command, "-x@example.com")[0].fate is Fate.DELIVERED


@pytest.mark.parametrize("status", [*range(1, 4), *range(64, 79), 126, 127, 255])
def test_only_a_few_statuses_refuse_for_good(status: int) -> None:
    (outcome,) = run(shell(f"cat >/dev/null; echo 'no \x1b[31m\xe9'; exit {status}")).values()
    assert outcome.fate is (Fate.REFUSED if status in NEVER else Fate.DEFERRED)
    assert outcome.status == NEVER.get(status, "4.3.0")
    assert outcome.text == rf"/bin/sh ended with status {status}: no ?[31m\xc3\xa9"


def test_death_by_a_signal_is_not_for_good() -> None:
    assert run(shell("kill -9 $$"))[0].fate is Fate.DEFERRED


def test_what_it_prints_is_cut() -> None:
    (outcome,) = run(shell("cat >/dev/null; yes | head -c 1000000; exit 69")).values()
    assert len(outcome.text) < 500


def test_one_that_reads_nothing_is_believed_in_its_status() -> None:
    assert run("/bin/true", data=TEXT * 200_000)[0].fate is Fate.DELIVERED
    assert run("/bin/false", data=TEXT * 200_000)[0].fate is Fate.DEFERRED


def test_one_that_takes_too_long_is_ended_with_all_that_it_began(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(TemporaryFailure, match="too long"):
        run(shell('cat >/dev/null; sleep 1000 & echo $! >"$1"; wait', str(pid)), answer=1.0)
    until(lambda: not alive(int(pid.read_text())), "its child is gone")


def test_one_that_never_reads_does_not_hold_us(tmp_path: Path) -> None:
    with pytest.raises(TemporaryFailure, match="too long"):
        run(shell("sleep 1000"), data=TEXT * 200_000, block=0.3)


def test_a_child_that_keeps_the_output_open_holds_nobody_up() -> None:
    assert run(shell("cat >/dev/null; sleep 1000 & exit 0"))[0].fate is Fate.DELIVERED


def test_an_address_that_could_say_more_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(Corrupt):
        run(shell('touch "$1"', str(tmp_path / "ran")), "a\nb@example.com")
    assert not (tmp_path / "ran").exists()


def test_its_environment_is_two_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET", "of ours")
    run(f"/bin/sh -c 'env >\"$1\"; cat >/dev/null' name {tmp_path}/env")
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names <= {"PATH", "LC_ALL", "PWD", "_", "SHLVL", "OLDPWD"}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
