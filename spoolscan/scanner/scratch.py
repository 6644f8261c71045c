"""The scratch of one message: memory that both halves of a worker see, and nothing else.

A memory file of fixed size, sealed so that neither side can make it longer or shorter under the
other one's hands; only what is written takes memory.  Whoever reads copies, and believes nothing
of what it copied, for the other half may write at any time.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final, Self

_SEALS: Final = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Full(Exception):
    """No room for so much."""


class Scratch:
    """Of ``size`` bytes; use as a context manager, or close it."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self._at = 0

    @classmethod
    def make(cls, size: int) -> Self:
        """Raises OSError."""
        descriptor = os.memfd_create("scratch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except OSError:
            os.close(descriptor)
            raise
        return cls(descriptor, size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self.descriptor)

    def clear(self) -> None:
        """Put the next bytes over those that were put before."""
        self._at = 0

    def put(self, data: bytes) -> tuple[int, int]:
        """Where the bytes are now: offset and length.  Raises Full, OSError."""
        at = self._at
        if len(data) > self.size - at:
            raise Full(f"{len(data)} bytes more than the scratch holds")
        with memoryview(data) as view:
            done = 0
            while done < len(data):
                done += os.pwrite(self.descriptor, view[done:], at + done)
        self._at += len(data)
        return at, len(data)

    def get(self, at: int, length: int) -> bytes:
        """Raises ValueError where that is no place in it, OSError."""
        if not (0 <= at <= self.size and 0 <= length <= self.size - at):
            raise ValueError(f"no {length} bytes at {at} of a scratch of {self.size}")
        pieces: list[bytes] = []
        while length:
            piece = os.pread(self.descriptor, length, at)
            if not piece:
                raise ValueError("a scratch that ends early")
            pieces.append(piece)
            at, length = at + len(piece), length - len(piece)
        return b"".join(pieces)
