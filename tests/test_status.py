"""How the gateway is: facts, numbers for Prometheus, the port, and what the command shows."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gateway import Gateway
from loopback import free_port, until

from spoolscan import cli, config, log
from spoolscan.envelope import Envelope, Recipient
from spoolscan.jobs import stamps
from spoolscan.jobs.stamps import Stamp
from spoolscan.journal import Journal
from spoolscan.signatures import known
from spoolscan.signatures.known import Known
from spoolscan.spool import Spool
from spoolscan.status.facts import facts
from spoolscan.status.numbers import Counts, text
from spoolscan.status.web import Pages

LETTER = b"From: <a@example.net>\r\nSubject: x\r\n\r\nGood day\r\n"
SAMPLE = re.compile(
    r'[a-z_:][a-z0-9_:]*(\{[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"\})? -?[0-9.]+(e[+-]?[0-9]+)?', re.ASCII
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    assert cli.main(["init", str(tmp_path / "spool"), "--domain", "example.com"]) == 0
    return tmp_path / "spool"


def put(root: Path, state: str) -> str:
    draft = Spool(root).draft(Envelope("", (Recipient("b@example.com"),)))
    draft.write(LETTER)
    return draft.commit(state)


def well(root: Path, now: float | None = None) -> dict[str, str]:
    """Trouble by id; "" is none."""
    rows = facts(config.load(root), Spool(root), time.time() if now is None else now)
    return {row.id: row.trouble for row in rows}


def test_a_stage_runs_as_long_as_somebody_has_its_lock(root: Path) -> None:
    assert well(root)["stage smtpd"] == "not running"
    with Spool(root).lock("smtpd"):
        assert well(root)["stage smtpd"] == ""
        assert well(root)["stage jobs"] == "not running"
    assert well(root)["stage smtpd"] == "not running"


def test_whoever_looks_keeps_no_stage_from_starting(root: Path) -> None:
    """A lock that is held to look at it is waited for."""
    spool = Spool(root)
    with spool.lock("smtpd"):
        pass
    script = (
        "from spoolscan.spool import Spool\n"
        f"spool = Spool({str(root)!r}); print(flush=True)\n"
        "while True: spool.is_locked('smtpd')"
    )
    looking = subprocess.Popen(
        [
            sys.executable, "-c",
            script,
        ],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert looking.stdout
        looking.stdout.readline()
        for _ in range(200):
            with spool.lock("smtpd"):
                pass
    finally:
        looking.kill()
        looking.communicate()


def test_queues_are_counted_and_old_mail_in_incoming_is_trouble(root: Path) -> None:
    put(root, "incoming")
    put(root, "hold")
    put(root, "hold")
    settings, spool = config.load(root), Spool(root)
    rows = {row.id: row for row in facts(settings, spool, time.time() + 700)}
    assert rows["incoming"].numbers["messages"] == 1
    assert 698 <= rows["incoming"].numbers["oldest"] <= 710
    assert "waits for 12m to be scanned" in rows["incoming"].trouble
    assert rows["hold"].numbers["messages"] == 2
    assert rows["hold"].trouble == ""
    assert well(root)["incoming"] == ""


def test_jobs_that_failed_signatures_in_trouble_and_a_full_disk_are_trouble(root: Path) -> None:
    spool = Spool(root)
    stamps.write(spool, "expiry", Stamp(tried=1e9, failures=3))
    known.write(spool, {"x": Known(trouble="too old")})
    path = root / config.FILE
    path.write_text(path.read_text().replace('#min_free = "64M"', 'min_free = "900000G"'))
    found = well(root)
    assert found["job expiry"] == "failed 3 times"
    assert found["signatures x"] == "too old"
    assert found["disk"] == "too little room: no mail is taken"


def test_what_cannot_be_looked_at_is_trouble(root: Path) -> None:
    (root / "hold").rename(root / "gone")
    assert "hold" in well(root)["queues"]


@pytest.fixture
def journal(root: Path) -> Path:
    """With one message received before anybody counts."""
    happen(root, ("received", {"size": 1000}))
    return root


def happen(root: Path, *events: tuple[str, dict[str, object]]) -> None:
    log.setup("test", "error")
    writing = Journal(root / "var" / "journal.db")
    log.listen(writing)
    for event, values in events:
        log.event("test", "-", event=event, **values)
    writing.close()


def test_counters_count_what_came_since_and_survive_a_new_journal(journal: Path) -> None:
    counts = Counts(config.load(journal))
    assert not counts.totals
    happen(
        journal,
        ("received", {"size": 10}),
        ("received", {"size": 20}),
        ("judged", {"verdict": "infected", "seconds": 0.5}),
    )
    counts.look()
    counts.look()
    page = text([], counts)
    assert 'spoolscan_events_total{event="received"} 2\n' in page
    assert 'spoolscan_verdicts_total{verdict="infected"} 1\n' in page
    assert "spoolscan_received_bytes_total 30\n" in page
    assert 'spoolscan_seconds_total{event="judged"} 0.5\n' in page
    for path in (journal / "var").glob("journal.db*"):
        path.unlink()
    happen(journal, ("received", {"size": 5}))
    counts.look()
    assert "spoolscan_received_bytes_total 35\n" in text([], counts)


def test_the_page_has_the_form_of_prometheus(journal: Path) -> None:
    known.write(Spool(journal), {'a "b"\\ \n c': Known(trouble="x")})
    settings = config.load(journal)
    counts = Counts(settings)
    happen(journal, ("forwarded", {"seconds": 1.5}), ("denied", {}))
    counts.look()
    page = text(facts(settings, Spool(journal), time.time()), counts)
    assert page.endswith("\n")
    seen: set[str] = set()
    kinds = {}
    for line in page[:-1].split("\n"):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            assert SAMPLE.fullmatch(line), line
            assert line.rpartition(" ")[0] not in seen
            seen.add(line.rpartition(" ")[0])
            assert re.split(r"[ {]", line)[0] in kinds
    assert kinds["spoolscan_events_total"] == "counter"


def test_requests_of_every_sort_get_an_answer(root: Path) -> None:
    async def ask() -> list[bytes]:
        pages = Pages(config.load(root), Spool(root))
        requests = (
            b"GET /health HTTP/1.1\r\n\r\n", b"HEAD /metrics HTTP/1.1\r\n\r\n",
            b"POST /health HTTP/1.1\r\n\r\n", b"GET /../etc HTTP/1.0\r\n\r\n", b"\r\n\r\n",
            b"GET /metrics?x=1 HTTP/1.1\r\n\r\n",
        )  # fmt: skip
        return [await pages.respond(request) for request in requests]

    answers = asyncio.run(ask())
    codes = [answer.split(b" ")[1] for answer in answers]
    assert codes == [b"503", b"200", b"405", b"404", b"405", b"200"]
    assert b"stage smtpd: not running\n" in answers[0]
    assert answers[1].endswith(b"\r\n\r\n")
    assert b"spoolscan_build_info" in answers[5]


def _get(port: int, path: str) -> tuple[int, str]:
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    asking.request("GET", path)
    answer = asking.getresponse()
    found = answer.status, answer.read().decode()
    asking.close()
    return found


def test_a_running_gateway_tells_how_it_is(tmp_path: Path) -> None:
    port = free_port()
    with Gateway(tmp_path / "spool", f"maildir:{tmp_path / 'maildir'}") as gateway:
        gateway.configure("metrics", listen=f'"127.0.0.1:{port}"')
        gateway.start()
        gateway.wait_for_log("event=metrics")
        assert _get(port, "/health") == (200, "ok\n")
        gateway.wait_until_done(gateway.send(LETTER))
        counted = 'spoolscan_verdicts_total{verdict="clean"} 1\n'
        until(lambda: counted in _get(port, "/metrics")[1], "it is counted", tell=gateway.log)
        shown = gateway.command("--spool", str(gateway.root), "status", "--json")
        rows = json.loads(shown.stdout)
        assert {row["id"] for row in rows} >= {"stage smtpd", "incoming", "engine yara", "disk"}
        assert not any(row["trouble"] for row in rows)
        stranger = socket.create_connection(("127.0.0.1", port))
        stranger.sendall(b"x" * 100_000)  # no request at all
        stranger.close()
        gateway.send_signal("scanmail", signal.SIGSTOP)  # it has its lock, and does nothing
        late = gateway.send(LETTER)
        gateway.configure("metrics", waiting="1", listen=f'"127.0.0.1:{port}"')
        gateway.reload()
        until(lambda: _get_or_0(port) == 503, "mail waits", tell=gateway.log)
        assert "incoming: mail waits" in _get(port, "/health")[1]
        gateway.send_signal("scanmail", signal.SIGCONT)
        gateway.wait_until_done(late)
        until(lambda: _get_or_0(port) == 200, "all is well", tell=gateway.log)


def _get_or_0(port: int) -> int:
    try:
        return _get(port, "/health")[0]
    except OSError:  # between two lives
        return 0


def test_a_port_that_is_taken_keeps_no_mail_waiting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Gateway(tmp_path / "spool", f"maildir:{tmp_path / 'maildir'}") as gateway:
            gateway.configure("metrics", listen=f'"127.0.0.1:{port}"')
            gateway.start()
            gateway.wait_until_done(gateway.send(LETTER))
            gateway.wait_for_log("event=metrics .*error=")


def test_on_a_terminal_it_is_shown_again_and_again(root: Path) -> None:
    command = [sys.executable, "-m", "spoolscan", "--spool", str(root), "status", "--watch"]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 64
    ours, theirs = pty.openpty()
    shown = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""

    def has_it_twice() -> bool:
        nonlocal seen
        if select.select([ours], [], [], 0.1)[0]:
            seen += os.read(ours, 65_536)
        return seen.count(b"scanmail") >= 2

    try:
        until(has_it_twice, "two pictures", tell=lambda: repr(seen))
    finally:
        shown.send_signal(signal.SIGINT)
        assert shown.wait(60) == 130
        os.close(ours)


def test_syslog_gets_one_line_an_event(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / config.FILE
    path.write_text(path.read_text().replace('#to = "stderr"', 'to = "syslog"'))
    monkeypatch.setattr(log, "setup_syslog", lambda _: False)
    log.send("test", config.load(root).log.to)
    assert "event=no-syslog" in capsys.readouterr().err
    monkeypatch.undo()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "log"))
        assert log.setup_syslog("test", path=str(tmp_path / "log"))
        log.event("test", "-", event="hello", words="two\nlines")
        line = syslog.recv(4096)
    assert re.fullmatch(rb'<22>spoolscan/test\[\d+\]: -: event=hello words="two\\nlines"\0?', line)
    (handler,) = logging.getLogger("spoolscan").handlers
    handler.close()
    log.setup("test")
