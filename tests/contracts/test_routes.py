"""What every route promises; each implementation passes this one suite."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from deliveries import ALICE, BOTH, MESSAGE, Told, made, mail
from name_server import NameServer
from smtp_peer import Peer

from spoolscan.config import Timeouts
from spoolscan.errors import Corrupt, TemporaryFailure
from spoolscan.forwarder.delivery import Fate, Mail, NextHopDown, Outcome, Route


@dataclass
class Got:
    """What arrived at the far end: CRLF line ends, dots as written."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes


class Far:
    """The far end of a route.  ``settings`` are what the route needs to be made."""

    url: str
    nobody: str
    settings: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def __call__(self) -> AbstractAsyncContextManager[None]:
        """It is there."""

    @abstractmethod
    def got(self) -> list[Got]:
        """What arrived."""


def read(raw: bytes) -> Got:
    """A message as final delivery leaves it."""
    assert b"\r" not in raw
    lines = raw.split(b"\n")
    sender = lines.pop(0).removeprefix(b"Return-Path: <").removesuffix(b">").decode()
    recipients = []
    while lines[0].startswith(b"Delivered-To: "):
        recipients.append(lines.pop(0).removeprefix(b"Delivered-To: ").decode())
    return Got(sender, tuple(recipients), b"\r\n".join(lines))


class Maildir(Far):
    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "maildir"
        self.url = f"maildir:{self.path}"
        self.nobody = f"maildir:{tmp_path}/missing/maildir"

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        yield

    def got(self) -> list[Got]:
        if not self.path.exists():
            return []
        assert list((self.path / "tmp").iterdir()) == []
        return [read(path.read_bytes()) for path in sorted((self.path / "new").glob("*"))]


class Pipe(Far):
    """A command; with ``each`` it is run for each recipient."""

    def __init__(self, tmp_path: Path, *, each: bool = False) -> None:
        self.path = tmp_path / "piped"
        self.path.mkdir()
        script = tmp_path / "take"
        script.write_text(
            '#!/bin/sh\nset -e\nnew=$(mktemp "$1/tmp.XXXXXX")\n'
            'cat >"$new"\nmv "$new" "$1/got.${new##*.}"\n'
        )
        script.chmod(0o700)
        self.url = f"pipe:{script} '{self.path}'" + (" --to={recipient}" if each else "")
        self.nobody = f"pipe:{tmp_path}/missing"

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        yield

    def got(self) -> list[Got]:
        return [read(path.read_bytes()) for path in sorted(self.path.glob("got.*"))]


class Server(Far):
    def __init__(self, tmp_path: Path, kind: str) -> None:
        self.unix = tmp_path / "lmtp" if kind == "lmtp-unix" else None
        self.lmtp = kind.startswith("lmtp")
        self.features = ("PIPELINING", "8BITMIME", *(["CHUNKING"] if "bdat" in kind else []))
        self.scheme = "lmtp" if self.lmtp else "smtp"
        self.nobody = f"lmtp://{tmp_path}/nobody" if self.unix else f"{self.scheme}://127.0.0.1:1"
        self.url = ""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        async with Peer(lmtp=self.lmtp, path=self.unix, features=self.features) as self.peer:
            port = self.peer.port
            self.url = f"lmtp://{self.unix}" if self.unix else f"{self.scheme}://127.0.0.1:{port}"
            yield

    def got(self) -> list[Got]:
        return [Got(item.sender, item.recipients, item.data) for item in self.peer.deliveries]


class Exchangers(Far):
    """A domain of two hosts, the better one of which is down."""

    nobody = "mx://example.com:1?local=yes"
    settings: Mapping[str, Any] = {
        "nameservers": ("127.0.0.1:1",),
        "timeouts": Timeouts(lookup=0.3),
    }

    def __init__(self, _: Path) -> None:
        self.url = ""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        records = {
            "example.com MX": ["10 down.example.com.", "20 up.example.com."],
            "down.example.com A": ["127.0.0.9"],
            "up.example.com A": ["127.0.0.1"],
        }
        async with NameServer(records) as names, Peer() as self.peer:
            self.settings = {"nameservers": (names.place,)}
            self.url = f"mx://example.com:{self.peer.port}?local=yes"
            yield

    def got(self) -> list[Got]:
        return [Got(item.sender, item.recipients, item.data) for item in self.peer.deliveries]


class Second(Server):
    """The second of two next hops, the first of which is down."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path, "smtp")
        self.nobody = "smtp://127.0.0.1:1 smtp://127.0.0.1:2"

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        async with super().__call__():
            self.url = f"smtp://127.0.0.1:1 {self.url}"
            yield


FAR: dict[str, Callable[[Path], Far]] = {
    **{
        kind: partial(Server, kind=kind)
        for kind in ("smtp", "smtp-bdat", "lmtp", "lmtp-bdat", "lmtp-unix")
    },
    "maildir": Maildir,
    "pipe": Pipe,
    "pipe-each": lambda path: Pipe(path, each=True),
    "mx": Exchangers,
    "second": Second,
}


@pytest.fixture(params=FAR)
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Far:
    return FAR[request.param](tmp_path)


def deliver(far: Far, item: Mail, told: Told) -> None:
    async def work(route: Route) -> None:
        await route.deliver(item, told)

    with_route(far, work)


def with_route(
    far: Far, work: Callable[[Route], Coroutine[None, None, None]], **values: int
) -> None:
    async def main() -> None:
        async with far():
            route = made(far.url, **far.settings, **values)
            assert route.name == far.url
            try:
                await work(route)
            finally:
                await route.close()
                await route.close()

    asyncio.run(main())


def everybody(far: Far) -> list[str]:
    return sorted(address for item in far.got() for address in item.recipients)


def test_delivers_the_bytes_as_they_are_to_everybody_once(far: Far) -> None:
    told = Told()
    deliver(far, mail(MESSAGE), told)
    assert told.fates == {0: Fate.DELIVERED, 1: Fate.DELIVERED}
    assert everybody(far) == sorted(BOTH)
    assert {(item.sender, item.data) for item in far.got()} == {(ALICE, MESSAGE)}


def test_delivers_with_the_null_sender(far: Far) -> None:
    deliver(far, mail(MESSAGE, sender="", to=BOTH[:1]), Told())
    assert [item.sender for item in far.got()] == [""]


def test_knows_recipients_by_the_index_it_was_given(far: Far) -> None:
    told = Told()
    item = mail(MESSAGE)
    sparse = Mail("id", ALICE, ((3, BOTH[0]), (7, BOTH[1])), item.size, False, item.content)
    deliver(far, sparse, told)
    assert set(told.outcomes) == {3, 7}


def test_puts_chunks_together_wherever_they_are_cut(far: Far) -> None:
    deliver(far, mail(*(MESSAGE[at : at + 1] for at in range(len(MESSAGE))), to=BOTH[:1]), Told())
    assert [item.data for item in far.got()] == [MESSAGE]


def test_carries_a_large_message_with_every_byte_that_mail_may_have(far: Far) -> None:
    line = bytes(byte for byte in range(1, 256) if byte not in b"\r\n") + b"\r\n"
    deliver(far, mail(*[line * 250] * 80, to=BOTH[:1]), Told())
    assert [item.data for item in far.got()] == [line * 20_000]


def test_carries_an_empty_message(far: Far) -> None:
    deliver(far, mail(to=BOTH[:1]), Told())
    assert [item.data for item in far.got()] == [b""]


def test_completes_the_last_line_and_nothing_else(far: Far) -> None:
    deliver(far, mail(b"a\r\n\r\nb", to=BOTH[:1]), Told())
    assert [item.data for item in far.got()] == [b"a\r\n\r\nb\r\n"]


@pytest.mark.parametrize("bad", [b"a\n", b"a\rb\r\n", b"a\0\r\n", b"a\r\n.\n", b"a\r"])
def test_refuses_what_is_not_canonical_and_delivers_nothing(far: Far, bad: bytes) -> None:
    told = Told()
    with pytest.raises(Corrupt):
        deliver(far, mail(b"first\r\n" * 20_000, bad), told)
    assert told.outcomes == {}
    assert far.got() == []


@pytest.mark.parametrize("address", ["a\nb@c", "a@b>\r\nDATA", "a b@c"])
def test_refuses_addresses_that_could_say_more(far: Far, address: str) -> None:
    for item in (mail(MESSAGE, sender=address), mail(MESSAGE, to=[address])):
        with pytest.raises(Corrupt):
            deliver(far, item, Told())
        assert far.got() == []


def test_a_message_that_cannot_be_read_to_its_end_is_not_delivered(far: Far) -> None:
    for error in (TemporaryFailure("disk"), Corrupt("cut"), RuntimeError("bug")):
        told = Told()
        with pytest.raises(type(error)):
            deliver(far, mail(MESSAGE, fails=error), told)
        assert told.outcomes == {}
        assert far.got() == []


def test_says_when_nobody_is_at_home(far: Far) -> None:
    far.url = far.nobody
    told = Told()

    async def main() -> None:
        route = made(far.nobody, **far.settings)
        with pytest.raises(NextHopDown):
            await route.deliver(mail(MESSAGE), told)
        await route.close()

    asyncio.run(main())
    assert told.outcomes == {}


def test_is_used_by_many_at_once_and_again(far: Far) -> None:
    async def work(route: Route) -> None:
        for _ in range(3):
            tolds = [Told() for _ in range(10)]
            await asyncio.gather(*(route.deliver(mail(MESSAGE), told) for told in tolds))
            assert all(set(told.fates.values()) == {Fate.DELIVERED} for told in tolds)

    with_route(far, work)
    assert everybody(far) == sorted(BOTH * 30)


def test_works_on_after_a_message_that_failed(far: Far) -> None:
    async def work(route: Route) -> None:
        with pytest.raises(Corrupt):
            await route.deliver(mail(b"\n"), Told())
        await route.deliver(mail(MESSAGE), Told())

    with_route(far, work)
    assert everybody(far) == sorted(BOTH)


def test_what_is_raised_on_being_told_ends_the_attempt(far: Far) -> None:
    async def full(known: Mapping[int, Outcome]) -> None:
        raise TemporaryFailure("disk full")

    async def work(route: Route) -> None:
        with pytest.raises(TemporaryFailure, match="disk full"):
            await route.deliver(mail(MESSAGE), full)

    with_route(far, work)
