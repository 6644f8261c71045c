"""A pattern file is read again when edited, and a bad edit changes nothing but the log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spoolscan import livefile
from spoolscan.errors import ConfigError
from spoolscan.scanner.patternfile import PatternFile

LINES = [b"filename=a.exe"]
LONG_AGO = (1_000_000_000, 1_000_000_000)


class Story:
    """A file, those who read it, and what they were told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        path.write_bytes(b"exe$\n")
        self.file = PatternFile(str(path), lambda problem: self.problems.append(str(problem)))

    def bans(self) -> bool:
        return self.file.current().first(LINES) is not None


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "matches.bad")


def test_an_edit_takes_effect_at_the_next_look(story: Story) -> None:
    assert story.bans()
    story.path.write_bytes(b"scr$\n")
    assert not story.bans()
    story.path.write_bytes(b"a.e$\nxe$\n")
    assert story.bans()
    assert story.problems == []


def test_a_file_moved_over_the_old_one_takes_effect(story: Story) -> None:
    fresh = story.path.with_suffix(".new")
    fresh.write_bytes(b"scr$\n")
    fresh.replace(story.path)
    assert not story.bans()


def test_what_did_not_change_is_not_read_again(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(livefile, "_SETTLED", 0)
    settled = story.file.current()
    monkeypatch.setattr(os, "open", None)  # nothing can be read from here on
    assert story.file.current() is settled


def test_a_touched_file_keeps_its_patterns(story: Story) -> None:
    before = story.file.current()
    os.utime(story.path, LONG_AGO)
    assert story.file.current() is before


def test_a_bad_edit_keeps_the_old_patterns_and_is_reported_once(story: Story) -> None:
    story.path.write_bytes(b"exe$\n\\(\n")
    assert [story.bans(), story.bans(), story.bans()] == [True, True, True]
    (problem,) = story.problems
    assert problem.startswith(f'{story.path}, line 2, "\\(": Unmatched')


def test_a_second_bad_edit_is_reported_too_and_a_good_one_ends_it(story: Story) -> None:
    for edit in (b"\\(\n", b"\\)\n"):
        story.path.write_bytes(edit)
        assert story.bans()
    story.path.write_bytes(b"scr$\n")
    assert not story.bans()
    assert len(story.problems) == 2


def test_a_lost_file_keeps_its_patterns_and_is_reported_once(story: Story) -> None:
    story.path.unlink()
    assert [story.bans(), story.bans()] == [True, True]
    (problem,) = story.problems
    assert problem.startswith(f"{story.path}: No such file or directory; ")


def test_a_file_an_editor_has_just_emptied_is_not_taken_for_an_empty_file(story: Story) -> None:
    story.path.write_bytes(b"")
    assert story.bans()
    story.path.write_bytes(b"scr$\n")
    assert not story.bans()


def test_a_file_emptied_on_purpose_bans_nothing_once_settled(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.path.write_bytes(b"")
    monkeypatch.setattr(livefile, "_SETTLED", 0)
    assert not story.bans()


def test_the_first_reading_has_nothing_to_fall_back_on(tmp_path: Path) -> None:
    told: list[ConfigError] = []
    bad = tmp_path / "bad"
    bad.write_bytes(b"a\n\n")
    with pytest.raises(ConfigError, match="line 2"):
        PatternFile(str(bad), told.append)
    with pytest.raises(ConfigError, match=r"absent: No such file or directory"):
        PatternFile(str(tmp_path / "absent"), told.append)
    with pytest.raises(ConfigError, match="not a regular file"):
        PatternFile(str(tmp_path), told.append)
    assert told == []


def test_a_fifo_in_its_place_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="not a regular file"):
        PatternFile(str(tmp_path / "fifo"), lambda _: None)


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(b"a\n" * (1 << 20))
    with pytest.raises(ConfigError, match="more than 1048576 bytes"):
        PatternFile(str(tmp_path / "huge"), lambda _: None)


def test_a_path_no_file_can_have_is_a_setting_to_correct() -> None:
    with pytest.raises(ConfigError, match="null"):
        PatternFile("etc/\0", lambda _: None)
