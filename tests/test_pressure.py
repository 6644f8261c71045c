"""The receiver under pressure, over real sockets: what is counted, and what is left behind."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import tracemalloc
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from loopback import on_loop
from reception import OWN, SETTINGS, Peer, Settings, connected, drafts, receiving, stored

from spoolscan import disk
from spoolscan.receiver import descriptors, watermark
from spoolscan.receiver.patience import Patience, Stress
from spoolscan.receiver.rates import Rates
from spoolscan.receiver.watermark import Watermark
from spoolscan.spool import Room, Spool
from spoolscan.units import Rate

FEW = Rate(2, 3600.0)
MANY = 1000


async def hello(peer: Peer) -> None:
    assert (await peer.reply()).startswith("220 ")
    assert (await peer.say(b"EHLO client.example")).startswith("250 ")


async def gone(receiver_of: Path | str) -> None:
    """Until the receiver has noticed that everybody left: no draft lies in tmp/."""
    async with asyncio.timeout(60):
        while os.listdir(receiver_of):
            await asyncio.sleep(0.02)


# -- how much in a time ----------------------------------------------------------------------------


def limited(settings: Settings = SETTINGS, **rates: Rate) -> Settings:
    return settings.but(limits=Rates(**rates))


@on_loop
async def test_connections_in_a_time_are_limited_by_address_but_not_within_own_networks(
    spool: Spool,
) -> None:
    for settings, answer in ((SETTINGS, "421 4.7.0"), (OWN, "220 ")):
        async with receiving(spool, limited(settings, connections_per_address=FEW)) as receiver:
            for expected in ("220 ", "220 ", answer):
                async with connected(receiver) as peer:
                    assert (await peer.reply()).startswith(expected)


@on_loop
async def test_messages_and_recipients_in_a_time_are_limited_over_all_sessions(
    spool: Spool,
) -> None:
    async with receiving(spool, limited(messages_per_address=FEW)) as receiver:
        for expected in ("250 ", "250 ", "450 4.7.1", "450 4.7.1"):
            async with connected(receiver) as peer:
                await hello(peer)
                assert (await peer.say(b"MAIL FROM:<a@b.example>")).startswith(expected)
    async with receiving(spool, limited(recipients_per_address=FEW)) as receiver:
        for expected in ("250 ", "250 ", "450 4.7.1"):
            async with connected(receiver) as peer:
                await hello(peer)
                await peer.say(b"MAIL FROM:<a@b.example>")
                assert (await peer.say(b"RCPT TO:<bob@site.example>")).startswith(expected)


@on_loop
async def test_who_tries_addresses_in_session_after_session_is_shut_out(spool: Spool) -> None:
    settings = limited(errors_per_address=Rate(10, 3600.0))
    async with receiving(spool, settings) as receiver:
        told = []
        for _ in range(5):
            async with connected(receiver) as peer:
                banner = await peer.reply()
                if not banner.startswith("220 "):
                    told.append(banner)
                    continue
                await peer.say(b"EHLO client.example")
                await peer.say(b"MAIL FROM:<a@b.example>")
                for number in range(4):
                    told.append(await peer.say(b"RCPT TO:<%d@elsewhere.example>" % number))
                    if told[-1].startswith("550 ") and len(told) == 10:
                        told.append(await peer.reply())
                        break
        assert [reply[:9] for reply in told] == ["550 5.7.1"] * 10 + ["421 4.7.0"] * 3


@on_loop
async def test_errors_of_a_session_that_quit_in_one_piece_are_counted_too(spool: Spool) -> None:
    async with receiving(spool, limited(errors_per_address=Rate(3, 3600.0))) as receiver:
        async with connected(receiver) as peer:
            await hello(peer)
            peer.writer.write(b"X\r\nX\r\nX\r\nQUIT\r\n")
            assert [(await peer.reply())[:3] for _ in range(5)] == ["500", "500", "500", "221", ""]
        async with asyncio.timeout(60):
            while True:
                async with connected(receiver) as peer:
                    if (await peer.reply()).startswith("421 4.7.0 too many errors"):
                        break


@on_loop
async def test_ten_thousand_recipients_are_a_thousand_and_the_rest_later(spool: Spool) -> None:
    settings = limited(recipients_per_address=Rate(100_000, 3600.0))
    async with receiving(spool, settings) as receiver, connected(receiver) as peer:
        await hello(peer)
        await peer.say(b"MAIL FROM:<a@b.example>")
        group = b"".join(b"RCPT TO:<u%d@site.example>\r\n" % number for number in range(10_000))
        writing = asyncio.create_task(_write(peer, group))
        codes = [(await peer.reply())[:9] for _ in range(10_000)]
        await writing
        assert codes == ["250 2.1.5"] * 1000 + ["452 4.5.3"] * 9000
        assert (await peer.say(b"DATA")).startswith("354 ")
        assert (await peer.say(b"x\r\n.")).startswith("250 ")
    ((envelope, _, _),) = stored(spool)
    assert len(envelope.recipients) == 1000


async def _write(peer: Peer, data: bytes) -> None:
    peer.writer.write(data)
    await peer.writer.drain()


@on_loop
async def test_a_thousand_connections_cut_in_a_message_leave_nothing(spool: Spool) -> None:
    async with receiving(spool, OWN.but(connections=MANY)) as receiver:

        async def cut(number: int) -> None:
            async with connected(receiver) as peer:
                await peer.begin()
                peer.writer.write(b"x" * (number * 97 % 70_000))
                await peer.writer.drain()
                if number % 2:
                    peer.writer.transport.abort()

        for first in range(0, MANY, 50):
            await asyncio.gather(*(cut(number) for number in range(first, first + 50)))
        await gone(spool.path("tmp"))
    assert drafts(spool) == []
    assert stored(spool) == []


@on_loop
async def test_a_command_line_without_end_is_cut_off_and_kept_nowhere(spool: Spool) -> None:
    block = b"x" * 1_000_000
    async with receiving(spool) as receiver, connected(receiver) as peer:
        assert (await peer.reply()).startswith("220 ")
        tracemalloc.start()
        sent = 0
        with suppress(OSError):
            while sent < 1_000 * len(block):
                await _write(peer, block)
                sent += len(block)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sent < 50 * len(block)
    assert most < 4_000_000  # of which one block, and what the kernel did not take of it, is ours


@on_loop
async def test_a_thousand_silent_peers_keep_no_honest_one_waiting(spool: Spool) -> None:
    async with (
        receiving(spool, OWN.but(connections=MANY + 10, stress=100)) as receiver,
        AsyncExitStack() as stack,
    ):
        for _ in range(MANY):
            await stack.enter_async_context(connected(receiver))
        async with connected(receiver) as peer:
            await peer.begin()
            assert (await peer.say(b"x\r\n.")).startswith("250 ")


def test_descriptors_are_asked_for_and_it_is_told_where_there_are_too_few(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits = (1024, 4096)
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: given.append(both))
    descriptors.provide(400)
    descriptors.provide(1000)
    assert caplog.records == []
    descriptors.provide(10_000)
    assert given == [(2100, 4096), (4096, 4096)]
    assert "event=few-descriptors" in caplog.records[0].getMessage()


# -- stress and patience ---------------------------------------------------------------------------


def test_stress_begins_at_its_number_and_ends_when_a_fifth_is_gone() -> None:
    stress = Stress(10)
    seen = [(count, stress.on) for count in (9, 10, 9, 8, 7, 8, 10) if stress.changes(count)]
    assert seen == [(10, True), (7, False), (10, True)]


def test_who_sends_less_than_the_least_rate_has_no_more_time_than_for_silence() -> None:
    patience = Patience(300, 180, 10, 100)
    assert patience.left(0, 0, in_data=True) == 180
    assert patience.left(170, 0, in_data=True) == 10
    assert patience.left(1000, 100_000, in_data=True) == 180
    assert patience.left(1000, 82_000, in_data=True) == 0
    assert patience.left(100, 10**9, in_data=False) == 200
    patience.hurried = True
    assert patience.left(0, 0, in_data=True) == patience.left(0, 0, in_data=False) == 10
    assert Patience(300, 180, 10, 0).left(10**6, 1, in_data=True) == 180


@on_loop
async def test_stress_is_told_once_when_it_comes_and_when_it_goes(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    def told(word: str) -> int:
        return sum(f"event={word} " in record.getMessage() for record in caplog.records)

    caplog.set_level(logging.INFO, "spoolscan")
    settings = OWN.but(connections=10, stress=50)
    async with receiving(spool, settings) as receiver:
        async with AsyncExitStack() as stack:
            for _ in range(8):
                peer = await stack.enter_async_context(connected(receiver))
                assert (await peer.reply()).startswith("220 ")
            assert (told("stress"), told("calm")) == (1, 0)
        async with asyncio.timeout(60):
            while not told("calm"):
                await asyncio.sleep(0.02)
        assert (told("stress"), told("calm")) == (1, 1)


# -- early talkers ---------------------------------------------------------------------------------


async def speak_early(spool: Spool, settings: Settings) -> list[str]:
    async with receiving(spool, settings) as receiver, connected(receiver) as peer:
        peer.writer.write(b"EHLO client.example\r\n")
        return [await peer.reply(), await peer.reply()]


@on_loop
async def test_who_does_not_wait_for_the_greeting_is_refused_or_noted(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spoolscan")
    slow = SETTINGS.but(greet_delay=30.0)
    refused, end = await speak_early(spool, slow)
    assert refused.startswith("554 5.5.1 ")
    assert end == ""
    banner, hello = await speak_early(spool, slow.but(early_talkers="note"))
    assert banner.startswith("220 ")
    assert hello.startswith("250 ")
    early = [line for record in caplog.records if "event=early" in (line := record.getMessage())]
    assert len(early) == 2


@on_loop
async def test_own_networks_neither_wait_nor_are_refused(spool: Spool) -> None:
    banner, hello = await speak_early(spool, OWN.but(greet_delay=30.0))
    assert banner.startswith("220 ")
    assert hello.startswith("250 ")


@on_loop
async def test_who_waits_is_greeted(spool: Spool) -> None:
    async with (
        receiving(spool, SETTINGS.but(greet_delay=0.1)) as receiver,
        connected(receiver) as peer,
    ):
        await peer.begin()
        assert (await peer.say(b"x\r\n.")).startswith("250 ")


# -- room on the disk ------------------------------------------------------------------------------


@on_loop
async def test_below_the_watermark_no_new_mail_comes_in(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watermark, "_GOOD_SECONDS", 0.0)
    found = os.statvfs(spool.root)

    def with_room(**changes: int) -> None:
        fields = {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}
        mixed = type("Found", (), {**fields, "f_frsize": 1, "f_files": 10**6, **changes})
        monkeypatch.setattr(disk, "room", lambda _: mixed)

    settings = SETTINGS.but(min_free=1_000_000, min_inodes=100)
    async with receiving(spool, settings) as receiver, connected(receiver) as peer:
        await hello(peer)
        for free, inodes, reply in (
            (2_000_000, 200, "250 2.1.0"),
            (999_999, 200, "452 4.3.1"),
            (2_000_000, 99, "452 4.3.1"),
            (1_100_000, 200, "452 4.3.1"),  # the size that it declares would not leave enough
            (1_300_000, 200, "250 2.1.0"),
        ):
            with_room(f_bavail=free, f_favail=inodes)
            assert (await peer.say(b"MAIL FROM:<a@b.example> SIZE=200000")).startswith(reply)
            assert (await peer.say(b"RSET")).startswith("250 ")


def test_the_disk_is_looked_at_once_a_second_and_told_of_once_a_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "spoolscan")
    looks: list[float] = []
    now, free = 0.0, 10

    def look() -> Room:
        looks.append(now)
        return Room(free, 10)

    mark = Watermark(look, lambda: now)
    mark.leave(Room(5, 5))
    for step in range(100):
        now = step / 10
        free = 3 if 30 <= step < 60 else 10
        mark.has_room(0)
    assert looks == [float(second) for second in range(10)]
    words = [line.getMessage().split("event=")[1].split()[0] for line in caplog.records]
    assert words == ["no-room", "room-again"]


def test_a_file_system_without_a_table_of_inodes_has_enough_of_them(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = type("Found", (), {"f_bavail": 7, "f_frsize": 2, "f_files": 0, "f_favail": 0})
    monkeypatch.setattr(disk, "room", lambda _: found)
    assert spool.room().free == 14
    assert spool.room().inodes > 10**9
