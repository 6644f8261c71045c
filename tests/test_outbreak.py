"""In an outbreak the administrator gets a few notices, and every message is counted."""

from __future__ import annotations

import re
from pathlib import Path

from builders import put, spool_in
from hypothesis import given
from hypothesis import strategies as st
from letters import read

from spoolscan import config
from spoolscan.notices import Notifier, Templates
from spoolscan.scanner.disposition import Disposer
from spoolscan.scanner.outbreak import Outbreak
from spoolscan.scanner.teller import Teller
from spoolscan.verdict import Finding, Report, Verdict


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 50)), max_size=200),
    st.integers(1, 5),
)
def test_every_notice_is_sent_or_counted_and_never_both(
    comings: list[tuple[str, float]], burst: int
) -> None:
    outbreak = Outbreak(burst, 60.0)
    now, sent, counted = 0.0, 0, 0
    for reader, pause in comings:
        now += pause
        counted += sum(many.total for many in outbreak.over(now))
        sent += outbreak.admits("found.txt", reader, "x", now)
    counted += sum(many.total for many in outbreak.over(now, all_of_them=True))
    assert sent + counted == len(comings)


def test_a_window_ends_by_itself_and_the_next_begins_with_a_burst() -> None:
    outbreak = Outbreak(2, 60.0)
    assert [outbreak.admits("t", "r", "x", at) for at in (0, 1, 2, 3)] == [True, True, False, False]
    assert outbreak.next(3) == 57.0
    assert outbreak.over(59) == []
    (many,) = outbreak.over(60)
    assert (many.total, dict(many.names)) == (2, {"x": 2})
    assert outbreak.admits("t", "r", "x", 61)
    assert outbreak.next(61) is None


def test_names_beyond_a_hundred_are_counted_together() -> None:
    outbreak = Outbreak(1, 60.0)
    for number in range(1001):
        outbreak.admits("t", "r", f"virus {number}", 0.0)
    (many,) = outbreak.over(60.0)
    assert many.total == 1000
    assert many.names["others"] == 900


def test_a_thousand_viruses_make_few_notices_and_all_are_counted(tmp_path: Path) -> None:
    site = config.Site(hostname="gate.example.com", domains=("example.com",), admin="a@example.com")
    settings = config.Config(root=tmp_path, site=site, notices=config.Notices(recipient=True))
    spool = spool_in(tmp_path)
    templates = Templates(settings.template_folders())
    teller = Teller(settings.notices, Notifier(spool, templates, site.hostname))
    disposer = Disposer(spool, settings, templates, teller)
    for number in range(1000):
        report = Report(findings=[Finding(Verdict.INFECTED, (), f"Virus.{number % 3}", "clamd")])
        put(spool, to=("bob@example.com", "eve@elsewhere.example"))
        (entry,) = spool.entries("incoming")
        with spool.claim(entry.queue_id) as message:
            disposer.dispose(message, report)
    assert teller.tell_counted() is not None
    assert teller.tell_counted(all_of_them=True) is None
    told: dict[str, int] = {}
    for entry in spool.entries("outgoing"):
        with spool.open("outgoing", entry.queue_id) as notice:
            letter = read(notice.read())
        more = re.search(r"(\d+) more", letter["Subject"])
        told[letter["To"]] = told.get(letter["To"], 0) + (int(more[1]) if more else 1)
    assert told == {"a@example.com": 1000, "bob@example.com": 1000}
    assert len(spool.entries("outgoing")) <= 2 * 11
    assert teller.tell_counted(all_of_them=True) is None
    assert len(spool.entries("outgoing")) <= 2 * 11
