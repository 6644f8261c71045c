"""One connection to a next hop, on which it is asked who exists: MAIL FROM:<>, RCPT, and no DATA.

A yes is a 2xx to RCPT.  A no is a 5xx to it that speaks of the mailbox, for whoever would send the
mail later would hear the same::

    550, 551, 553   without an enhanced status, or with one that says "other" (5.0.0, 5.1.0 ...)
    5xx             5.1.1 to 5.1.6, 5.1.10, 5.2.1 (RFC 3463, 7505), and Microsoft's 5.4.1

Everything else is no answer: a 4xx, 552 (full, RFC 5321 4.5.3.1.10), a policy about us or about the
null sender (5.7.1 "relay access denied", 5.1.8), any refusal before RCPT, silence, nonsense.

TLS is as the options say, as for the mail itself; passwords are never said.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from spoolscan.nexthop.options import Options
from spoolscan.nexthop.tls import Tls, reason
from spoolscan.nexthop.url import Address
from spoolscan.receiver.answers import Answer
from spoolscan.receiver.reply import printable

WORDS: Final = 200  # characters of an answer that are kept
_LINE_BYTES: Final = 4096
_MOST_LINES: Final = 100
_QUESTIONS: Final = 50  # of one connection
_REFUSALS: Final = 8  # of one connection; Postfix begins to sleep at ten
_REPLY: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r\n]*))?\r\n")
_STATUS: Final = re.compile(r"5\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|\Z)")
_FULL: Final = 552
_OF_MAILBOXES: Final = frozenset({550, 551, 553})
_OTHER: Final = frozenset({"", "5.0.0", "5.1.0", "5.2.0", "5.3.0"})
_NOBODY: Final = frozenset(
    {"5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.2.1", "5.4.1"}
)


class Unanswered(Exception):
    """What the next hop did instead of answering."""


class TlsFailed(Unanswered):
    """It offers TLS and cannot do it, or not in a way that is believed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whom to ask, and how: without a password in the options."""

    address: Address
    lmtp: bool = False
    options: Options = Options()  # noqa: RUF009 - frozen

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class _Said:
    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return printable(f"{self.code} {' '.join(self.lines)}".strip(), WORDS)

    @property
    def verdict(self) -> bool | None:
        """Of an answer to RCPT: whether there is such a mailbox."""
        if self.code // 100 == 2:
            return True
        if self.code // 100 != 5 or self.code == _FULL:
            return None
        found = _STATUS.match(self.lines[0])
        status = found[0] if found else ""
        no = self.code in _OF_MAILBOXES if status in _OTHER else status in _NOBODY
        return False if no else None


class Probe:
    """Raises Unanswered, OSError; the caller ends it then."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._features: frozenset[str] = frozenset()
        self._questions = 0
        self._refusals = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, hostname: str, tls: Tls | None) -> None:
        """``tls`` is None where there is to be none."""
        await self._connect(tls if tls is not None and tls.implicit else None)
        self._wanted(await self._read(), "the greeting")
        await self._greet(hostname)
        if tls is not None and not tls.implicit and await self._secure(tls):
            await self._greet(hostname)

    async def ask(self, address: str) -> Answer:
        self._stop_timer()
        if self._questions:
            self._wanted(await self._say("RSET"), "RSET")
        self._questions += 1
        utf8 = "" if address.isascii() else " SMTPUTF8"
        if utf8 and "SMTPUTF8" not in self._features:
            return Answer(address, False, "it takes no internationalized addresses")
        self._wanted(await self._say(f"MAIL FROM:<>{utf8}"), "MAIL FROM:<>")
        said = await self._say(f"RCPT TO:<{address}>")
        self._refusals += said.code // 100 != 2
        return Answer(address, said.verdict, said.text)

    @property
    def worn(self) -> bool:
        return self._questions >= _QUESTIONS or self._refusals >= _REFUSALS

    def hang_up_after(self, seconds: float, forget: Callable[[Probe], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, forget, self)

    def abort(self) -> None:
        """Say good-bye without waiting for the answer, and close."""
        self._stop_timer()
        if self._writer is not None:
            if not self._writer.is_closing():
                self._writer.write(b"QUIT\r\n")
            self._writer.close()

    async def _connect(self, tls: Tls | None) -> None:
        at = self._place.address
        ssl, name = (tls.context, tls.name) if tls is not None else (None, None)
        if at.path:
            streams = asyncio.open_unix_connection(
                at.path, limit=_LINE_BYTES, ssl=ssl, server_hostname=name
            )
        else:
            streams = asyncio.open_connection(
                at.host, at.port, limit=_LINE_BYTES, ssl=ssl, server_hostname=name
            )
        self._reader, self._writer = await streams

    async def _greet(self, hostname: str) -> None:
        hello = await self._say(f"{'LHLO' if self._place.lmtp else 'EHLO'} {hostname}")
        if hello.code >= 500 and not self._place.lmtp:
            hello = await self._say(f"HELO {hostname}")
        self._wanted(hello, "our hello")
        self._features = frozenset(line.split(" ")[0].upper() for line in hello.lines[1:])

    async def _secure(self, tls: Tls) -> bool:
        """Whether there is TLS now.  Raises TlsFailed, and Unanswered where there must be TLS."""
        policy = self._place.options.tls
        if "STARTTLS" not in self._features:
            if policy != "may":
                raise Unanswered(f"offers no STARTTLS, and tls={policy} is set for it")
            return False
        try:
            said = await self._say("STARTTLS")
            if said.code == 220:
                await self._shake_hands(tls)
        except Unanswered as error:
            raise TlsFailed(str(error)) from error
        except OSError as error:
            raise TlsFailed(reason(error)) from error
        if said.code == 421 or (said.code != 220 and policy != "may"):
            raise TlsFailed(f"answered STARTTLS with {said.text}")
        return said.code == 220

    async def _shake_hands(self, tls: Tls) -> None:
        """What comes in the clear behind the answer to STARTTLS is not read as if within TLS."""
        writer = cast(asyncio.StreamWriter, self._writer)
        cast(asyncio.Transport, writer.transport).pause_reading()
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                if await self._reader.read(1):
                    raise Unanswered("spoke in the clear behind its answer to STARTTLS")
        await writer.start_tls(tls.context, server_hostname=tls.name or None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wanted(self, said: _Said, what: str) -> None:
        if said.code // 100 != 2:
            raise Unanswered(f"answered {what} with {said.text}")

    async def _say(self, command: str) -> _Said:
        if not command.isprintable() or self._writer is None:
            raise Unanswered("the address cannot stand in a command")
        self._writer.write(command.encode() + b"\r\n")
        await self._writer.drain()
        return await self._read()

    async def _read(self) -> _Said:
        code, lines = b"", list[str]()
        while len(lines) < _MOST_LINES:
            try:
                line = await self._reader.readline()
            except ValueError as error:
                raise Unanswered("answered with an endless line") from error
            found = _REPLY.fullmatch(line)
            if found is None or (lines and found[1] != code):
                raise Unanswered("answered with no SMTP" if line else "hung up")
            code = found[1]
            text = (found[3] or b"").decode("ascii", "replace")
            lines.append(printable(text, _LINE_BYTES))
            if found[2] != b"-":
                return _Said(int(code), tuple(lines))
        raise Unanswered("answered without end")
