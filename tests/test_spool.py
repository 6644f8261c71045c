"""The spool: what was acknowledged is there and whole, whatever fails, and wherever it stops.

Long, because spool.py is one module, and each of its promises is broken here in turn.
"""

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
from builders import envelope, message, names, put, spool_in
from disk_faults import PowerCut, watched_disk

from spoolscan import disk
from spoolscan.envelope import FAIL, SENT, TODO, ScanMark
from spoolscan.errors import ConfigError, Corrupt, TemporaryFailure
from spoolscan.queueid import QUEUE_ID, QueueIds
from spoolscan.spool import STATES, Entry, Gone, Incomplete, Spool
from spoolscan.syncer import Syncer

DAY = "2026-11-21"
FOREIGN_ID = "20261121t053000z-d6m01v"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_in(tmp_path)


def until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.001)


# ---- one message, one life


def test_a_committed_message_is_read_back_with_its_envelope(spool: Spool) -> None:
    draft = spool.draft(envelope(to=("bob@example.com", "carol@example.com")))
    draft.write(b"Subject: x\r\n\r\n")
    draft.write(memoryview(b"BODY\r\n\nBODY\n\r\n"))
    queue_id = draft.commit()
    with spool.open("incoming", queue_id) as found:
        assert found.read() == b"Subject: x\r\n\r\nBODY\r\n\nBODY\n\r\n"
        assert found.read(9, 3) == b"x\r\n"
        assert found.read(found.size) == b""
        assert [one.address for one in found.envelope.recipients] == [
            "bob@example.com",
            "carol@example.com",
        ]
    assert names(spool, "tmp") == []


def test_only_its_owner_can_read_a_message(spool: Spool) -> None:
    path = Path(spool.path("incoming", put(spool)))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_draft_is_in_no_listing_before_its_commit_and_leaves_nothing_when_discarded(
    spool: Spool,
) -> None:
    draft = spool.draft(envelope())
    draft.write(message())
    assert spool.entries("incoming") == []
    assert names(spool, "tmp") == [draft.id]
    draft.discard()
    draft.discard()
    assert names(spool, "tmp") == []


def test_a_draft_cannot_be_committed_twice_or_written_after(spool: Spool) -> None:
    draft = spool.draft(envelope())
    draft.write(message())
    queue_id = draft.commit()
    for again in (draft.commit, lambda: draft.write(b"more")):
        with pytest.raises(TemporaryFailure):
            again()
    assert names(spool, "incoming") == [queue_id]


def test_a_listing_is_in_order_of_arrival(spool: Spool) -> None:
    committed = [put(spool) for _ in range(20)]
    assert [entry.queue_id for entry in spool.entries("incoming")] == committed == sorted(committed)


def test_a_claimed_message_is_marked_moved_and_removed(spool: Spool) -> None:
    queue_id = put(spool, to=("bob@example.com", "carol@example.com"))
    with spool.claim(queue_id) as claimed:
        assert (names(spool, "incoming"), names(spool, "scanning")) == ([], [queue_id])
        claimed.mark_scan(ScanMark("clean"))
        claimed.move("outgoing")
    with spool.open("outgoing", queue_id) as found:
        assert found.envelope.scan.clean
        found.mark([0], SENT)
        found.mark([1], FAIL)
    with spool.open("outgoing", queue_id) as found:
        assert [one.state for one in found.envelope.recipients] == [SENT, FAIL]
        assert found.read() == message()
        found.remove()
    assert names(spool, "outgoing") == names(spool, "tmp") == []


def test_only_one_of_two_claims_gets_the_message(spool: Spool) -> None:
    queue_id = put(spool)
    first = spool.claim(queue_id)
    with first, pytest.raises(Gone):
        spool.claim(queue_id)


def test_quarantine_keeps_the_message_the_reason_and_the_parts(spool: Spool) -> None:
    queue_id = put(spool)
    with spool.claim(queue_id) as claimed:
        path = claimed.quarantine(DAY, "EICAR\nfound\r\n", [("1.bin", b"one"), ("2.bin", b"two")])
    assert path == spool.path("quarantine", DAY, queue_id)
    assert Path(f"{path}.why.txt").read_bytes() == b"EICAR\r\nfound\r\n"
    parts = sorted(Path(f"{path}_d").iterdir())
    assert [(part.name, part.read_bytes()) for part in parts] == [
        ("1.bin", b"one"),
        ("2.bin", b"two"),
    ]
    assert names(spool, "scanning") == []


def test_quarantine_can_be_tried_again_after_it_failed_half_way(spool: Spool) -> None:
    queue_id = put(spool)
    with spool.claim(queue_id) as claimed:
        with watched_disk() as watched:
            watched.failing = (9, OSError(errno.ENOSPC, "full"))
            with pytest.raises(TemporaryFailure):
                claimed.quarantine(DAY, "why", [("1.bin", b"one")])
        assert names(spool, "scanning") == [queue_id]
        path = claimed.quarantine(DAY, "why again", [("1.bin", b"one")])
    assert Path(f"{path}.why.txt").read_text() == "why again"
    assert Path(f"{path}_d/1.bin").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", "", "con:", "a" * 101, "a\nb"])
def test_a_part_whose_name_is_not_safe_is_never_written(spool: Spool, name: str) -> None:
    with spool.claim(put(spool)) as claimed, pytest.raises(ValueError, match="safe"):
        claimed.quarantine(DAY, "why", [(name, b"evil")])


def test_a_message_is_held_with_a_reason_beside_it(spool: Spool) -> None:
    queue_id = put(spool)
    with spool.claim(queue_id) as claimed:
        claimed.move("hold", "nobody could tell: \udcff\n")
    assert names(spool, "hold") == [queue_id, f"{queue_id}.why.txt"]
    why = Path(spool.path("hold", f"{queue_id}.why.txt")).read_bytes()
    assert why == b"nobody could tell: \\udcff\r\n"


def test_a_deferred_message_is_due_later_in_whatever_state_it_is_then(spool: Spool) -> None:
    queue_id = put(spool)
    now = time.time()
    with spool.claim(queue_id) as claimed:
        claimed.defer(now + 600)
        claimed.move("incoming")
    (entry,) = spool.entries("incoming")
    assert not entry.is_due(now)
    assert entry.is_due(now + 601)


def test_a_time_more_than_a_day_off_means_that_the_clock_jumped() -> None:
    assert Entry(FOREIGN_ID, due=2_000_000.0, size=1).is_due(1_000_000.0)


# ---- by hand


def test_a_message_moved_out_of_quarantine_by_hand_is_a_message_like_any_other(
    spool: Spool,
) -> None:
    queue_id = put(spool)
    with spool.claim(queue_id) as claimed:
        path = claimed.quarantine(DAY, "why", [("1.bin", b"one")])
    Path(path).rename(spool.path("outgoing", queue_id))
    (entry,) = spool.entries("outgoing")
    with spool.open("outgoing", entry.queue_id) as found:
        assert found.read() == message()


def test_a_half_copied_file_is_left_alone_until_it_is_whole(spool: Spool) -> None:
    queue_id = put(spool)
    source, copy = Path(spool.path("incoming", queue_id)), spool.path("outgoing", queue_id)
    whole = source.read_bytes()
    for length in range(len(whole)):
        Path(copy).write_bytes(whole[:length])
        with pytest.raises(Incomplete):
            spool.open("outgoing", queue_id)
    Path(copy).write_bytes(whole)
    with spool.open("outgoing", queue_id) as found:
        assert found.read() == message()


def test_a_file_longer_than_it_says_is_corrupt(spool: Spool) -> None:
    queue_id = put(spool)
    with Path(spool.path("incoming", queue_id)).open("ab") as file:
        file.write(b"x")
    with pytest.raises(Corrupt, match="1 bytes more"):
        spool.claim(queue_id)
    assert names(spool, "incoming") == [queue_id]


def test_a_file_that_is_cut_while_it_is_read_is_corrupt(spool: Spool) -> None:
    queue_id = put(spool)
    with spool.open("incoming", queue_id) as found:
        os.truncate(spool.path("incoming", queue_id), found.body_offset + 5)
        with pytest.raises(Corrupt, match="shorter"):
            found.read()


def test_a_file_under_the_name_of_another_is_corrupt(spool: Spool) -> None:
    queue_id = put(spool)
    os.rename(spool.path("incoming", queue_id), spool.path("incoming", FOREIGN_ID))
    with pytest.raises(Corrupt, match=queue_id):
        spool.open("incoming", FOREIGN_ID)


def test_a_large_file_without_an_envelope_is_corrupt_and_not_read_to_its_end(spool: Spool) -> None:
    path = spool.path("incoming", FOREIGN_ID)
    Path(path).touch(0o600)
    os.truncate(path, 2**40)
    with pytest.raises(Corrupt, match="no BODY line"):
        spool.open("incoming", FOREIGN_ID)


def test_what_was_moved_away_by_hand_is_gone_and_no_failure(spool: Spool) -> None:
    queue_id = put(spool)
    with spool.claim(queue_id) as claimed:
        os.rename(spool.path("scanning", queue_id), spool.path("hold", queue_id))
        claimed.defer(0)
        claimed.remove()
        with pytest.raises(Gone):
            claimed.move("outgoing")
    with pytest.raises(Gone):
        spool.open("scanning", queue_id)
    assert names(spool, "hold") == [queue_id]


def test_no_move_ever_goes_over_another_message(spool: Spool) -> None:
    queue_id = put(spool, b"mine\r\n")
    whole = Path(spool.path("incoming", queue_id)).read_bytes()
    Path(spool.path("outgoing", queue_id)).write_bytes(b"somebody else's")
    with spool.claim(queue_id) as claimed, pytest.raises(TemporaryFailure) as raised:
        claimed.move("outgoing")
    assert raised.value.errno == errno.EEXIST
    assert Path(spool.path("outgoing", queue_id)).read_bytes() == b"somebody else's"
    assert Path(spool.path("scanning", queue_id)).read_bytes() == whole


# ---- what is no message


def _link(path: str, outside: Path) -> None:
    os.symlink(outside, path)


def _hard_link(path: str, outside: Path) -> None:
    os.link(outside, path)


def _fifo(path: str, outside: Path) -> None:
    os.mkfifo(path)


def _folder(path: str, outside: Path) -> None:
    os.mkdir(path)


def _socket(path: str, outside: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


@pytest.mark.parametrize("made", [_link, _hard_link, _fifo, _folder, _socket])
def test_what_is_no_plain_file_is_never_followed_and_is_held_as_it_is(
    tmp_path: Path, made: Callable[[str, Path], None]
) -> None:
    spool = spool_in(tmp_path / "spool")
    outside = tmp_path / "outside"
    good = put(spool)
    outside.write_bytes(Path(spool.path("incoming", good)).read_bytes().replace(
        good.encode(), FOREIGN_ID.encode()
    ))  # fmt: skip
    before = outside.read_bytes()
    path = spool.path("incoming", FOREIGN_ID)
    made(path, outside)
    kind = os.lstat(path).st_mode
    assert [entry.queue_id for entry in spool.entries("incoming")] == sorted([good, FOREIGN_ID])
    with pytest.raises(Corrupt):
        spool.open("incoming", FOREIGN_ID)
    with pytest.raises(Corrupt):
        spool.claim(FOREIGN_ID)
    spool.hold("incoming", FOREIGN_ID, "strange\n")
    assert names(spool, "hold") == [FOREIGN_ID, f"{FOREIGN_ID}.why.txt"]
    assert os.lstat(spool.path("hold", FOREIGN_ID)).st_mode == kind
    assert outside.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    ["README.txt", ".hidden", f"{FOREIGN_ID}.why.txt", f"{FOREIGN_ID}_d", f"{FOREIGN_ID}\n", "x"],
)
def test_foreign_names_are_passed_over_everywhere(spool: Spool, name: str) -> None:
    for state in STATES:
        Path(spool.path(state, name)).write_bytes(b"not ours")
        assert spool.entries(state) == []
    assert spool.sweep() == []
    assert list(spool.recover(3)) == []
    assert all(names(spool, state) == [name] for state in STATES)


def test_the_settings_of_the_directories_are_checked(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.check()
    hold = tmp_path / "hold"
    hold.chmod(0o750)
    with pytest.raises(ConfigError, match=r"hold: open to others \(mode 0750\); chmod 700"):
        spool.check()
    hold.rmdir()
    with pytest.raises(ConfigError, match=r"hold: not there; `mkdir -m 700"):
        spool.check()
    with pytest.raises(ConfigError, match=r"none: not there; `spoolscan init"):
        Spool(tmp_path / "none").check()


def test_a_stage_runs_once_on_a_spool(spool: Spool) -> None:
    with (
        spool.lock("scanmail"),
        pytest.raises(TemporaryFailure, match="another scanmail"),
        Spool(spool.root).lock("scanmail"),
    ):
        pass
    with spool.lock("scanmail"):
        pass


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
