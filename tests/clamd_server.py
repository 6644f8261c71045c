"""A real clamd for tests: own directory, own signatures, a unix socket and a TCP port.

The signature database holds two names, EICAR's and that of `MARKER`, so nothing is downloaded.
It is started at first use (`start`), can be stopped like a crash (`stop`), or held (`pause`,
`resume`) so that it hangs with its sockets open.  It is ended by its own process id.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

# Never in one piece, so that no scanner takes this file for it.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
MARKER = b"spoolscan test marker, found by a signature of our own"
STREAM_MAX = 24 * 2**20  # bytes clamd takes by INSTREAM; by FILDES it takes any


class ClamdServer:
    """One clamd.  `path` is its socket, `tcp` its host and port; both stay over a restart."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "clamd.ctl"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.tcp: tuple[str, int] = probe.getsockname()
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def absent() -> str | None:
        """Why there can be no clamd here; None where there can."""
        return None if _program() else "no clamd here: install clamav-daemon to run this test"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers; does nothing where it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        database = self.directory / "db"
        database.mkdir(exist_ok=True)
        (database / "local.ndb").write_text(
            f"Eicar-Test:0:*:{EICAR.hex()}\nTest.Marker:0:*:{MARKER.hex()}\n"
        )
        settings = self.directory / "clamd.conf"
        settings.write_text(
            f"Foreground yes\nLocalSocket {self.path}\nDatabaseDirectory {database}\n"
            f"TCPAddr {self.tcp[0]}\nTCPSocket {self.tcp[1]}\nTemporaryDirectory {self.directory}\n"
            f"StreamMaxLength {STREAM_MAX}\nAlertEncrypted yes\nAlertExceedsMax yes\n"
            "MaxThreads 4\nConcurrentDatabaseReload no\n"
        )
        with (self.directory / "clamd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program() or "clamd", "-c", str(settings)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                words = (self.directory / "clamd.log").read_text("utf-8", "replace")
                raise RuntimeError(f"clamd did not start: {words[-500:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.path))
                connection.sendall(b"zPING\0")
                return connection.recv(16) == b"PONG\0"
            except OSError:
                return False

    def stop(self) -> None:
        """Kill it as a crash would; does nothing where it is stopped."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.path.unlink(missing_ok=True)

    def pause(self) -> None:
        """Hold it: its sockets take connections, and nothing answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


def _program() -> str | None:
    return shutil.which("clamd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
