"""The spool: one message, one life; what is moved by hand; what is no message."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import DAY, FOREIGN_ID, envelope, message, names, put, spool_in
from disk_faults import watched_disk

from spoolscan.envelope import FAIL, SENT, ScanMark
from spoolscan.errors import ConfigError, Corrupt, TemporaryFailure
from spoolscan.spool import STATES, Entry, Gone, Incomplete, Spool

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
