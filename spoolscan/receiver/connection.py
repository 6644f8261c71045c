"""One connection: carries bytes between a socket and a `Session`, and answers its questions.

At most one segment is read ahead of the disk: while the spool writes, nothing is read, and the
peer's window fills.  A message under way when the connection ends, however it ends, is discarded.

A peer that drips gains nothing (`patience`); who asks for too much in a time is put off (`limits`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from spoolscan import log
from spoolscan.envelope import Envelope, Recipient
from spoolscan.receiver.address import NULL, Path
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import (
    Chunk,
    Closed,
    DataEnds,
    DataStarts,
    Event,
    Mail,
    NeedData,
    Rcpt,
    Refused,
    State,
    Terms,
)
from spoolscan.receiver.intake import Intake
from spoolscan.receiver.judge import Judge
from spoolscan.receiver.limits import Limits, owner
from spoolscan.receiver.patience import Patience
from spoolscan.receiver.policy import IPAddress, Policy
from spoolscan.receiver.reply import GO_AHEAD, SENDER_OK, Reply
from spoolscan.receiver.reverse import ReverseNames
from spoolscan.receiver.ruling import Ruling
from spoolscan.receiver.session import Session
from spoolscan.spool import Draft

SEGMENT: Final = 65_536  # bytes read, and gathered before they are written, at a time
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 1_048_576

STOPPING: Final = Reply(421, "4.3.2", "stopping, try again later")
CANNOT_JUDGE: Final = Reply(451, "4.3.0", "trouble of our own, try again later")
DISCARDED: Final = Reply(250, "2.0.0", "accepted")
TIMED_OUT: Final = Reply(421, "4.4.2", "timed out")


@dataclass(frozen=True, slots=True)
class House:
    """What all connections share.  ``greet_seconds`` is how long outside peers wait for the banner,
    ``refuse_early`` what becomes of those who do not.
    """

    policy: Policy
    judge: Judge
    intake: Intake
    names: ReverseNames | None
    patience: Patience
    limits: Limits
    greet_seconds: float = 0.0
    refuse_early: bool = True


class Connection:
    """One peer.  ``peer`` is None where the socket has no IP address."""

    def __init__(self, house: House, terms: Terms, peer: IPAddress | None) -> None:
        self._house = house
        self._peer = peer
        self._session = Session(terms)
        self._mail = Mail(NULL)
        self._rulings: list[Ruling] = []  # one for each recipient accepted
        self._dropping = False  # nobody gets the message under way
        self._draft: Draft | None = None
        self._pending = bytearray()  # of the message, not yet written
        self._name: asyncio.Task[str | None] | None = None
        self._clock: asyncio.Timeout | None = None  # runs while we wait for the peer
        self._waited = 0.0  # seconds for it since our last reply
        self._heard = 0  # bytes from it since then
        self._errors = 0  # of the session, counted against its address
        self._transport: asyncio.WriteTransport | None = None
        self._stopping = False

    # -- what the server calls ---------------------------------------------------------------------

    async def serve(self, sock: socket.socket, early: bytes) -> None:
        """Talk to the peer until one of us has enough.  Never raises, but when cancelled.

        ``early`` is what it sent before our banner.
        """
        try:
            reader, writer = await _streams(sock)
        except OSError:
            sock.close()
            return
        self._transport = writer.transport
        self._house.judge.expect(self._peer)
        if self._house.names is not None and self._peer is not None:
            self._name = asyncio.create_task(self._house.names.name_of(self._peer))
        try:
            await self._greet(reader, early)
            await self._converse(reader, writer)
            if not self._stopping:
                await _linger(reader, writer)
        except (OSError, EOFError) as error:  # the peer is gone; so is a message not yet complete
            level = logging.DEBUG if self._draft is None else logging.INFO
            log.event("receiver", self._id, level, event="lost", peer=self._peer, reason=error)
        except Exception as error:
            # What is not understood is temporary: the peer will come again.
            log.event("receiver", self._id, logging.ERROR, event="failed", reason=repr(error))
        finally:
            if self._name is not None:
                self._name.cancel()
            self._count_errors()
            await self._discard()
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    def stop(self) -> None:
        """End after the message under way; at once where there is none."""
        self._stopping = True
        clock = self._clock
        if clock is not None and not clock.expired() and self._session.state is not State.DATA:
            clock.reschedule(0)

    def hurry(self) -> None:
        """The house has less patience than when we began to wait."""
        clock = self._clock
        if clock is not None and not clock.expired():
            left = self._left(in_data=self._session.state is State.DATA)
            until = asyncio.get_running_loop().time() + left
            clock.reschedule(min(clock.when() or until, until))

    def abort(self) -> None:
        """End now, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    # -- the conversation --------------------------------------------------------------------------

    async def _greet(self, reader: asyncio.StreamReader, early: bytes) -> None:
        """Say the banner; to an outside peer that would not wait for it, perhaps good-bye."""
        said = b""
        trusted = self._house.policy.trusts(self._peer)
        if self._house.greet_seconds and not early and not trusted and not self._stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._house.greet_seconds) as self._clock:
                    said = await reader.read(SEGMENT)
                    if not said:
                        raise EOFError("the peer hung up before it was greeted")
            self._clock = None
        if (early or said) and not trusted:
            refused = self._house.refuse_early
            log.event("receiver", "-", event="early", peer=self._peer, refused=refused)
            if refused:
                self._session.receive_data(early or said)
        self._session.greet()
        self._session.receive_data(said)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = self._session
        while True:
            event = session.next_event()
            match event:
                case NeedData():
                    if reply := self._count_errors():
                        session.close(reply)
                        continue
                    if self._stopping and session.state is not State.DATA:
                        session.close(STOPPING)
                        continue
                    await self._send(writer)
                    await self._receive(reader)
                case Closed():
                    await self._send(writer)
                    return
                case _:
                    await self._handle(event)

    async def _handle(self, event: Event) -> None:
        match event:
            case Mail():
                self._mail = event
                self._rulings.clear()
                self._session.answer(await self._admit(event))
            case Rcpt(recipient):
                await self._judge(recipient)
            case DataStarts():
                self._session.answer(await self._begin(event))
            case Chunk(data):
                await self._write(data)
            case DataEnds():
                self._session.answer(await self._commit())
            case Refused(reply):
                log.event("receiver", self._id, event="refused", peer=self._peer, reply=reply.text)
                await self._discard()

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        in_data = self._session.state is State.DATA
        if self._stopping and not in_data:  # told while the last replies went out
            return
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._left(in_data=in_data)) as self._clock:
                segment = await reader.read(SEGMENT)
        except TimeoutError:
            self._session.close(STOPPING if self._stopping else TIMED_OUT)
            return
        finally:
            self._clock = None
        if not segment:
            raise EOFError("the peer hung up")
        self._waited += time.monotonic() - began
        self._heard += len(segment)
        self._session.receive_data(segment)

    def _left(self, *, in_data: bool) -> float:
        """Seconds until the next segment must have come."""
        return self._house.patience.left(self._waited, self._heard, in_data=in_data)

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        """Raises TimeoutError where the peer does not read what it is told."""
        if output := self._session.take_output():
            self._waited, self._heard = 0.0, 0
            writer.write(output)
            async with asyncio.timeout(self._house.patience.data_seconds):
                await writer.drain()

    # -- the message -------------------------------------------------------------------------------

    @property
    def _id(self) -> str:
        return self._draft.id if self._draft is not None else "-"

    @property
    def _owner(self) -> IPAddress | None:
        """Whom what it asks for is counted against."""
        return None if self._house.policy.trusts(self._peer) else owner(self._peer)

    def _count_errors(self) -> Reply | None:
        """Why the session ends here: there were too many from its address, in all its sessions."""
        fresh = self._session.errors - self._errors
        self._errors += fresh
        return self._house.limits.errors(self._owner, fresh) if fresh else None

    async def _admit(self, mail: Mail) -> Reply:
        """The answer to MAIL."""
        return (
            await self._house.intake.objection(mail.size)
            or self._house.limits.message(self._owner)
            or SENDER_OK
        )

    async def _client(self) -> Client:
        """Who the peer is, once its name is known."""
        name = await self._name if self._name is not None else ""
        return Client(
            address=self._peer,
            name=name or "",
            helo=self._session.helo,
            trusted=self._house.policy.trusts(self._peer),
            unsure=name is None,
        )

    async def _judge(self, recipient: Path) -> None:
        if refusal := self._house.limits.recipient(self._owner):
            self._session.answer(refusal)
            return
        try:
            ruling = await self._house.judge.recipient(await self._client(), self._mail, recipient)
        except Exception as error:  # what is not understood is temporary
            log.failure("receiver", "-", error)
            ruling = Ruling(CANNOT_JUDGE, "failed")
        if ruling.reply.positive:
            self._rulings.append(ruling)
            self._session.answer(ruling.reply)
            return
        log.event(
            "receiver",
            "-",
            event="denied",
            peer=self._peer,
            sender=self._mail.sender.text,
            to=recipient.text,
            why=ruling.why,
            reply=ruling.reply.text,
        )
        await self._pause(min(ruling.delay, self._house.patience.command_seconds))
        if ruling.hang_up:
            self._session.close(ruling.reply)
        else:
            self._session.answer(ruling.reply)

    async def _pause(self, seconds: float) -> None:
        """Let the peer wait, but not whoever wants us to stop."""
        if seconds > 0 and not self._stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds) as self._clock:
                    await asyncio.Event().wait()
            self._clock = None

    async def _begin(self, event: DataStarts) -> Reply:
        recipients = self._kept(event)
        self._dropping = not recipients
        if self._dropping:
            return GO_AHEAD
        client = await self._client()
        envelope = Envelope(
            sender=event.mail.sender.text,
            recipients=recipients,
            peer_address=str(client.address or ""),
            peer_name=client.name,
            helo=client.helo,
            protocol="ESMTP" if self._session.esmtp else "SMTP",
            extras=tuple(dict.fromkeys(line for one in self._rulings for line in one.extras)),
        )
        try:
            self._draft = await self._house.intake.begin(envelope)
        except Exception as error:
            return self._house.intake.reply_to(error, "-")
        log.event(
            "receiver",
            self._draft.id,
            event="begun",
            peer=self._peer,
            name=envelope.peer_name,
            helo=envelope.helo,
            sender=envelope.sender,
            recipients=len(envelope.recipients),
            why=", ".join(dict.fromkeys(ruling.why for ruling in self._rulings)),
        )
        return GO_AHEAD

    def _kept(self, event: DataStarts) -> tuple[Recipient, ...]:
        """Those who get the message; the others are for the log alone."""
        kept = []
        for path, ruling in zip(event.recipients, self._rulings, strict=True):
            if ruling.discard:
                log.event(
                    "receiver",
                    "-",
                    event="discarding",
                    why=ruling.why,
                    peer=self._peer,
                    sender=event.mail.sender.text,
                    to=path.text,
                )
            else:
                kept.append(Recipient(path.text))
        return tuple(kept)

    async def _write(self, data: bytes) -> None:
        if self._draft is None:
            return
        self._pending += data
        if len(self._pending) < SEGMENT:
            return
        piece = bytes(self._pending)
        self._pending.clear()
        try:
            await self._house.intake.write(self._draft, piece)
        except Exception as error:
            self._session.refuse_message(self._house.intake.reply_to(error, self._id))
            await self._discard()

    async def _commit(self) -> Reply:
        if self._dropping:
            return DISCARDED
        draft = self._draft
        if draft is None:
            return DISCARDED
        try:
            await self._house.intake.commit(draft, bytes(self._pending))
        except Exception as error:
            await self._discard()
            return self._house.intake.reply_to(error, draft.id)
        self._draft = None
        self._pending.clear()
        log.event("receiver", draft.id, event="queued", size=draft.size)
        return Reply(250, "2.0.0", f"queued as {draft.id}")

    async def _discard(self) -> None:
        draft, self._draft = self._draft, None
        self._pending.clear()
        if draft is not None:
            await self._house.intake.discard(draft)


async def _streams(sock: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=SEGMENT)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock)
    transport.set_write_buffer_limits(0)  # drained means: the kernel has it all
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the peer read our last words.

    A socket closed with bytes unread is reset, and what was said last is lost with it.
    """
    with suppress(OSError):
        async with asyncio.timeout(_LINGER_SECONDS):
            writer.write_eof()
            left = _LINGER_BYTES
            while left > 0 and (dropped := await reader.read(SEGMENT)):
                left -= len(dropped)
