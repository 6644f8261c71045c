"""The next hop asked who exists here: what is an answer, by which connections, in TLS or not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import certificates
import pytest
from loopback import free_port, on_loop
from postfix_server import PostfixServer
from smtp_peer import Act, Then, known
from smtp_peer import Answer as Answered
from smtp_peer import Peer as Server

from spoolscan.nexthop.options import Options
from spoolscan.nexthop.url import Address
from spoolscan.receiver.answers import Answer
from spoolscan.receiver.callout import Callout
from spoolscan.receiver.probe import Place as Whom

BOB, DORA = "bob@example.com", "dora@example.com"


@contextmanager
def callout(server: Server, seconds: float = 60.0, connections: int = 4) -> Iterator[Callout]:
    place = Whom(Address("127.0.0.1", server.port), server.lmtp)
    asking = Callout(place, "gate.example.com", seconds, connections)
    try:
        yield asking
    finally:
        asking.close()


@on_loop
@pytest.mark.parametrize("lmtp", [False, True])
async def test_the_next_hop_is_asked_by_one_connection_and_gets_no_mail(lmtp: bool) -> None:
    async with Server(known(BOB), lmtp=lmtp) as server:
        with callout(server) as asking:
            answers = [await asking.ask(address) for address in (BOB, DORA, BOB)]
    assert [(one.known, one.words) for one in answers] == [
        (True, "250 2.1.5 ok"),
        (False, "550 5.1.1 who is that?"),
        (True, "250 2.1.5 ok"),
    ]
    group = ["MAIL FROM:<>", f"RCPT TO:<{BOB}>", "RSET"]
    assert server.commands[0] == f"{'LHLO' if lmtp else 'EHLO'} gate.example.com"
    assert server.commands[1:4] == group
    assert server.connections == 1
    assert server.deliveries == []


@pytest.mark.parametrize(
    ("step", "answer", "words"),
    [
        ("CONNECT", "554 no", "answered the greeting with 554 no"),
        ("CONNECT", "421 busy", "answered the greeting with 421 busy"),
        ("CONNECT", Act.DROP, "hung up"),
        ("EHLO", "421 busy", "answered our hello with 421 busy"),
        ("MAIL", "550 5.7.1 no null senders", "answered MAIL FROM:<> with 550 5.7.1"),
        ("MAIL", Act.DROP, "hung up"),
        ("RCPT", "452 4.2.2 full", "452 4.2.2 full"),
        ("RCPT", "552 5.2.2 full", "552 5.2.2 full"),
        ("RCPT", "421 stopping", "421 stopping"),
        ("RCPT", "354 go", "354 go"),
        ("RCPT", Act.DROP, "hung up"),
        ("RCPT", "HTTP/1.1 200 OK", "answered with no SMTP"),
        ("RCPT", "250" + "x" * 9000, "answered with an endless line"),
        ("RCPT", "250-ok\r\n" * 200 + "250 ok", "answered without end"),
        ("RCPT", "250-ok\r\n550 no", "answered with no SMTP"),
        ("RCPT", "554 5.7.1 relay access denied", "554 5.7.1 relay access denied"),
        ("RCPT", "554 relay access denied", "554 relay access denied"),
        ("RCPT", "550 5.7.1 not for you", "550 5.7.1 not for you"),
        ("RCPT", "550-5.7.1 not for\r\n550 5.1.1 you", "550 5.7.1 not for"),
        ("RCPT", "550 5.1.8 bad null sender", "550 5.1.8 bad null sender"),
        ("RCPT", "550 5.2.2 full", "550 5.2.2 full"),
        ("RCPT", "503 5.5.1 what?", "503 5.5.1 what?"),
        ("RCPT", "530 5.7.0 STARTTLS first", "530 5.7.0 STARTTLS first"),
    ],
)
def test_what_is_no_answer_is_none(step: str, answer: Answered, words: str) -> None:
    @on_loop
    async def story() -> None:
        async with Server({step: answer}) as server:
            with callout(server) as asking:
                found = await asking.ask(BOB)
        assert words in found.words
        assert found.known is None
        assert found.words.isprintable()

    story()


@pytest.mark.parametrize(
    "answer",
    [
        "550 unknown user",
        "550 5.1.1 unknown user",
        "550-5.1.1 unknown\r\n550 5.1.1 user",
        "550 #5.1.0 address rejected",
        "550 5.1.10 recipient not found",
        "550 5.2.1 disabled",
        "550 5.4.1 recipient address rejected",
        "551 user not local",
        "553 5.3.0 unknown user",
        "554 5.1.1 unknown user",
    ],
)
def test_a_refusal_that_speaks_of_the_mailbox_is_a_no(answer: str) -> None:
    @on_loop
    async def story() -> None:
        async with Server({"RCPT": answer}) as server:
            with callout(server) as asking:
                assert (await asking.ask(BOB)).known is False

    story()


@on_loop
async def test_a_server_without_ehlo_is_greeted_by_helo() -> None:
    async with Server({"EHLO": "502 what?", **known(BOB)}) as server:
        with callout(server) as asking:
            assert (await asking.ask(BOB)).known
    assert server.commands[:2] == ["EHLO gate.example.com", "HELO gate.example.com"]


@on_loop
async def test_one_that_is_silent_is_waited_for_no_longer_than_it_may_take() -> None:
    async with Server({"RCPT": Act.HANG}) as server:
        with callout(server, 0.2, connections=1) as asking:
            answers = [await asking.ask(f"{number}@example.com") for number in range(100)]
    assert {one.known for one in answers} == {None}
    assert all("no answer within 0.2 s" in one.words for one in answers)
    assert server.connections < 10  # the others were not made to wait for it


@on_loop
async def test_silence_about_one_says_nothing_of_the_next() -> None:
    async with Server({"RCPT": lambda who: Act.HANG if who == DORA else "250 ok"}) as server:
        with callout(server, 3.0, connections=1) as asking:
            assert (await asking.ask(DORA)).known is None
            assert (await asking.ask(BOB)).known


@on_loop
async def test_who_waited_in_vain_for_a_connection_has_no_answer_and_shuts_nobody_out() -> None:
    async with Server(known(BOB)) as server:
        with callout(server, 0.2, connections=1) as asking:
            await asking._free.acquire()  # as a tarpit would
            found = await asking.ask(DORA)
            assert found.known is None
            assert "busy with other questions for 0.2 s" in found.words
            assert not asking.rests
        with callout(server, connections=1) as asking:
            await asking._free.acquire()
            waiting = asyncio.create_task(asking.ask(BOB))
            await asyncio.sleep(0)
            asking._free.release()
            assert (await waiting).known
    assert server.commands.count(f"RCPT TO:<{DORA}>") == 0


@on_loop
async def test_one_that_refuses_a_connection_is_asked_by_those_that_stand() -> None:
    greeted = 0

    def greeting(_: str) -> str:
        nonlocal greeted
        greeted += 1
        return "220 peer.test" if greeted == 1 else "421 4.7.0 too many connections"

    def rcpt(address: str) -> Answered:
        return Act.HANG if address == DORA else "250 ok"

    async with Server({"CONNECT": greeting, "RCPT": rcpt}) as server:
        with callout(server, connections=3) as asking:
            assert (await asking.ask(BOB)).known
            hanging = asyncio.create_task(asking.ask(DORA))
            while f"RCPT TO:<{DORA}>" not in server.commands:
                await asyncio.sleep(0.01)
            found = await asking.ask("carol@example.com")
            assert "421 4.7.0 too many connections" in found.words
            assert not asking.rests
            hanging.cancel()


@on_loop
async def test_one_that_is_not_there_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asking = Callout(Whom(Address("127.0.0.1", free_port())), "gate.example.com", 60.0, 1)
    assert (await asking.ask(BOB)).known is None
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "open_connection", None)  # whoever calls it fails
        found = await asking.ask(DORA)
    assert found.known is None
    assert "Connect call failed" in found.words


@on_loop
async def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    asked: list[str] = []

    def answer(address: str) -> str | Then:
        asked.append(address)
        return Then(b"250 ok\r\n250 ok\r\n") if len(asked) == 1 else "250 ok"

    async with Server({"RCPT": answer}) as server:
        with callout(server) as asking:
            assert (await asking.ask(BOB)).known
            assert (await asking.ask(DORA)).known
    assert asked == [BOB, DORA]
    assert server.connections == 2


@on_loop
async def test_those_who_ask_for_one_address_get_one_answer_and_few_connections_are_made() -> None:
    async with Server(known(BOB)) as server:
        with callout(server, connections=2) as asking:
            answers = await asyncio.gather(
                *(asking.ask(BOB) for _ in range(50)), *(asking.ask(f"{n}@x") for n in range(6))
            )
    assert sum(bool(one.known) for one in answers) == 50
    assert server.commands.count(f"RCPT TO:<{BOB}>") == 1
    assert server.most_open <= 2


@on_loop
async def test_no_connection_hears_more_than_a_few_unknown_names() -> None:
    async with Server(known()) as server:
        with callout(server, connections=1) as asking:
            for number in range(20):
                assert (await asking.ask(f"{number}@example.com")).known is False
    assert server.connections == 3


@on_loop
async def test_an_internationalized_address_is_asked_only_where_it_is_understood() -> None:
    address = "b\u00fcro@example.com"
    async with Server(known(address)) as server:
        with callout(server) as asking:
            assert (await asking.ask(address)).known is False
    async with Server(known(address), features=("SMTPUTF8",)) as server:
        with callout(server) as asking:
            assert (await asking.ask(address)).known
    assert "MAIL FROM:<> SMTPUTF8" in server.commands


# TLS to it


def secure() -> ssl.SSLContext:
    return certificates.server("mail.example.com")


async def asked(server: Server, options: Options) -> Answer:
    """About BOB."""
    place = Whom(Address("127.0.0.1", server.port), options=options)
    asking = Callout(place, "gate.example.com", 60.0, 1)
    try:
        return await asking.ask(BOB)
    finally:
        asking.close()


@pytest.mark.parametrize("implicit", [False, True])
def test_it_is_asked_in_tls_with_a_certificate_where_that_is_demanded(
    tmp_path: Path, implicit: bool
) -> None:
    @on_loop
    async def story() -> None:
        ca = certificates.trusted(tmp_path)
        async with Server(known(BOB), tls=secure(), implicit=implicit) as server:
            for name, right in (("mail.example.com", True), ("mail.example.org", None)):
                options = Options(tls="verify", implicit=implicit, name=name, ca=ca)
                answer = await asked(server, options)
                assert answer.known is right
            assert "certificate not trusted" in answer.words
        expected = ["EHLO"] if implicit else ["EHLO", "STARTTLS", "EHLO"]
        said = [line.split(" ")[0] for line in server.commands]
        assert said[: len(expected) + 2] == [*expected, "MAIL", "RCPT"]
        assert said.count("RCPT") == 1

    story()


@on_loop
async def test_it_is_not_asked_in_the_clear_where_tls_is_demanded() -> None:
    async with Server(known(BOB)) as server:
        answer = await asked(server, Options(tls="encrypt"))
        assert answer.known is None
        assert "offers no STARTTLS, and tls=encrypt is set for it" in answer.words
        assert (await asked(server, Options(tls="may"))).known
    async with Server(known(BOB), tls=secure()) as server:
        assert (await asked(server, Options(tls="none"))).known
        assert "STARTTLS" not in server.commands


@pytest.mark.parametrize(
    "broken",
    ["454 4.7.0 no entropy", "421 busy", Act.DROP, Then(b"220 go\r\nno handshake at all\r\n")],
)
def test_tls_that_fails_is_done_without_only_where_it_was_a_wish(broken: Answered) -> None:
    @on_loop
    async def story() -> None:
        async with Server({"STARTTLS": broken, **known(BOB)}, tls=secure()) as server:
            assert (await asked(server, Options(tls="may"))).known
            assert (await asked(server, Options(tls="encrypt"))).known is None
            assert server.commands.count(f"RCPT TO:<{BOB}>") == 1

    story()


@on_loop
async def test_what_is_said_in_the_clear_behind_starttls_is_no_answer_in_tls() -> None:
    """Somebody on the way puts his own answers behind the server's 220 (RFC 3207 section 5)."""
    forged = "220 go\r\n250-peer.test\r\n250 SMTPUTF8\r\n250 ok\r\n250 ok"
    async with Server({"STARTTLS": forged, **known()}, tls=secure()) as server:
        answer = await asked(server, Options(tls="encrypt"))
    assert answer.known is None
    assert "in the clear behind its answer to STARTTLS" in answer.words


@pytest.mark.real
def test_postfix_is_asked_about_hundreds_and_knows_its_own() -> None:
    if reason := PostfixServer.absent():
        pytest.skip(reason)

    async def work(port: int) -> list[bool | None]:
        asking = Callout(Whom(Address("127.0.0.1", port)), "gate.example.com", 60.0, 4)
        odd = [
            '"a>b"@example.com',
            '"a@b"@example.com',
            "bob@elsewhere.example",
            r'"b\ob"@example.com',
        ]
        addresses = odd + [BOB, DORA] * 5 + [f"nobody{number}@example.com" for number in range(100)]
        answers = await asyncio.gather(*map(asking.ask, addresses))
        asking.close()
        return [answer.known for answer in answers]

    boxes = [BOB, "a>b@example.com"]
    with PostfixServer(boxes, answers={DORA: "452 4.2.2 full"}) as postfix:
        found = asyncio.run(work(postfix.port))
    # Both in the middle are relaying to it, which is denied, and no word about a recipient.
    assert found == [True, None, None, True] + [True, None] * 5 + [False] * 100
