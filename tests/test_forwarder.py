"""The forwarder over a real spool: what arrives, what wakes it, which files it leaves alone."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from forwarding import ALICE, BOB, CAROL, COMPLETE, DAVE, MARK, MESSAGE, World, mixed, running
from loopback import answers, free_port, until
from postfix_server import PostfixServer
from smtp_peer import Act, Answer, Peer

from spoolscan.envelope import ScanMark
from spoolscan.errors import ConfigError

# The good way


def test_clean_mail_carries_the_mark_over_its_own_bytes(world: World) -> None:
    world.put(BOB, CAROL)
    peer = world.against(Peer())
    (item,) = peer.deliveries
    assert (item.sender, item.recipients) == (ALICE, (BOB, CAROL))
    assert item.data == MARK + MESSAGE
    assert item.parameters == f"SIZE={len(MARK + MESSAGE)}"
    assert world.names("outgoing") == []


@pytest.mark.parametrize("scan", ["-", "released", "infected", "banned", "unscannable"])
def test_what_was_not_found_clean_does_not_carry_it(world: World, scan: str) -> None:
    world.put(scan=ScanMark(scan))
    assert world.against(Peer()).deliveries[0].data == MESSAGE


def test_the_mark_can_be_switched_off(world: World) -> None:
    world.put()
    assert world.against(Peer(), mark=False).deliveries[0].data == MESSAGE


def test_eight_bit_mail_is_announced_where_that_is_understood(world: World) -> None:
    world.put(data="Grüße\r\n".encode())
    world.put(data=b"a" * 70_000 + b"\xe9\r\n")
    world.put(data=b"plain\r\n")
    peer = world.against(Peer())
    for item in peer.deliveries:
        assert ("BODY=8BITMIME" in item.parameters) is not item.data.isascii()


def test_a_large_message_arrives_whole(world: World) -> None:
    data = (b"x" * 998 + b"\r\n.\r\n") * 4000
    world.put(data=data)
    assert world.against(Peer()).deliveries[0].data == MARK + data


def test_all_is_delivered_by_a_few_connections_at_once(world: World) -> None:
    for number in range(40):
        world.put(f"user{number}@example.com")
    peer = world.against(Peer(), concurrency=4)
    assert len(set(peer.recipients)) == len(peer.recipients) == 40
    assert peer.most_open <= 4
    assert peer.connections <= 4


def test_lmtp_recipients_have_their_own_ways(world: World) -> None:
    queue_id = world.put(BOB, CAROL, DAVE)
    peer = world.against(Peer({"END": mixed}, lmtp=True))
    assert peer.recipients == [ALICE, BOB]
    assert world.states(queue_id) == ["SENT", "RCPT", "FAIL"]


def test_the_embedded_default_is_a_maildir(world: World) -> None:
    world.put()
    asyncio.run(world.once())
    (path,) = (world.root / "maildir" / "new").iterdir()
    assert path.read_bytes().endswith((MARK + MESSAGE).replace(b"\r\n", b"\n"))


# Running


def test_new_mail_wakes_it(world: World) -> None:
    peer = Peer()
    put: list[str] = []

    def until() -> bool:
        if len(peer.deliveries) == len(put) < 3:
            put.append(world.put())
        return len(peer.deliveries) == 3

    running(world, peer, until)
    assert world.names("outgoing") == []


def test_a_message_moved_there_by_hand_is_forwarded(world: World) -> None:
    queue_id = world.put(scan=ScanMark("infected"))
    (world.root / "outgoing" / queue_id).rename(world.root / "quarantine" / queue_id)
    peer = Peer()
    moved = False

    def until() -> bool:
        nonlocal moved
        if not moved:
            (world.root / "quarantine" / queue_id).rename(world.root / "outgoing" / queue_id)
            moved = True
        return bool(peer.deliveries)

    running(world, peer, until)
    assert peer.deliveries[0].data == MESSAGE


def test_told_to_stop_it_ends_what_is_in_hand(world: World) -> None:
    world.put()
    peer = Peer()
    running(world, peer, lambda: "DATA" in peer.commands)
    assert peer.recipients == [BOB]
    assert world.names("outgoing") == []


def test_told_to_stop_it_does_not_wait_for_ever(world: World) -> None:
    queue_id = world.put()
    peer = Peer({"END": Act.HANG})
    running(world, peer, lambda: "DATA" in peer.commands, grace=0.1)
    assert world.states(queue_id) == ["RCPT"]


def test_a_next_hop_that_makes_no_sense_does_not_start(world: World) -> None:
    with pytest.raises(ConfigError, match="next hop"):
        world.forwarder(next_hop="carrier-pigeon:")


# Files that are not as they should be


@pytest.mark.parametrize("data", [b"a\nb\r\n", b"a\r\n.\rb\r\n", b"a\0\r\n", b"\r\n.\r"])
def test_what_is_not_canonical_goes_to_hold_and_nowhere_else(world: World, data: bytes) -> None:
    bad, good = world.put(data=data), world.put(CAROL)
    peer = world.against(Peer())
    assert peer.recipients == [CAROL]
    assert good not in world.names("outgoing")
    assert world.names("hold") == [bad, f"{bad}.why.txt"]
    assert world.reports() == []


def test_a_file_with_a_broken_envelope_goes_to_hold(world: World) -> None:
    queue_id = world.put()
    path = world.root / "outgoing" / queue_id
    path.write_bytes(path.read_bytes().replace(b"RCPT", b"XXXX"))
    peer = world.against(Peer())
    assert peer.connections == 0
    assert world.names("hold") == [queue_id, f"{queue_id}.why.txt"]


def test_a_half_copied_file_is_left_alone_until_it_is_whole(world: World) -> None:
    queue_id = world.put()
    path = world.root / "outgoing" / queue_id
    whole = path.read_bytes()
    for length in (0, 10, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert world.against(Peer()).connections == 0
        assert path.read_bytes() == whole[:length]
    path.write_bytes(whole)
    assert world.against(Peer()).recipients == [BOB]


def test_a_message_all_of_whose_recipients_are_done_is_removed(world: World) -> None:
    queue_id = world.put()
    with world.spool.open("outgoing", queue_id) as message:
        message.mark([0], "SENT")
    assert world.against(Peer()).connections == 0
    assert world.names("outgoing") == []


def test_a_message_that_an_administrator_takes_away_meanwhile_is_no_trouble(world: World) -> None:
    queue_id = world.put()

    def taken(_: str) -> Answer:
        (world.root / "outgoing" / queue_id).rename(world.root / "hold" / queue_id)
        return "450 later"

    world.against(Peer({"END": taken}))
    assert world.names("hold") == [queue_id]
    assert world.names("outgoing") == []


# Real servers


@pytest.mark.real
def test_aiosmtpd_gets_what_is_stored(world: World) -> None:
    controller_module = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is absent")
    got: list[tuple[str, Sequence[str], bytes]] = []

    class Handler:
        async def handle_DATA(self, *given: Any) -> str:  # noqa: N802 - aiosmtpd's name
            envelope = given[-1]
            got.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
            return "250 ok"

    for _ in range(5):
        world.put(BOB, CAROL)
    port = free_port()
    controller = controller_module.Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        asyncio.run(world.once(next_hop=f"smtp://127.0.0.1:{port}"))
    finally:
        controller.stop()
    assert got == [(ALICE, [BOB, CAROL], MARK + MESSAGE)] * 5
    assert world.names("outgoing") == []


@pytest.fixture
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that servers which drop their rights can reach."""
    path = Path(tempfile.mkdtemp(prefix="spoolscan-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.real
@pytest.mark.parametrize("scheme", ["smtp", "lmtp"])
def test_smtp_sink_gets_what_is_stored(world: World, public: Path, scheme: str) -> None:
    if shutil.which("smtp-sink") is None:
        pytest.skip("smtp-sink (Debian: postfix) is absent")
    dumps = public / "dumps"
    dumps.mkdir()
    dumps.chmod(0o777)
    for _ in range(20):
        world.put(BOB, CAROL)
    port = free_port()
    words = [
        "smtp-sink",
        "-u",
        "nobody",
        "-d",
        f"{dumps}/m.",
        *(["-L"] if scheme == "lmtp" else []),
    ]
    with subprocess.Popen([*words, f"127.0.0.1:{port}", "20"], cwd=public) as sink:
        try:
            until(lambda: answers(port), "smtp-sink starts")
            asyncio.run(world.once(next_hop=f"{scheme}://127.0.0.1:{port}"))
        finally:
            sink.terminate()
    got = [path.read_bytes() for path in dumps.iterdir()]
    stored = (MARK + MESSAGE).replace(b"\r\n", b"\n")
    assert world.names("outgoing") == []
    assert sum(raw.count(stored) for raw in got) == 20


@pytest.mark.real
def test_postfix_gets_what_is_stored_and_is_believed_in_what_it_refuses(world: World) -> None:
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    for _ in range(10):
        world.put(BOB, CAROL, data=COMPLETE)
    world.put("nobody@example.com")
    with PostfixServer([BOB, CAROL, ALICE]) as postfix:
        asyncio.run(world.once(next_hop=postfix.url))
        got = [postfix.wait_for(mailbox, 10) for mailbox in (BOB, CAROL)]
        (report,) = postfix.wait_for(ALICE)
    assert world.names("outgoing") == []
    assert got == [[MARK + COMPLETE] * 10] * 2
    assert b"Status: 5.1.1" in report
    assert b"Final-Recipient: rfc822; nobody@example.com" in report
