"""A server that speaks clamd's protocol and lies: for the faults a real clamd cannot be made to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


def whole_question(heard: bytes) -> bool:
    """The last chunk of a stream, the byte that carries a descriptor, or a plain command."""
    return heard.endswith((b"\0\0\0\0", b"zFILDES\0\0", b"zPING\0", b"zVERSION\0"))


def beginning_of_stream(heard: bytes) -> bool:
    return b"zINSTREAM\0" in heard


@contextlib.contextmanager
def lying_clamd(
    place: Path,
    *answers: bytes,
    after: Callable[[bytes], bool] = whole_question,
    drip: float | None = None,
) -> Iterator[Path]:
    """Listens on a unix socket, and gives its path.

    Each connection hears `answers` in turn, one each time that `after` says so of what has come in
    since the last; then it is closed.  ``drip`` is the pause in seconds between one byte and the
    next; the connection then stays open.
    """
    path = place / "liar"
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            for answer in answers:
                _listen(connection, after)
                if drip is None:
                    connection.sendall(answer)
                    continue
                for byte in answer:
                    connection.sendall(bytes([byte]))
                    if ended.wait(drip):
                        return
                ended.wait()

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            if ended.is_set():
                connection.close()
                return
            serve(connection)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield path
        finally:
            ended.set()
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(str(path))
            thread.join()


def _listen(connection: socket.socket, after: Callable[[bytes], bool]) -> None:
    heard = b""
    while not after(heard):
        piece = connection.recv(65_536)
        if not piece:
            raise ConnectionResetError
        heard += piece
