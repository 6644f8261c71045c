"""What was decided about one recipient."""

from __future__ import annotations

from dataclasses import dataclass

from spoolscan.receiver.reply import RECIPIENT_OK, Reply


@dataclass(frozen=True, slots=True)
class Ruling:
    """What RCPT is answered, and what follows from it.

    ``why`` says what decided, for the log.  ``delay`` is how many seconds the answer waits, and
    ``hang_up`` that the session ends with it.  ``extras`` are lines for the
    envelope of the message (`Envelope.extras`), and ``discard`` says that it gets nothing.
    """

    reply: Reply = RECIPIENT_OK
    why: str = ""
    delay: float = 0.0
    hang_up: bool = False
    extras: tuple[tuple[str, str], ...] = ()
    discard: bool = False
