"""What was decided about one recipient."""

from __future__ import annotations

from dataclasses import dataclass

from spoolscan.receiver.reply import RECIPIENT_OK, Reply


@dataclass(frozen=True, slots=True)
class Ruling:
    """What RCPT is answered, and what follows from it where that is a yes.

    ``delay`` is how many seconds the answer waits; ``extras`` are lines for the envelope of the
    message (`Envelope.extras`), ``discard`` that this recipient gets nothing of it.
    """

    reply: Reply = RECIPIENT_OK
    delay: float = 0.0
    extras: tuple[tuple[str, str], ...] = ()
    discard: bool = False
