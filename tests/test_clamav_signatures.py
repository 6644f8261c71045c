"""How old the signatures of a clamd are, and freshclam, which keeps them new."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from clamd_server import ClamdServer
from lying_clamd import lying_clamd
from name_server import NameServer
from signing import Site, laid_out

from spoolscan import config
from spoolscan.signatures import known


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return laid_out(tmp_path)


def clamav(site: Site, address: str, servers: str = "", more: str = "") -> None:
    path = site.root / config.FILE
    text = (
        path.read_text()
        .partition("#--test--")[0]
        .replace("#servers = []", f"servers = [{servers}]")
    )
    text = text.replace("[signatures]\n", f"[signatures]\n{more}")
    path.write_text(f'{text}#--test--\n[[engine]]\nkind = "clamd"\naddress = "{address}"\n')


VERSION = b"ClamAV 1.4.3/27800/Fri Nov 13 09:00:00 2026\0"
RECORD = "current.cvd.clamav.net TXT"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ('"1.4.3:62:27803:1795000000:1:90:49192:339"', "of 2026-11-13, 3 behind ClamAV"),
        ('"nonsense"', "of 2026-11-13; does freshclam run?"),
        (None, "of 2026-11-13; does freshclam run?"),
        ('"1.4.3:62:27800:1795000000:1:90:49192:339"', None),
    ],
)
def test_a_clamd_with_old_signatures_is_told_of(
    site: Site, tmp_path: Path, record: str | None, said: str | None
) -> None:
    records = {RECORD: [record]} if record else {}
    now = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    with NameServer(records) as server, lying_clamd(tmp_path, VERSION) as path:
        clamav(site, f"unix:{path}", f'"{server.place}"')
        words = site.update(now)
        assert server.asked == [RECORD]
    assert site.notices() == [] if said is None else said in site.notices()[0]
    assert ("trouble" in words) == (said is not None)


@pytest.mark.real
def test_a_real_clamd_is_told_to_reload_and_asked_how_new_it_is(
    site: Site, clamd: ClamdServer
) -> None:
    clamav(site, f"unix:{clamd.path}", more='reload = true\nrecord = ""\n')
    assert "trouble" not in site.update()
    (one,) = known.read(site.spool).values()
    assert one.words.startswith("ClamAV ")


def test_a_clamd_that_is_down_is_trouble_and_no_failure_of_the_job(site: Site) -> None:
    clamav(site, "unix:/nobody/here", more='record = ""\n')
    assert "clamd does not answer" in site.update()
    assert "clamd at unix:/nobody/here" in site.notices()[0]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ('["sh", "-c", "echo all new"]', "freshclam: as it was"),
        ('["sh", "-c", "echo no network; exit 2"]', "exit status 2: no network"),
        ('["/no/such/freshclam"]', "No such file"),
    ],
)
def test_freshclam_is_run_and_its_last_words_are_told(site: Site, argv: str, said: str) -> None:
    clamav(site, "unix:/nobody/here", more=f'freshclam = {argv}\nrecord = ""\n')
    assert said in site.update()
