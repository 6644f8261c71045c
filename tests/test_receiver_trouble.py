"""The receiver when a peer, the disk or the program fails: no 250 for what is not stored."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import threading
from collections.abc import Callable
from typing import Any

import pytest
from loopback import on_loop
from reception import SETTINGS, connected, drafts, receiving, stored

from spoolscan import aio, disk
from spoolscan.spool import Spool


@on_loop
async def test_a_message_over_the_limit_leaves_nothing(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        assert (await peer.say(b"x" * 400_000 + b"\r\n.")).startswith("552 5.3.4")
        assert drafts(spool) == []
        assert (await peer.say(b"NOOP")).startswith("250 ")
    assert stored(spool) == []


@on_loop
async def test_a_connection_cut_in_a_message_leaves_nothing(spool: Spool) -> None:
    async with receiving(spool) as receiver:
        for size in range(0, 200_000, 9_999):
            async with connected(receiver) as peer:
                await peer.begin()
                peer.writer.write(b"x" * size)
                await peer.writer.drain()
                if size % 2:
                    peer.writer.transport.abort()
    assert drafts(spool) == []
    assert stored(spool) == []


@on_loop
async def test_an_endless_line_is_answered_and_closed(spool: Spool) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        peer.writer.write(b"x" * 200_000)
        assert (await peer.reply()).startswith("220 ")
        assert (await peer.reply()).startswith("500 5.5.2")
        assert await peer.reply() == ""


@on_loop
async def test_who_speaks_before_the_banner_is_cut_off(spool: Spool) -> None:
    async with receiving(spool) as receiver:
        # Blocking, so that the loop cannot accept before the bytes are there.
        with socket.create_connection(receiver.addresses[0]) as sock:
            sock.sendall(b"EHLO client.example\r\n")
            answer = await asyncio.to_thread(sock.makefile("rb").read)
    assert answer.startswith(b"554 5.5.1 ")
    assert answer.count(b"\r\n") == 1


@on_loop
async def test_a_silent_peer_is_sent_away(spool: Spool) -> None:
    settings = SETTINGS.but(command_timeout=0.2, data_timeout=0.2)
    async with receiving(spool, settings) as receiver:
        async with connected(receiver) as peer:
            assert (await peer.reply()).startswith("220 ")
            assert (await peer.reply()).startswith("421 4.4.2")
            assert await peer.reply() == ""
        async with connected(receiver) as peer:
            await peer.begin()
            assert (await peer.say(b"half")).startswith("421 4.4.2")
    assert drafts(spool) == []


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("call", "number", "reply"),
    [
        ("open_new", errno.ENOSPC, "452 4.3.1"),
        ("write", errno.EDQUOT, "452 4.3.1"),
        ("open_new", errno.EACCES, "451 4.3.0"),
        ("write", errno.EIO, "451 4.3.0"),
        ("open_new", errno.EMFILE, "421 4.3.2"),
    ],
)
def test_a_spool_that_takes_no_draft_puts_mail_off(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str, number: int, reply: str
) -> None:
    @on_loop
    async def story() -> None:
        async with receiving(spool) as receiver, connected(receiver) as peer:
            assert (await peer.reply()).startswith("220 ")
            await peer.say(b"EHLO x")
            await peer.say(b"MAIL FROM:<>")
            await peer.say(b"RCPT TO:<bob@site.example>")
            assert (await peer.say(b"DATA")).startswith("354 ")
            with monkeypatch.context() as patch:
                patch.setattr(disk, call, failing(number))
                assert (await peer.say(b".")).startswith(reply)
            after = await peer.say(b"NOOP") if not reply.startswith("421") else await peer.reply()
            assert after == ("" if reply.startswith("421") else "250 2.0.0 ok")
        assert drafts(spool) == []

    story()


@pytest.fixture
def syncs_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what waits for the disk can be replaced; the kernel's own way is test_syncer's."""
    monkeypatch.setattr(aio, "_NUMBERS", {})


@pytest.mark.parametrize(
    "failure",
    [
        ("write", errno.ENOSPC, "452 4.3.1"),
        ("fsync", errno.ENOSPC, "452 4.3.1"),
        ("fsync", errno.EIO, "451 4.3.0"),
        ("rename_new", errno.EEXIST, "451 4.3.0"),
        ("open_directory", errno.EIO, "451 4.3.0"),
    ],
)
@pytest.mark.parametrize("size", [100, 250_000])
@pytest.mark.usefixtures("syncs_by_threads")
def test_a_message_that_cannot_be_stored_is_not_acknowledged(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, failure: tuple[str, int, str], size: int
) -> None:
    call, number, reply = failure

    @on_loop
    async def story() -> None:
        async with receiving(spool) as receiver, connected(receiver) as peer:
            await peer.begin()
            with monkeypatch.context() as patch:
                patch.setattr(disk, call, failing(number))
                assert (await peer.say(b"x" * size + b"\r\n.")).startswith(reply)
            assert drafts(spool) == []
            assert (await peer.say(b"MAIL FROM:<>")).startswith("250 ")

    story()


@pytest.mark.usefixtures("syncs_by_threads")
@on_loop
async def test_what_nobody_foresaw_is_temporary(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(disk, "fsync", fail)
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        assert (await peer.say(b"x\r\n.")).startswith("451 4.3.0")
    assert stored(spool) == []
    assert drafts(spool) == []


@pytest.mark.usefixtures("syncs_by_threads")
@on_loop
async def test_after_eio_no_mail_is_taken_until_a_probe_passes(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        with monkeypatch.context() as patch:
            patch.setattr(disk, "fsync", failing(errno.EIO))
            assert (await peer.say(b"x\r\n.")).startswith("451 4.3.0")
            for _ in range(2):
                assert (await peer.say(b"MAIL FROM:<>")).startswith("451 4.3.0")
        assert (await peer.say(b"MAIL FROM:<>")).startswith("250 ")
    assert drafts(spool) == []


@pytest.mark.usefixtures("syncs_by_threads")
@pytest.mark.parametrize("waits", ["file", "directory"])
@on_loop
async def test_250_is_not_said_before_the_message_is_on_the_disk(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    syncing, release = threading.Event(), threading.Event()
    real = disk.fsync

    def slow(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is (waits == "directory"):
            syncing.set()
            release.wait(20)
        real(descriptor)

    monkeypatch.setattr(disk, "fsync", slow)
    async with receiving(spool) as receiver, connected(receiver) as peer:
        await peer.begin()
        reply = asyncio.create_task(peer.say(b"x\r\n."))
        assert await asyncio.to_thread(syncing.wait, 20)
        async with connected(receiver) as other:  # the loop is free meanwhile
            assert (await other.reply()).startswith("220 ")
        assert not reply.done()
        release.set()
        assert (await reply).startswith("250 2.0.0 queued as ")
