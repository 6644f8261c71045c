"""`spoolscan queue`: what waits, and what to do with it; through the command line."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import message, names, put, spool_in
from smtp_peer import Peer

from spoolscan import config, queue
from spoolscan.cli import main
from spoolscan.envelope import Envelope, Recipient, ScanMark
from spoolscan.forwarder.daemon import Forwarder
from spoolscan.notices import Templates
from spoolscan.queue import Wanted, fits
from spoolscan.spool import Spool

ETC = Path(__file__).parent.parent / "etc" / "templates"
CLEAN = ScanMark("clean")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path / "spool")


@pytest.fixture
def says(spool: Spool, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `spoolscan queue ...` and return what it printed, both streams."""

    def run(*words: str, status: int = 0) -> str:
        assert main(["--spool", spool.root, "queue", *words]) == status
        captured = capsys.readouterr()
        return captured.out + captured.err

    return run


def state(spool: Spool, queue_id: str) -> str:
    (found,) = [
        item.state for item in queue.items(spool, Wanted()) if item.queue_id == queue_id
    ] or ["nowhere"]
    return found


# The list


def test_an_empty_queue_says_so(says: Callable[..., str]) -> None:
    assert says().splitlines()[-1] == "0 waiting, 0"
    assert json.loads(says("list", "--json")) == []


def test_the_list_shows_what_waits_in_every_state(spool: Spool, says: Callable[..., str]) -> None:
    ids = [put(spool, state=where) for where in queue.STATES]
    lines = says().splitlines()[1:-1]
    assert [line.split()[:2] for line in lines] == [
        [queue_id, where] for queue_id, where in zip(ids, queue.STATES, strict=True)
    ]
    assert all(len(line) <= 80 for line in lines)
    assert "alice@example.org" in lines[0]


def test_as_json_it_tells_all(spool: Spool, says: Callable[..., str]) -> None:
    queue_id = put(spool, state="outgoing", to=("a@x.test", "b@x.test"), scan=CLEAN)
    with spool.open("outgoing", queue_id) as opened:
        opened.mark([1], "SENT")
    (one,) = json.loads(says("list", "--json"))
    assert one["id"] == queue_id
    assert (one["state"], one["sender"], one["scan"]) == ("outgoing", "alice@example.org", "clean")
    assert one["size"] == len(message())
    assert one["recipients"] == [
        {"address": "a@x.test", "state": "RCPT"},
        {"address": "b@x.test", "state": "SENT"},
    ]


def test_filters_leave_out_what_was_not_asked_for(spool: Spool, says: Callable[..., str]) -> None:
    old = datetime.now(UTC) - timedelta(hours=3)
    first = put(spool, state="outgoing", sender="a@one.test", to=("x@in.test",))
    second = put(spool, state="hold", sender="", to=("y@in.test", "z@sub.in.test"), arrived=old)

    def listed(*words: str) -> list[str]:
        return [item["id"] for item in json.loads(says("list", "--json", *words))]

    assert listed() == [first, second]
    assert listed("--sender", "A@ONE.test") == listed("--sender", "one.test") == [first]
    assert listed("--sender", "<>") == listed("--older", "2h") == listed("--state", "hold")
    assert listed("--sender", "<>") == [second]
    assert listed("--recipient", "in.test") == [first, second]
    assert listed("--recipient", "*.in.test") == listed("--recipient", "z@*") == [second]
    assert listed("--older", "4h") == listed("--sender", "one") == []


def test_who_has_it_already_is_no_recipient_of_what_waits(
    spool: Spool, says: Callable[..., str]
) -> None:
    queue_id = put(spool, state="outgoing", to=("a@x.test", "b@y.test"))
    with spool.open("outgoing", queue_id) as opened:
        opened.mark([0], "SENT")
    assert json.loads(says("list", "--json", "--recipient", "x.test")) == []


HOSTILE = ["\x1b[2J@x.test", "a\u202eb@x.test", "a\tb\r\n@x.test", "x" * 500 + "@x.test", "\x9b@x"]


@pytest.mark.parametrize("word", HOSTILE)
def test_no_word_of_a_peer_moves_the_cursor(
    spool: Spool, says: Callable[..., str], word: str
) -> None:
    body = f"Subject: {word}\r\nX: \x1b]0;x\x07\r\n\r\n".encode("utf-8", "replace")
    queue_id = put(
        spool, body, "outgoing", sender=word, to=(word,), extras=(("ENVI", "a b"),), helo=word
    )
    for text in (says(), says("show", queue_id)):
        assert all(char.isprintable() or char == "\n" for char in text)
    assert len(says().splitlines()) == 3
    assert all(len(line) <= 80 for line in says().splitlines())
    assert json.loads(says("list", "--json"))[0]["sender"] == word


def test_a_file_that_cannot_be_read_is_listed_with_the_reason(
    spool: Spool, says: Callable[..., str]
) -> None:
    queue_id = put(spool, state="hold")
    path = Path(spool.path("hold", queue_id))
    path.write_bytes(path.read_bytes().replace(b"RCPT", b"XXXX"))
    (one,) = json.loads(says("list", "--json"))
    assert "envelope" in one["problem"]
    assert queue_id in says()
    assert "envelope" in says("show", queue_id)
    says("release", queue_id, status=1)
    assert says("delete", "--yes", queue_id) == f"{queue_id}: deleted\n"


def test_show_tells_envelope_header_and_next_try(spool: Spool, says: Callable[..., str]) -> None:
    queue_id = put(spool, message(subject="the offer"), "outgoing")
    spool.defer(spool.path("outgoing", queue_id), time.time() + 3600)
    text = says("show", queue_id)
    for word in ("in outgoing/", "<alice@example.org>", "RCPT", "Subject: the offer", "next try"):
        assert word in text
    assert "Good day" not in text
    assert "not in incoming" in says("show", queue_id[:-1] + "0", status=78)


# Moves


def test_held_mail_stays_until_it_is_released(spool: Spool, says: Callable[..., str]) -> None:
    queue_id = put(spool, state="outgoing", scan=CLEAN)
    spool.defer(spool.path("outgoing", queue_id), time.time() + 3600)
    assert says("hold", queue_id) == f"{queue_id}: hold\n"
    assert names(spool, "hold") == [queue_id, f"{queue_id}.why.txt"]
    assert says("release", queue_id) == f"{queue_id}: outgoing\n"
    assert Path(spool.path("outgoing", queue_id)).stat().st_mtime <= time.time()


@pytest.mark.parametrize("scan", ["-", "unscannable", "infected", "banned"])
def test_what_was_not_found_clean_is_released_to_the_scanner(
    spool: Spool, says: Callable[..., str], scan: str
) -> None:
    queue_id = put(spool, state="hold", scan=ScanMark(scan))
    assert says("release", queue_id) == f"{queue_id}: incoming\n"


def test_or_unscanned_to_its_recipients_and_that_is_written_down(
    spool: Spool, says: Callable[..., str]
) -> None:
    queue_id = put(spool, state="hold", scan=ScanMark("unscannable"))
    assert says("release", "--unscanned", queue_id) == f"{queue_id}: outgoing\n"
    with spool.open("outgoing", queue_id) as opened:
        assert opened.envelope.scan.result == "released"


def test_requeued_mail_is_scanned_as_if_it_had_never_been(
    spool: Spool, says: Callable[..., str]
) -> None:
    queue_id = put(spool, state="outgoing", scan=ScanMark("clean", 2))
    assert says("requeue", queue_id) == f"{queue_id}: incoming\n"
    with spool.open("incoming", queue_id) as opened:
        assert opened.envelope.scan == ScanMark()


def test_deletion_asks_first(
    spool: Spool, says: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = put(spool, state="outgoing")
    asked: list[str] = []
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda text: asked.append(text) or "n")
    says("delete", queue_id, status=130)
    assert state(spool, queue_id) == "outgoing"
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "y")
    assert f"{queue_id}: deleted" in says("delete", queue_id)
    assert state(spool, queue_id) == "nowhere"
    assert asked


def test_what_is_in_the_scanners_hands_is_left_there(
    spool: Spool, says: Callable[..., str]
) -> None:
    queue_id = put(spool, state="scanning")
    for command in (["hold"], ["release"], ["requeue"], ["delete", "--yes"]):
        assert "scanning/" in says(*command, queue_id, status=1)
    assert state(spool, queue_id) == "scanning"
    says("delete", "--yes", "--sender", "*")
    assert state(spool, queue_id) == "scanning"


def test_filters_choose_too_and_nothing_chooses_nothing(
    spool: Spool, says: Callable[..., str]
) -> None:
    bad = [put(spool, state="outgoing", sender="bad@x.test") for _ in range(3)]
    good = put(spool, state="outgoing", sender="good@x.test")
    says("delete", "--yes", status=64)
    says("hold", "--sender", "bad@x.test")
    assert [state(spool, queue_id) for queue_id in bad] == ["hold"] * 3
    assert state(spool, good) == "outgoing"


def test_what_is_not_there_and_what_is_no_queue_id_is_said(says: Callable[..., str]) -> None:
    assert "not there" in says("hold", "20261121t053000z-d6m01v", status=1)
    for word in ("../etc/passwd", "x", "", "20261121t053000z-d6m01v/.."):
        assert "not a queue id" in says("delete", "--yes", word, status=64)


def test_a_message_of_that_name_that_is_there_already_is_never_written_over(
    spool: Spool, says: Callable[..., str]
) -> None:
    queue_id = put(spool, state="outgoing")
    Path(spool.path("hold", queue_id)).write_text("another")
    # Both are shown, and the one in hold/ cannot be held.
    says("hold", queue_id, status=1)
    assert Path(spool.path("hold", queue_id)).read_text() == "another"
    assert Path(spool.path("outgoing", queue_id)).exists()


def test_another_users_spool_is_not_touched(
    spool: Spool, says: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = put(spool, state="outgoing")
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    assert "belongs to" in says("hold", queue_id, status=78)


@pytest.mark.parametrize(
    ("pattern", "address", "does"),
    [
        ("a@b", "A@B", True),
        ("b", "a@b", True),
        ("b", "a@c.b", False),
        ("*.b", "a@c.b", True),
        ("a*@b", "abc@b", True),
        ("<>", "", True),
        ("<>", "a@b", False),
        ("*", "", True),
    ],
)
def test_patterns_of_addresses(pattern: str, address: str, does: bool) -> None:
    assert fits(pattern, address) is does


# While the forwarder runs


def running(spool: Spool, peer: Peer, step: Callable[[], bool], **values: Any) -> None:
    async def live() -> None:
        settings = config.Config(
            root=Path(spool.root),
            site=config.Site(hostname="me.test"),
            forwarder=config.Forwarder(next_hop=f"smtp://127.0.0.1:{peer.port}", **values),
        )
        stop = asyncio.Event()
        task = asyncio.create_task(Forwarder(settings, spool, Templates([ETC])).run(stop))
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(step):
                assert not task.done()
                await asyncio.sleep(0.01)
        stop.set()
        await task

    async def main_() -> None:
        async with peer:
            await live()

    asyncio.run(main_())


@pytest.mark.parametrize("words", [[], ["example.com"], ["ID"]])
def test_flush_has_a_running_forwarder_try_at_once(
    spool: Spool, says: Callable[..., str], words: list[str]
) -> None:
    to = (Recipient("bob@example.com"),)
    draft = spool.draft(Envelope("alice@example.org", to, scan=CLEAN))
    draft.write(message())
    queue_id = draft.commit(to="outgoing")
    spool.defer(spool.path("outgoing", queue_id), time.time() + 3600)
    peer = Peer()
    flushed = False

    def step() -> bool:
        nonlocal flushed
        if not flushed:
            assert "1 to be tried" in says("flush", *(queue_id if w == "ID" else w for w in words))
            flushed = True
        return bool(peer.deliveries)

    running(spool, peer, step)
    assert peer.recipients == ["bob@example.com"]


def test_mail_taken_from_a_running_forwarder_is_not_sent(
    spool: Spool, says: Callable[..., str]
) -> None:
    first, held, gone = (
        put(spool, state="outgoing", to=(f"{name}@example.com",))
        for name in ("first", "held", "gone")
    )
    peer = Peer({"CONNECT": "421 not yet"})
    done = False

    def step() -> bool:
        nonlocal done
        if peer.connections and not peer.open and not done:
            says("hold", held)
            says("delete", "--yes", gone)
            peer.answers["CONNECT"] = "220 now"
            says("flush", first)
            done = True
        return bool(peer.deliveries) and state(spool, first) == "nowhere"

    # One at a time, and the next would be asked in an hour.
    running(spool, peer, step, concurrency=1, pause=3600.0, longest_pause=3600.0)
    assert peer.recipients == ["first@example.com"]
    assert state(spool, held) == "hold"
