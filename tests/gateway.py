"""spoolscan as an administrator runs it: `spoolscan init`, `spoolscan run`, a look at the spool.

Every process here is a real one, started from the command line; nothing is imported from the
package.  The gateway is gate.example.com, is responsible for example.com, and has 127.0.0.2 as its
own network: what comes from 127.0.0.1 comes from outside.
"""

from __future__ import annotations

import os
import re
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from clamd_server import ClamdServer
from loopback import answers, free_port, until

OUTSIDE = "127.0.0.1"
INSIDE = "127.0.0.2"
ADMIN = "postmaster@example.com"
STATES = ("tmp", "incoming", "scanning", "outgoing", "hold")
_QUEUE_ID = re.compile(r"\d{8}t\d{6}z-[0-9a-z]{6}")


class Gateway:
    """One spool and the processes on it.  Use as a context manager; `start` when it is set up."""

    def __init__(self, root: Path, next_hop: str, *, log: Path | None = None) -> None:
        self.root = root
        self.port = free_port()
        self._log = log or root.with_name(f"{root.name}.log")
        self._process: subprocess.Popen[bytes] | None = None
        self.says = self.command(
            "init", str(root),
            "--domain", "example.com",
            "--network", f"{INSIDE}/32",
            "--admin", ADMIN,
            "--listen", f"127.0.0.1:{self.port}",
            "--next-hop", next_hop,
        ).stdout  # fmt: skip
        self.configure("site", hostname='"gate.example.com"')
        self.configure("receiver", reverse_lookup="false")
        self.configure("scanner", workers="1", retry='"1s"')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        sys.stderr.write(self._end_of_log())  # pytest shows it with a failure

    # Settings

    def configure(self, section: str, **values: str) -> None:
        """Set keys of one section; values as TOML spells them."""
        path = self.root / "etc" / "spoolscan.toml"
        head, title, rest = path.read_text().partition(f"\n[{section}]\n")
        assert title, f"no section [{section}]"
        body, bracket, tail = rest.partition("\n[")
        for key, value in values.items():
            body = re.sub(rf"(?m)^#?{key} = .*\n", "", body)
            body = f"{key} = {value}\n{body}"
        path.write_text(head + title + body + bracket + tail)

    def use_clamd(self, clamd: ClamdServer) -> None:
        """Have clamd judge, and nothing else."""
        self.configure("[engine]", kind='"clamd"', name='"clamd"', address=f'"unix:{clamd.path}"')

    # Processes

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one `spoolscan ...` to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "spoolscan", *arguments],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def script(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the spool's own scripts, as cron would: no option, no environment."""
        return subprocess.run(
            [str(self.root / "bin" / name), *arguments],
            capture_output=True, text=True, check=False, timeout=60,
            cwd="/", env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    def start(self) -> None:
        """`spoolscan run`, until it says READY."""
        output = self._log.with_suffix(".out")
        self._begin(output, sys.executable, "-m", "spoolscan", "--spool", str(self.root), "run")
        until(
            lambda: self._runs() and output.read_bytes() == b"READY\n",
            "READY",
            tell=self._end_of_log,
        )

    def start_receiver(self) -> None:
        """The spool's own bin/smtpd alone, until it greets."""
        self._begin(self._log.with_suffix(".out"), str(self.root / "bin" / "smtpd"))
        until(lambda: self._runs() and answers(self.port), "smtpd greets", tell=self._end_of_log)

    @property
    def pid(self) -> int:
        """Of what was started."""
        assert self._process is not None
        return self._process.pid

    def _begin(self, output: Path, *command: str) -> None:
        assert self._process is None
        with output.open("wb") as out, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=log
            )

    def _end_of_log(self) -> str:
        return self.log()[-5000:]

    def _runs(self) -> bool:
        assert self._process is not None
        if (status := self._process.poll()) is not None:
            raise AssertionError(f"it ended with {status}:\n{self._end_of_log()}")
        return True

    def stop(self) -> int | None:
        """SIGTERM; returns the exit status.  Does nothing where it does not run."""
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(60)
        self._process = None
        return status

    def kill(self) -> None:
        """SIGKILL to the supervisor itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def reload(self) -> None:
        """SIGHUP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def process(self, stage: str) -> int:
        """The process id of a stage; 0 while it has none."""
        assert self._process is not None
        for pid in _children(self._process.pid):
            if _arguments(pid)[-1:] == [stage]:
                return pid
        return 0

    def send_signal(self, stage: str, number: signal.Signals) -> None:
        """To one stage."""
        os.kill(until(lambda: self.process(stage), f"{stage} runs", tell=self._end_of_log), number)

    def edited(self) -> None:
        """What was saved is in force when this returns."""
        time.sleep(1.0)  # it may take so long, and no longer

    def send_signal_to_worker(self, number: signal.Signals) -> None:
        """To one of the scanner's workers."""
        os.kill(until(self.workers, "a worker", tell=self._end_of_log)[0], number)

    def workers(self) -> list[int]:
        """The process ids of the scanner's workers, each of them its open half."""
        return [worker for nursery in self.nurseries() for worker in _children(nursery)]

    def nurseries(self) -> list[int]:
        """The process that forks them; none for a moment when it was killed."""
        return _children(self.process("scanmail"))

    def readers(self) -> list[int]:
        """Those of their locked halves, which read mail."""
        return [reader for worker in self.workers() for reader in _children(worker)]

    def log(self) -> str:
        """All that was said on standard error so far."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def wait_for_log(self, pattern: str, count: int = 1) -> list[str]:
        """The lines that match, once there are as many as that."""
        return until(
            lambda: (
                found
                if len(found := re.findall(rf"(?m)^.*{pattern}.*$", self.log())) >= count
                else []
            ),
            f"{pattern!r} in the log",
            tell=self._end_of_log,
        )

    # Mail

    def connect(self, peer: str = OUTSIDE) -> smtplib.SMTP:
        """A connection from that address; the caller closes it."""
        return smtplib.SMTP("127.0.0.1", self.port, timeout=60, source_address=(peer, 0))

    def send(
        self,
        data: bytes,
        sender: str = "alice@example.net",
        recipients: Sequence[str] = ("bob@example.com",),
        *,
        peer: str = OUTSIDE,
    ) -> str:
        """Have a message accepted; returns its queue id."""
        with self.connect(peer) as client:
            client.ehlo("mail.example.net")
            for code, text in (client.mail(sender), *map(client.rcpt, recipients)):
                assert code == 250, text
            code, text = client.data(data)
        assert code == 250, text
        assert text.startswith(b"2.0.0 queued as ")
        return text.decode().rpartition(" ")[2]

    def swaks(self, data: Path, *arguments: str) -> str:
        """Send the file as it is by swaks; returns the queue id of the 250."""
        done = subprocess.run(
            [
                "swaks", "--server", "127.0.0.1", "--port", str(self.port),
                "--no-data-fixup", "--data", f"@{data}", *arguments,
            ],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found = re.search(r"250 2\.0\.0 queued as (\S+)", done.stdout)
        assert found, done.stdout
        return found[1]

    # The spool

    def messages(self, state: str) -> list[str]:
        """The queue ids that lie in a state, oldest first."""
        return sorted(path.name for path in self._files(state))

    def _files(self, state: str) -> list[Path]:
        pattern = "*/*" if state == "quarantine" else "*"
        found = (self.root / state).glob(pattern)
        return [path for path in found if _QUEUE_ID.fullmatch(path.name)]

    def find(self, queue_id: str) -> Path | None:
        """Where a message lies; None where it is done."""
        for state in (*STATES, "quarantine"):
            for path in self._files(state):
                if path.name == queue_id:
                    return path
        return None

    def wait_in(self, state: str, queue_id: str) -> Path:
        """Its file, once it lies in that state."""
        (found,) = until(
            lambda: [path for path in self._files(state) if path.name == queue_id],
            f"{queue_id} in {state}/",
            tell=self._end_of_log,
        )
        return found

    def wait_until_done(self, *queue_ids: str) -> None:
        """All delivered, or given up: no file of theirs is left."""
        until(
            # Twice, for a message that is put back moves against the order in which we look.
            lambda: not any(self.find(queue_id) for queue_id in queue_ids * 2),
            f"{queue_ids} done",
            tell=self._end_of_log,
        )


def _children(parent: int) -> list[int]:
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):  # its threads come and go
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    except FileNotFoundError:
        return []
