"""One connection: carries bytes between a socket and a `Session`, and answers its questions.

At most one segment is read ahead of the disk: while the spool writes, nothing is read, and the
peer's window fills.  A message under way when the connection ends, however it ends, is discarded.

A peer that drips gains nothing (`patience`); who asks for too much in a time is put off (`limits`).

Longer than most modules here, so that the life of a connection, and of the message in it, is read
in one place.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from spoolscan import log
from spoolscan.envelope import Recipient
from spoolscan.receiver import record
from spoolscan.receiver.address import NULL, Path
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import (
    Abandoned,
    Chunk,
    Closed,
    DataEnds,
    DataStarts,
    Event,
    Identify,
    Login,
    Mail,
    NeedData,
    Rcpt,
    Refused,
    StartTLS,
    State,
    Terms,
)
from spoolscan.receiver.house import House
from spoolscan.receiver.intake import Writing
from spoolscan.receiver.link import Link, introduction, sent_early
from spoolscan.receiver.policy import IPAddress
from spoolscan.receiver.proxyheader import BadHeader
from spoolscan.receiver.reply import EARLY, GO_AHEAD, NOT_HERE, OK, SENDER_OK, Reply
from spoolscan.receiver.ruling import Ruling
from spoolscan.receiver.session import Session
from spoolscan.receiver.visitor import Visitor

_HANDSHAKE_SECONDS: Final = 30.0

STOPPING: Final = Reply(421, "4.3.2", "stopping, try again later")
CANNOT_JUDGE: Final = Reply(451, "4.3.0", "trouble of our own, try again later")
DISCARDED: Final = Reply(250, "2.0.0", "accepted")
TIMED_OUT: Final = Reply(421, "4.4.2", "timed out")


Admit = Callable[[Visitor], Reply | None]


class Connection:
    """One peer."""

    def __init__(self, house: House, terms: Terms, visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        self._session = Session(terms)
        self._mail = Mail(NULL)
        self._rulings: list[Ruling] = []  # one for each recipient accepted
        self._dropping = False  # nobody gets the message under way
        self._writing: Writing | None = None
        self._stopped = asyncio.Event()
        self._waited = 0.0  # seconds for it since our last reply, or within one message
        self._heard = 0  # bytes from it since then
        self._errors = 0  # of the session, counted against its address
        self._sock: socket.socket | None = None  # beneath the link, and there before it
        self._link: Link | None = None
        self._recognise()

    # -- what the server calls ---------------------------------------------------------------------

    async def serve(
        self, sock: socket.socket, *, tls: bool = False, admit: Admit | None = None
    ) -> None:
        """Talk to the peer until one of us has enough.  Never raises, but when cancelled.

        ``tls``: it begins with a handshake; ``admit``: with a PROXY header, and this says whether
        whom that names may come in.
        """
        if self._stopping:
            sock.close()
            return
        self._sock = sock
        context = self._house.certificate.context() if tls and self._house.certificate else None
        try:
            if admit is not None:
                self._visitor.address = await introduction(sock)
                self._recognise()
                if refusal := admit(self._visitor):
                    sock.send(b"" if tls else refusal.wire())
                    sock.close()
                    return
            early = b"" if tls else sent_early(sock)
            link = await Link.over_socket(sock, context, _HANDSHAKE_SECONDS)
        except (OSError, BadHeader) as error:
            log.event("receiver", "-", event="lost", peer=self._peer, reason=error)
            sock.close()
            return
        except asyncio.CancelledError:
            sock.close()
            raise
        self._session.tls = link.tls
        await self.attend(link, early)

    async def attend(self, link: Link, early: bytes = b"") -> None:
        """The same over a link that stands.  ``early`` is what was sent before our banner."""
        self._link = link
        self._visitor.look_up()
        self._house.judge.expect(self._peer)
        try:
            await self._greet(link, early)
            await self._converse(link)
            if not self._stopping:
                await link.linger()
        except (OSError, EOFError) as error:  # the peer is gone; so is a message not yet complete
            level = logging.DEBUG if self._writing is None else logging.INFO
            log.event("receiver", self._id, level, event="lost", peer=self._peer, reason=error)
        except Exception as error:
            # What is not understood is temporary: the peer will come again.
            log.event("receiver", self._id, logging.ERROR, event="failed", reason=repr(error))
        finally:
            self._visitor.leave()
            self._count_errors()
            await self._discard()
            await link.close()

    def stop(self) -> None:
        """End after the message under way; at once where there is none."""
        self._stopped.set()
        if self._link is None:
            self.abort()
        elif not self._session.under_way:
            self._link.hurry(0)

    def hurry(self) -> None:
        """The house has less patience than when we began to wait."""
        if self._link is not None:
            self._link.hurry(self._left(in_data=self._session.under_way))

    def abort(self) -> None:
        """End now, whatever is under way."""
        if self._link is not None:
            self._link.abort()
        elif self._sock is not None:  # in a handshake, or before a PROXY header
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    @property
    def _stopping(self) -> bool:
        return self._stopped.is_set()

    # -- the conversation --------------------------------------------------------------------------

    async def _greet(self, link: Link, early: bytes) -> None:
        """Say the banner; to an outside peer that would not wait for it, perhaps good-bye."""
        said = b""
        trusted = self._visitor.trusted
        if self._house.greet_seconds and not early and not trusted and not self._stopping:
            with suppress(TimeoutError):
                said = await link.read(self._house.greet_seconds)
                if not said:
                    raise EOFError("the peer hung up before it was greeted")
        if (early or said) and not trusted:
            refused = self._house.refuse_early
            log.event("receiver", "-", event="early", peer=self._peer, refused=refused)
            if refused:
                self._session.receive_data(early or said)
        self._session.greet()
        self._session.receive_data(said)

    async def _converse(self, link: Link) -> None:
        session = self._session
        while True:
            event = session.next_event()
            match event:
                case NeedData():
                    if reply := self._count_errors():
                        session.close(reply)
                        continue
                    if self._stopping and not session.under_way:
                        session.close(STOPPING)
                        continue
                    await self._send(link)
                    await self._receive(link)
                case StartTLS():
                    await self._secure(link)
                case Closed():
                    await self._send(link)
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
                log.event("receiver", self._id, event="refused", peer=self._peer, name=reply.text)
                await self._discard()
            case Abandoned():
                await self._discard()
            case Login():
                self._session.answer(await self._admit_user(event))
            case Identify(said):
                self._visitor.become(said)
                self._house.judge.expect(self._peer)
                self._recognise()
                self._session.answer(OK)

    async def _receive(self, link: Link) -> None:
        in_data = self._session.under_way
        if self._stopping and not self._session.under_way:  # told while the last replies went out
            return
        began = time.monotonic()
        try:
            segment = await link.read(self._left(in_data=in_data))
        except TimeoutError:
            self._session.close(STOPPING if self._stopping else TIMED_OUT)
            return
        if not segment:
            raise EOFError("the peer hung up")
        self._waited += time.monotonic() - began
        self._heard += len(segment)
        self._session.receive_data(segment)

    def _left(self, *, in_data: bool) -> float:
        """Seconds until the next segment must have come."""
        return self._house.patience.left(self._waited, self._heard, in_data=in_data)

    async def _send(self, link: Link) -> None:
        """Raises TimeoutError where the peer does not read what it is told."""
        if output := self._session.take_output():
            if self._session.state is not State.BDAT:  # which is within a message: no new time
                self._waited, self._heard = 0.0, 0
            await link.send(output, self._house.patience.data_seconds)

    async def _secure(self, link: Link) -> None:
        """Make the handshake; or hang up, where there is anything in the clear behind STARTTLS."""
        certificate = self._house.certificate
        if certificate is None or not link.hush():
            self._session.take_output()
            self._session.close(EARLY)
            return
        await self._send(link)
        await link.secure(certificate.context(), _HANDSHAKE_SECONDS)
        self._session.secured(link.tls)

    # -- who it is ---------------------------------------------------------------------------------

    @property
    def _peer(self) -> IPAddress | None:
        return self._visitor.address

    def _recognise(self) -> None:
        """Our own networks have terms of their own."""
        bare_lf = self._house.bare_lf_own if self._visitor.trusted else self._house.bare_lf
        self._session.terms = replace(self._session.terms, bare_lf=bare_lf)

    async def _client(self) -> Client:
        """Who the peer is, once its name is known."""
        session = self._session
        return await self._visitor.client(session.helo, session.user, session.tls)

    async def _admit_user(self, login: Login) -> Reply:
        if self._house.gatekeeper is None:
            return NOT_HERE
        reply, seconds = await self._house.gatekeeper.check(login, self._peer)
        await self._pause(seconds)
        return reply

    # -- the message -------------------------------------------------------------------------------

    @property
    def _id(self) -> str:
        return self._writing.id if self._writing is not None else "-"

    def _count_errors(self) -> Reply | None:
        """Why the session ends here: there were too many from its address, in all its sessions."""
        fresh = self._session.errors - self._errors
        self._errors += fresh
        return self._house.limits.errors(self._visitor.owner, fresh) if fresh else None

    async def _admit(self, mail: Mail) -> Reply:
        """The answer to MAIL."""
        return (
            await self._house.intake.objection(mail.size)
            or self._house.limits.message(self._visitor.owner)
            or SENDER_OK
        )

    async def _judge(self, recipient: Path) -> None:
        if refusal := self._house.limits.recipient(self._visitor.owner):
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
            detail=record.of_denied(ruling, recipient),
        )
        await self._pause(min(ruling.delay, self._house.patience.command_seconds))
        if ruling.hang_up:
            self._session.close(ruling.reply)
        else:
            self._session.answer(ruling.reply)

    async def _pause(self, seconds: float) -> None:
        """Let the peer wait, but not whoever wants us to stop."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopped.wait()

    async def _begin(self, event: DataStarts) -> Reply:
        client = await self._client()
        recipients = self._kept(event, client)
        self._dropping = not recipients
        if self._dropping:
            return GO_AHEAD
        session, utf8 = self._session, event.mail.utf8
        word = record.protocol(client, esmtp=session.esmtp, lmtp=session.terms.lmtp, utf8=utf8)
        lines = tuple(dict.fromkeys(line for one in self._rulings for line in one.extras))
        envelope = record.envelope(client, event, recipients, word, lines)
        try:
            self._writing = self._house.intake.begin(client, envelope)
        except Exception as error:
            return self._house.intake.reply_to(error, "-")
        return GO_AHEAD

    def _kept(self, event: DataStarts, client: Client) -> tuple[Recipient, ...]:
        """Those who get the message; the others are for the log alone."""
        kept = []
        for rcpt, ruling in zip(event.recipients, self._rulings, strict=True):
            if ruling.discard:
                log.event(
                    "receiver",
                    "-",
                    event="discarding",
                    why=ruling.why,
                    peer=self._peer,
                    sender=event.mail.sender.text,
                    to=rcpt.recipient.text,
                )
            else:
                kept.append(
                    Recipient(rcpt.recipient.text, extras=record.recipient_lines(rcpt, client))
                )
        return tuple(kept)

    async def _write(self, data: bytes) -> None:
        if self._writing is None:
            return
        try:
            await self._house.intake.write(self._writing, data)
        except Exception as error:
            self._session.refuse_message(self._house.intake.reply_to(error, self._id))
            await self._discard()

    async def _commit(self) -> Reply:
        if self._dropping:
            return DISCARDED
        writing = self._writing
        if writing is None:
            raise RuntimeError("a message ended that was never begun")
        try:
            await self._house.intake.commit(writing)
        except Exception as error:
            await self._discard()
            return self._house.intake.reply_to(error, writing.id)
        self._writing = None
        envelope = writing.envelope
        log.event(
            "receiver",
            writing.id,
            event="received",
            peer=self._peer,
            host=envelope.peer_name,
            helo=envelope.helo,
            sender=envelope.sender,
            recipients=len(envelope.recipients),
            size=writing.size,
            why=", ".join(dict.fromkeys(ruling.why for ruling in self._rulings)),
            detail=record.of_received(writing.client, envelope, writing.age),
        )
        return Reply(250, "2.0.0", f"queued as {writing.id}")

    async def _discard(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await self._house.intake.discard(writing)
