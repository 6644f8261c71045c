"""The route into a command: for the mail delivery agents of a host (LDA), and for scripts.

    pipe:/usr/lib/dovecot/dovecot-lda -f {sender} -d {recipient}
    pipe:/usr/local/bin/archive --to={recipient}

The words are split as a shell splits them, and no shell sees them.  ``{sender}``, ``{recipient}``,
``{user}`` and ``{domain}`` (of the recipient) and ``{id}`` stand for the envelope; with one of the
recipient's there is a run for each of them, else one for all.  An address that would begin a word
with a dash, which the command might take for an option, is refused.

Standard input is the message with LF line ends under Return-Path: and Delivered-To:; the
environment holds PATH and LC_ALL.  The exit status decides (``sysexits.h``): 0 is delivered, those
of `NEVER` refused, and all others, death by a signal and a run that is too long, mean: not now.
What was printed is for the report, the last of it.  The whole process group ends with the run.
Should we be killed meanwhile, the command sees the end of its input, and later gets all again.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from spoolscan.config import Timeouts
from spoolscan.errors import TemporaryFailure
from spoolscan.forwarder.body import Canonical
from spoolscan.forwarder.delivery import (
    Fate,
    Mail,
    NextHopDown,
    Outcome,
    Settle,
    Success,
    checked_path,
)
from spoolscan.forwarder.final import trace
from spoolscan.forwarder.program import Program

NEVER: Final[Mapping[int, str]] = MappingProxyType(
    {
        65: "5.6.0",  # EX_DATAERR
        67: "5.1.1",  # EX_NOUSER
        68: "5.1.2",  # EX_NOHOST
        69: "5.3.0",  # EX_UNAVAILABLE
        76: "5.5.0",  # EX_PROTOCOL
        77: "5.7.1",  # EX_NOPERM
    }
)
PLACES: Final = ("{sender}", "{recipient}", "{user}", "{domain}", "{id}")
_EACH: Final = ("{recipient}", "{user}", "{domain}")


class PipeRoute:
    """Runs ``command`` for each message, or for each recipient."""

    def __init__(self, name: str, command: str, timeouts: Timeouts) -> None:
        """Raises ValueError where the command can never work."""
        self.name = name
        self._words = tuple(shlex.split(command))
        self._timeouts = timeouts
        if not self._words or not self._words[0].startswith("/") or "{" in self._words[0]:
            raise ValueError("a command begins with the full path of its program")
        self._each = any(place in word for word in self._words for place in _EACH)

    async def deliver(self, mail: Mail, settle: Settle) -> None:
        """See `Route.deliver`."""
        for run in [(item,) for item in mail.recipients] if self._each else [mail.recipients]:
            one = replace(mail, recipients=run)
            words = self._filled_in(one)
            if words is None:
                text = "an address that begins with a dash, which the command could misunderstand"
                outcome = Outcome(Fate.REFUSED, "5.1.3", text)
            else:
                outcome = await self._run(words, one)
            await settle({index: outcome for index, _ in run})

    async def close(self) -> None:
        """Nothing is kept open."""

    def _filled_in(self, mail: Mail) -> list[str] | None:
        """The words of one run; None where an address could pass for an option.  Raises Corrupt."""
        recipient = checked_path(mail.recipients[0][1])
        user, _, domain = recipient.rpartition("@")
        values = dict(
            zip(
                PLACES,
                (checked_path(mail.sender), recipient, user or recipient, domain, mail.queue_id),
                strict=True,
            )
        )
        words = [_replaced(word, values) for word in self._words]
        danger = any(
            new.startswith("-") and not old.startswith("-")
            for old, new in zip(self._words, words, strict=True)
        )
        return None if danger else words

    async def _run(self, words: Sequence[str], mail: Mail) -> Outcome:
        """Raises NextHopDown, TemporaryFailure, Corrupt, and what ``mail.content`` does."""
        head = trace(mail.sender, (address for _, address in mail.recipients))
        try:
            program = Program.start(words)
        except OSError as error:
            failure = TemporaryFailure.from_os(error, f"running {words[0]}")
            raise NextHopDown(str(failure), failure.errno) from error
        try:
            await self._feed(program, head, mail)
            async with asyncio.timeout(self._timeouts.answer):
                status = await program.finish()
        except TimeoutError:
            raise TemporaryFailure(f"{words[0]}: ended by us, it took too long") from None
        finally:
            program.close()
        return _outcome(words[0], status, program.said)

    async def _feed(self, program: Program, head: bytes, mail: Mail) -> None:
        """Raises TimeoutError, Corrupt, and what ``mail.content`` does."""
        canonical = Canonical()

        async def write(data: bytes) -> None:
            async with asyncio.timeout(self._timeouts.block):
                await program.write(data.replace(b"\r\n", b"\n"))

        await write(head)
        async for chunk in mail.content():
            await write(canonical.feed(chunk))
        await write(canonical.finish())


def _replaced(word: str, values: Mapping[str, str]) -> str:
    """Each placeholder once, so that no value is read as one."""
    for place, value in values.items():
        before, found, after = word.partition(place)
        if found:
            return f"{_replaced(before, values)}{value}{_replaced(after, values)}"
    return word


def _outcome(program: str, status: int, said: bytes) -> Outcome:
    words = " ".join(said.decode("ascii", "backslashreplace").split())
    text = "".join(char if char.isprintable() else "?" for char in words)
    if status == 0:
        return Outcome(Fate.DELIVERED, "2.0.0", text or "taken", success=Success.DELIVERED)
    how = f"signal {-status}" if status < 0 else f"status {status}"
    text = f"{program} ended with {how}" + (f": {text}" if text else "")
    if status in NEVER:
        return Outcome(Fate.REFUSED, NEVER[status], text)
    return Outcome(Fate.DEFERRED, "4.3.0", text)
