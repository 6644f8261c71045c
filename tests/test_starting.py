"""What a process loads: only what it is for, as short lives begin often and long ones stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spoolscan.cli import main

SETTINGS = {"pydantic", "tomllib"}
ENGINES = {"yara_x", "re2"}
# What no process is to load that has not been asked for it.
RARE = {"jinja2", "rich", "cryptography", "zstandard", "msoffcrypto", "docutils"}
DNS = {"dns", "idna"}
STAGES = {"spoolscan.receiver.stage", "spoolscan.scanner.daemon", "spoolscan.forwarder.daemon"}
LIGHT = RARE | DNS | ENGINES | SETTINGS | STAGES | {"asyncio", "ssl", "sqlite3", "watchdog"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("starting") / "spool"
    assert main(["init", str(place), "--domain", "example.com"]) == 0
    return place


def loaded(code: str, root: Path) -> set[str]:
    """What is loaded when a new process has run a line of code; all of it ran without an error."""
    program = f"import sys\nroot = {str(root)!r}\n{code}\nprint('loaded', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def command(*words: str) -> str:
    arguments = ", ".join(word if word == "root" else repr(word) for word in words)
    return f"from spoolscan.cli import main\nassert main(['--spool', {arguments}]) == 0"


def test_a_look_at_the_queue_loads_neither_settings_nor_engines(root: Path) -> None:
    names = loaded(command("root", "queue"), root)
    assert "spoolscan.queue" in names
    assert not names & LIGHT


def test_settings_are_read_without_what_they_are_for(root: Path) -> None:
    names = loaded("import spoolscan.config\nassert spoolscan.config.load(root)", root)
    assert names >= SETTINGS
    assert not names & (RARE | DNS | ENGINES | STAGES)
    assert not names & {"spoolscan.receiver.limits", "spoolscan.scanner.macros.vba", "asyncio"}


def test_forwarding_to_one_host_asks_no_dns_and_writes_no_mail(root: Path) -> None:
    names = loaded(command("root", "smtpfwdd", "--once"), root)
    assert "spoolscan.forwarder.daemon" in names
    assert not names & (RARE | DNS | ENGINES)


def test_a_scan_of_an_empty_spool_loads_no_engine(root: Path) -> None:
    names = loaded(command("root", "scanmail", "--once"), root)
    assert "spoolscan.scanner.stage" in names
    assert not names & (RARE | DNS | ENGINES | STAGES)


def test_inspection_loads_no_stage_and_no_network(root: Path) -> None:
    (root / "mail.eml").write_bytes(b"Subject: hello\r\n\r\nHello\r\n")
    code = command("root", "inspect", "MAIL").replace("'MAIL'", "root + '/mail.eml'")
    names = loaded(code, root)
    assert names >= ENGINES
    assert not names & (RARE | DNS | STAGES | {"asyncio", "ssl", "sqlite3", "watchdog"})
    assert "spoolscan.scanner.engines.clamd" not in names


def test_the_receiver_loads_no_engine_and_no_reader(root: Path) -> None:
    names = loaded("import spoolscan.stage, spoolscan.receiver.stage", root)
    assert not names & (RARE | {"yara_x", "spoolscan.scanner.inspect", "spoolscan.scanner.unpack"})


def test_the_supervisor_loads_nothing_but_itself(root: Path) -> None:
    names = loaded("import spoolscan.cli\nimport spoolscan.cli.run", root)
    assert not names & (LIGHT - {"asyncio", "ssl"})
