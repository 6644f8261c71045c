"""Started by one who does not care how a process ends: he ignores SIGCHLD, and so would we."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from builders import put, spool_in
from gateway import Gateway
from loopback import until


def ignoring_ends(*command: str) -> list[str]:
    """The command as he starts it (execve(2))."""
    ignore = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    return [sys.executable, "-c", f"{ignore}; os.execv(sys.argv[1], sys.argv[1:])", *command]


def test_mail_that_a_command_did_not_take_stays(tmp_path: Path) -> None:
    refuse = "pipe:/bin/sh -c 'cat >/dev/null; exit 75'"
    with Gateway(tmp_path / "spool", refuse) as place:
        queue_id = put(spool_in(place.root), state="outgoing")
        command = [sys.executable, "-m", "spoolscan", "--spool", str(place.root)]
        done = subprocess.run(ignoring_ends(*command, "smtpfwdd", "--once"), check=False)
        assert (done.returncode, place.messages("outgoing")) == (0, [queue_id])


def test_a_stage_that_dies_is_started_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = gateway._begin
    monkeypatch.setattr(gateway, "_begin", lambda out, *words: begin(out, *ignoring_ends(*words)))
    gateway.start()
    before = gateway.process("smtpd")
    os.kill(before, signal.SIGKILL)
    until(lambda: gateway.process("smtpd") not in (0, before), "smtpd runs again")
    assert gateway.stop() == 0
