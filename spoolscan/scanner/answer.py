"""What a worker said of one message: held to its form, for the worker may be anybody's by now."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from spoolscan.errors import TemporaryFailure
from spoolscan.verdict import Report


@dataclass(frozen=True, slots=True)
class DecodedPart:
    """One decoded part, in memory that the worker shares with us (a memfd of `Answer`)."""

    path: tuple[str, ...]
    descriptor: int
    offset: int
    size: int  # bytes; at most as many as one message may decode to

    def read(self) -> bytes:
        """Its content.

        Nothing where it cannot be read: the worker may have sent any descriptor at all, and its
        message is to be set aside all the same.
        """
        try:
            return os.pread(self.descriptor, self.size, self.offset)
        except OSError:
            return b""


@dataclass(slots=True)
class Answer:
    """What a worker said; use as a context manager, it holds descriptors."""

    report: Report
    parts: list[DecodedPart] = field(default_factory=list)
    descriptors: Sequence[int] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)

    @classmethod
    def of_frame(cls, content: Mapping[str, Any], descriptors: Sequence[int], longest: int) -> Self:
        """From the frame that came; ``longest`` is how many bytes a part may have.

        Raises TemporaryFailure where an engine could not answer, and for what has not this form
        KeyError, TypeError, ValueError or OverflowError; the descriptors are closed then.
        """
        try:
            if "failure" in content:
                raise TemporaryFailure(str(content["failure"]))
            report, parts = content["report"], content["parts"]
            if not isinstance(report, dict) or not isinstance(parts, list):
                raise TypeError("an answer that is no report")
            if len(descriptors) != bool(parts):
                raise ValueError(f"{len(descriptors)} descriptors for {len(parts)} parts")
            answer = cls(Report.from_dict(report), descriptors=descriptors)
            for part in parts:
                where = tuple(str(step) for step in part["path"])
                offset, size = map(int, part["place"])
                if offset < 0 or not 0 <= size <= longest:
                    raise ValueError(f"a part of {size} bytes at {offset}")
                answer.parts.append(DecodedPart(where, descriptors[0], offset, size))
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return answer
