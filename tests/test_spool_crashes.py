"""The spool when something dies, a call fails, or many come at once: nothing is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from builders import DAY, FOREIGN_ID, envelope, message, names, put, spool_in
from disk_faults import PowerCut, watched_disk

from spoolscan import disk
from spoolscan.envelope import SENT, TODO, ScanMark
from spoolscan.errors import TemporaryFailure
from spoolscan.queueid import QUEUE_ID, QueueIds
from spoolscan.spool import Spool
from spoolscan.syncer import Syncer

# ---- after a crash


def test_only_the_drafts_of_the_dead_are_swept(spool: Spool) -> None:
    living = spool.draft(envelope())
    dead = spool.draft(envelope())
    os.close(dead._descriptor)  # as the kernel does for a process that died
    dead._descriptor = -1
    assert spool.sweep() == [dead.id]
    assert names(spool, "tmp") == [living.id]
    living.commit()


def test_two_stages_may_sweep_at_once(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(spool.path("tmp", FOREIGN_ID)).touch()
    gone = disk.writer_is_gone

    def swept_by_another_meanwhile(path: str) -> bool:
        answer = gone(path)
        os.unlink(path)
        return answer

    monkeypatch.setattr(disk, "writer_is_gone", swept_by_another_meanwhile)
    assert spool.sweep() == []


def test_a_message_in_hand_when_something_died_is_tried_three_times_and_then_held(
    spool: Spool,
) -> None:
    queue_id = put(spool)
    outcomes: list[tuple[str, int, str]] = []
    for _ in range(3):
        spool.claim(queue_id).close()
        outcomes += Spool(spool.root).recover(3)
    assert outcomes == [(queue_id, 1, "incoming"), (queue_id, 2, "incoming"), (queue_id, 3, "hold")]
    assert "3 times" in Path(spool.path("hold", f"{queue_id}.why.txt")).read_text()
    os.rename(spool.path("hold", queue_id), spool.path("incoming", queue_id))
    with spool.claim(queue_id) as claimed:
        assert claimed.envelope.scan.tries == 3
        assert claimed.read() == message()


@pytest.mark.parametrize("change", [b"", b"SPOOL 1 ", None])
def test_what_is_not_readable_in_scanning_is_held_as_it_is(
    spool: Spool, change: bytes | None
) -> None:
    queue_id = put(spool)
    spool.claim(queue_id).close()
    path = Path(spool.path("scanning", queue_id))
    content = path.read_bytes() + b"more" if change is None else change
    path.write_bytes(content)
    assert list(spool.recover(3)) == [(queue_id, 0, "hold")]
    assert Path(spool.path("hold", queue_id)).read_bytes() == content


def test_a_copy_in_the_way_of_one_message_does_not_stop_the_recovery_of_the_others(
    spool: Spool,
) -> None:
    first, second = put(spool), put(spool)
    for queue_id in (first, second):
        spool.claim(queue_id).close()
    copy = Path(spool.path("incoming", first))
    copy.write_bytes(Path(spool.path("scanning", first)).read_bytes())
    assert list(spool.recover(3)) == [(first, 0, "scanning"), (second, 1, "incoming")]


# ---- the order of things, and what fails


def test_a_commit_is_written_synced_named_and_its_name_synced_before_it_returns(
    spool: Spool,
) -> None:
    with watched_disk() as watched:
        draft = spool.draft(envelope())
        draft.write(b"one")
        draft.write(b"two")
        draft.commit()
    assert watched.names == [
        "open_new", "claim_writing", "write", "write", "write",
        "write_at", "fsync", "rename_new", "fsync_directory", "close",
    ]  # fmt: skip
    arguments = {call.name: call.arguments for call in watched.calls}
    descriptor = watched.calls[0].result
    assert arguments["fsync"] == arguments["close"] == (descriptor,)
    assert arguments["rename_new"] == (
        spool.path("tmp", draft.id),
        spool.path("incoming", draft.id),
    )
    assert arguments["fsync_directory"] == (spool.path("incoming"),)


def test_a_mark_is_on_the_disk_when_it_returns(spool: Spool) -> None:
    with spool.open("incoming", put(spool)) as found, watched_disk() as watched:
        found.mark([0], SENT)
    assert watched.names == ["write_at", "fdatasync"]


def test_many_recipients_are_marked_by_one_sync(spool: Spool) -> None:
    to = ("bob@example.com", "carol@example.com", "dave@example.com")
    queue_id = put(spool, to=to)
    with spool.open("incoming", queue_id) as found, watched_disk() as watched:
        found.mark([0, 2], SENT)
    assert watched.names == ["write_at", "write_at", "fdatasync"]
    with spool.open("incoming", queue_id) as found:
        assert [one.state for one in found.envelope.recipients] == [SENT, TODO, SENT]


def test_a_mark_that_is_made_while_another_is_synced_is_synced_too(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_id = put(spool, to=("bob@example.com", "carol@example.com"))
    syncs: list[int] = []

    def slow(_: int) -> None:
        syncs.append(1)
        if len(syncs) == 1:  # the next hop of the other one has just answered
            found.write_marks([1], SENT)

    with spool.open("incoming", queue_id) as found:
        monkeypatch.setattr(disk, "fdatasync", slow)
        found.mark([0], SENT)
        found.sync_marks()
        found.sync_marks()
    assert len(syncs) == 2


def _deliver(spool: Spool, acknowledged: list[str]) -> None:
    """All that becomes of a message that is delivered."""
    draft = spool.draft(envelope(to=("bob@example.com", "carol@example.com")))
    try:
        draft.write(message())
        acknowledged.append(draft.commit())
    finally:
        draft.discard()
    with spool.claim(draft.id) as claimed:
        claimed.mark_scan(ScanMark("clean"))
        claimed.move("outgoing")
    with spool.open("outgoing", draft.id) as found:
        for recipient in (0, 1):
            found.mark([recipient], SENT)
        acknowledged.remove(draft.id)
        found.remove()


def _set_aside(spool: Spool, acknowledged: list[str]) -> None:
    """All that becomes of a message that is found bad."""
    acknowledged.append(put(spool))
    with spool.claim(acknowledged[0]) as claimed:
        claimed.defer(1_000_000_000)
        claimed.mark_scan(ScanMark("infected"))
        claimed.quarantine(DAY, "EICAR\n", [("1.bin", b"one")])


def _poison(spool: Spool, acknowledged: list[str]) -> None:
    """All that becomes of a message on which the scanner dies."""
    acknowledged.append(put(spool))
    for attempt in (1, 2):
        with spool.claim(acknowledged[0]) as claimed:
            assert spool.give_back(claimed, 2)[0] == attempt


Life = Callable[[Spool, list[str]], None]
LIVES = [_deliver, _set_aside, _poison]


def _where(spool: Spool, queue_id: str) -> list[Path]:
    return [path for path in Path(spool.root).rglob(queue_id) if path.parent.name != "tmp"]


@pytest.mark.parametrize("life", LIVES)
def test_wherever_the_power_is_cut_what_was_acknowledged_is_there_and_whole(
    tmp_path: Path, life: Life
) -> None:
    cuts = 0
    while True:
        spool = spool_in(tmp_path / str(cuts))
        acknowledged: list[str] = []
        with watched_disk() as watched:
            watched.cut = cuts + 1
            try:
                life(spool, acknowledged)
                break
            except PowerCut:
                cuts += 1
        after = Spool(spool.root)
        after.sweep()
        list(after.recover(3))
        assert names(after, "tmp") == names(after, "scanning") == []
        for queue_id in acknowledged:
            (path,) = _where(after, queue_id)
            state = path.parent.relative_to(spool.root)
            with after.open(str(state), queue_id) as found:
                assert found.read() == message()
    assert cuts > 15


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_whatever_call_fails_it_is_temporary_and_nothing_acknowledged_is_lost(
    tmp_path: Path, life: Life, number: int
) -> None:
    failures: list[int] = []
    for turn in range(1, 1000):
        spool = spool_in(tmp_path / str(turn))
        acknowledged: list[str] = []
        with watched_disk() as watched:
            watched.failing = (turn, OSError(number, os.strerror(number)))
            try:
                life(spool, acknowledged)
            except TemporaryFailure as failure:
                failures.append(failure.errno)
            if watched.count < turn:
                break
            assert not watched.open
        spool.sweep()
        list(spool.recover(3))
        assert names(spool, "tmp") == names(spool, "scanning") == []
        for queue_id in acknowledged:
            (path,) = _where(spool, queue_id)
            with spool.open(str(path.parent.relative_to(spool.root)), queue_id) as found:
                assert found.read() == message()
    assert len(failures) > 10
    assert set(failures) == {number}


def test_a_draft_that_could_not_be_written_to_its_end_cannot_be_committed(spool: Spool) -> None:
    draft = spool.draft(envelope())
    with watched_disk() as watched:
        watched.failing = (1, OSError(errno.ENOSPC, "full"))
        with pytest.raises(TemporaryFailure):
            draft.write(message())
    assert names(spool, "tmp") == []
    with pytest.raises(TemporaryFailure):
        draft.commit()
    assert names(spool, "incoming") == []


@pytest.mark.parametrize("call", range(1, 7))
def test_a_probe_that_failed_succeeds_when_the_disk_is_fit_again(spool: Spool, call: int) -> None:
    with watched_disk() as watched:
        watched.failing = (call, OSError(errno.EIO, "broken"))
        with suppress(TemporaryFailure):
            spool.probe()
        assert watched.count >= call
    spool.probe()
    spool.sweep()
    assert names(spool, "tmp") == []


# ---- many at once


def test_fifty_commits_at_once_share_the_syncs_of_the_directory_and_lose_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    syncs: list[int] = []
    real = disk.fsync

    def slow(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            syncs.append(descriptor)
            release.wait()
        real(descriptor)

    async def commit_all() -> list[str]:
        syncer = Syncer(50, threads=True)
        drafts = [spool.draft(envelope(), begin=b"%d\r\n" % number) for number in range(50)]
        commits = [asyncio.create_task(draft.commit_by(syncer)) for draft in drafts]
        while not all(queue_id in spool.names("incoming") for queue_id in (d.id for d in drafts)):
            await asyncio.sleep(0.01)  # one syncs, the others wait for the one that comes then
        assert not any(commit.done() for commit in commits)
        release.set()
        done = await asyncio.gather(*commits)
        syncer.close()
        return done

    monkeypatch.setattr(disk, "fsync", slow)
    queue_ids = asyncio.run(commit_all())
    assert len(syncs) == 2
    for number, queue_id in enumerate(queue_ids):
        with spool.open("incoming", queue_id) as found:
            assert found.read() == b"%d\r\n" % number


def test_queue_ids_are_later_one_by_one_also_when_the_clock_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = QueueIds()
    made = [ids.next() for _ in range(100)]
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    made += [ids.next() for _ in range(100)]
    assert made == sorted(set(made))
    assert all(QUEUE_ID.fullmatch(one) for one in made)


def test_a_draft_that_a_thread_writes_survives_the_sweep_of_another_process(spool: Spool) -> None:
    with ThreadPoolExecutor(8) as threads:
        commits = [threads.submit(put, spool) for _ in range(50)]
        other = Spool(spool.root)
        swept = [name for _ in range(50) for name in other.sweep()]
        outcomes = [commit.exception() for commit in commits]
    assert all(outcome is None or isinstance(outcome, TemporaryFailure) for outcome in outcomes)
    acknowledged = [commit.result() for commit in commits if commit.exception() is None]
    assert names(spool, "incoming") == sorted(acknowledged)
    assert not set(swept) & set(acknowledged)


def test_a_draft_leaves_no_descriptor_when_its_envelope_cannot_be_written(spool: Spool) -> None:
    with watched_disk() as watched, pytest.raises(ValueError, match="envelope"):
        spool.draft(envelope(extras=(("RCPT", "x"),)))
    assert not watched.open
    assert names(spool, "tmp") == []
