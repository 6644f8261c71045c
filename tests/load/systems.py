"""What is measured side by side: each takes mail on a port, and hands it on to the sink's.

Each is as its package or `spoolscan init` sets it up, but for names, places and ports; DNS is not
asked by any.  Postfix's queue and ours lie below the same folder, on the same disk.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from clamd_server import ClamdServer
from gateway import Gateway
from loopback import until
from postfix_server import PostfixServer

_SBIN: Final = os.environ.get("PATH", "") + ":/usr/sbin"


class System(Protocol):
    """Use as a context manager: it runs inside."""

    port: int
    catches: Sequence[str]  # kinds of mail that do not come out

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def roots(self) -> Sequence[int]: ...  # process ids
    def idle(self) -> bool: ...  # nothing is on its way


class Ours:
    """`spoolscan run`, with the embedded engine, or with clamd."""

    catches = ("eicar", "program")

    def __init__(
        self, folder: Path, sink: int, clamd: ClamdServer | None = None, scan: str = "suspicious"
    ) -> None:
        self._gateway = Gateway(folder / "spool", f"smtp://127.0.0.1:{sink}")
        self._gateway.configure("scanner", workers="0", scan=f'"{scan}"')
        self.port = self._gateway.port
        self._clamd = clamd
        if clamd is not None:
            self._gateway.use_clamd(clamd)

    def __enter__(self) -> Self:
        if self._clamd is not None:
            self._clamd.start()
        self._gateway.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gateway.stop()
        if self._clamd is not None:
            self._clamd.stop()

    @property
    def gateway(self) -> Gateway:
        return self._gateway

    def roots(self) -> list[int]:
        clamd = [self._clamd.pid] if self._clamd is not None else []
        return [self._gateway.pid, *clamd]

    def idle(self) -> bool:
        return not any(map(self._gateway.messages, ("tmp", "incoming", "scanning", "outgoing") * 2))


class Postfix:
    """Postfix alone: it looks at nothing."""

    catches: Sequence[str] = ()

    def __init__(self, folder: Path, sink: int) -> None:
        folder.mkdir(mode=0o755)
        self.server = PostfixServer(["nobody@here.example"], outside=sink, folder=folder)
        self.port = self.server.port

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()

    def roots(self) -> list[int]:
        return [self.server.pid]

    def idle(self) -> bool:
        queues = [self.server.root / "queue" / name for name in ("incoming", "active", "deferred")]
        return not any(path.is_file() for queue in queues * 2 for path in queue.rglob("*"))


class Milter(Postfix):
    """Postfix and clamav-milter with clamd: all attachments are scanned, EICAR is refused."""

    catches = ("eicar",)

    def __init__(self, folder: Path, sink: int) -> None:
        super().__init__(folder, sink)
        self._socket = folder / "milter.sock"
        self._clamd = ClamdServer(_made(folder / "clamd"))
        self._settings = folder / "milter.conf"
        self._settings.write_text(
            f"MilterSocket unix:{self._socket}\nMilterSocketMode 666\nForeground yes\n"
            f"ClamdSocket unix:{self._clamd.path}\nTemporaryDirectory {_made(folder / 'scratch')}\n"
            "OnClean Accept\nOnInfected Reject\nOnFail Defer\nAddHeader No\nUser root\n"
        )
        with (self.server.root / "etc" / "main.cf").open("a") as settings:
            settings.write(f"smtpd_milters = unix:{self._socket}\n")
            settings.write("milter_default_action = tempfail\n")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._clamd.start()
        self._process = subprocess.Popen(
            ["clamav-milter", "-c", str(self._settings)],
            env={**os.environ, "PATH": _SBIN},
            stdout=subprocess.DEVNULL,
        )
        until(self._socket.exists, "clamav-milter starts")
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._clamd.stop()

    def roots(self) -> list[int]:
        assert self._process is not None
        return [*super().roots(), self._process.pid, self._clamd.pid]


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o755)
    return folder


def _with_clamd(folder: Path, sink: int) -> Ours:
    return Ours(_made(folder), sink, ClamdServer(_made(folder / "clamd")))


def _all_by_clamd(folder: Path, sink: int) -> Ours:
    return Ours(_made(folder), sink, ClamdServer(_made(folder / "clamd")), scan="all")


def _alone(folder: Path, sink: int) -> Ours:
    return Ours(_made(folder), sink)


SYSTEMS: Final[Mapping[str, Callable[[Path, int], System]]] = {
    "spoolscan": _alone,
    "spoolscan+clamd": _with_clamd,
    "spoolscan+all": _all_by_clamd,
    "postfix": Postfix,
    "postfix+milter": Milter,
}
