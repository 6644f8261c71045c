"""Who exists here: the list, the callout to the next hop, and what it remembers."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import certificates
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import free_port, on_loop
from name_server import Answer as Record
from name_server import NameServer
from postfix_server import PostfixServer
from smtp_peer import Act, Then
from smtp_peer import Answer as Answered
from smtp_peer import Peer as Server

from spoolscan import config
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.nexthop.options import Options
from spoolscan.nexthop.url import Address
from spoolscan.receiver import answers, inquiry, mailboxes
from spoolscan.receiver.address import NULL, parse_path
from spoolscan.receiver.answers import Answer, Answers
from spoolscan.receiver.callout import Callout
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import Mail
from spoolscan.receiver.inquiry import Inquiry
from spoolscan.receiver.probe import Place as Whom
from spoolscan.receiver.recipients import RecipientList
from spoolscan.share import folder

# -- the list --------------------------------------------------------------------------------------

LIST = """\
# who is here
Bob@Example.com
carol@example.com   # since Monday
"odd name"@example.com
a#b@example.com

@b\u00fccher.example
sales-*@example.com
?x@*.example.org
"""


def why(address: str, delimiters: str = "") -> str:
    local, _, domain = address.rpartition("@")
    return RecipientList.parse(LIST.encode(), "etc/recipients").why(local, domain, delimiters)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("bob@example.com", "bob@example.com"),
        ("BOB@example.com", "bob@example.com"),
        ("carol@example.com", "carol@example.com"),
        ("odd name@example.com", "odd name@example.com"),
        ("a#b@example.com", "a#b@example.com"),
        ("anyone@xn--bcher-kva.example", "@xn--bcher-kva.example"),
        ("sales-@example.com", "sales-*@example.com"),
        ("Sales-north@example.com", "sales-*@example.com"),
        ("ax@a.example.org", "?x@*.example.org"),
        ("postmaster@example.com", "postmaster"),
        ("PostMaster@", "postmaster"),
        ("dora@example.com", ""),
        ("bob@example.org", ""),
        ("bob@xexample.com", ""),
        ("sales-x@example.comx", ""),
        ("xsales-x@example.com", ""),
        ("sales-x@evil@example.com", ""),
        ("axx@a.example.org", ""),
        ("since@example.com", ""),
        ("bob+x@example.com", ""),
    ],
)
def test_an_address_is_there_by_the_line_that_names_it(address: str, line: str) -> None:
    assert why(address) == line


def test_a_subaddress_is_there_where_its_address_is() -> None:
    assert why("bob+shop@example.com", "+") == "bob@example.com"
    assert why("bob+shop+more@example.com", "+") == "bob@example.com"
    assert why("bob-shop@example.com", "+") == ""
    assert why("bob-shop+x@example.com", "+-") == "bob@example.com"
    assert why("+bob@example.com", "+") == ""
    assert why("dora+bob@example.com", "+") == ""


def test_every_line_that_is_wrong_is_told_with_its_number() -> None:
    content = b"bob@example.com\nbob\na@@b\ntwo words@example.com\n@\n*@\na@-x-\nx@[192.0.2.1]\n"
    with pytest.raises(ConfigError) as caught:
        RecipientList.parse(content, "etc/recipients")
    lines = str(caught.value).split("\n")
    assert [line.split(" ")[0] for line in lines] == [
        f"etc/recipients:{number}:" for number in range(2, 9)
    ]
    assert all("allowed: an address" in line for line in lines)
    with pytest.raises(ConfigError, match="etc/recipients:2: not UTF-8"):
        RecipientList.parse(b"bob@example.com\n\xff@example.com\n", "etc/recipients")
    with pytest.raises(ConfigError, match="and 90 lines more"):
        RecipientList.parse(b"x\n" * 100, "etc/recipients")
    with pytest.raises(ConfigError) as hostile:
        RecipientList.parse(b"\x1b[2J\xe2\x80\xae\n", "etc/recipients")
    assert str(hostile.value).isprintable()


def test_a_list_of_nobody_is_a_mistake_and_the_one_shipped_is_such() -> None:
    for content in (b"", b"\n", (folder("etc") / "recipients").read_bytes()):
        with pytest.raises(ConfigError, match="names nobody"):
            RecipientList.parse(content, "etc/recipients")


@given(st.text(max_size=300))
def test_a_list_is_read_or_refused_whatever_it_is(text: str) -> None:
    with suppress(ConfigError):
        found = RecipientList.parse(text.encode("utf-8", "surrogatepass"), "x")
        assert all(line.isprintable() for line in found.globs)


def test_many_globs_and_a_long_address_take_no_time() -> None:
    globs = "".join(f"*a*b*c*{number}*@example.com\n" for number in range(300))
    found = RecipientList.parse(globs.encode(), "x")
    began = time.process_time()
    assert found.why("abc" * 150, "example.com") == ""
    assert time.process_time() - began < 30  # a backtracking search would not end


# -- the callout -----------------------------------------------------------------------------------

BOB, DORA = "bob@example.com", "dora@example.com"


def known(*addresses: str) -> dict[str, Callable[[str], str]]:
    """What a server says at RCPT that knows these."""

    def answer(address: str) -> str:
        return "250 2.1.5 ok" if address in addresses else "550 5.1.1 who is that?"

    return {"RCPT": answer}


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


# -- whom to ask -----------------------------------------------------------------------------------


class Routed:
    """The next hops that the mail of an address would be given to, by a table."""

    def __init__(self, folder: Path, routes: str = "", next_hop: str = "", **more: object) -> None:
        (folder / "etc").mkdir(exist_ok=True)
        self.file = folder / "etc" / "routes"
        if routes:
            self.file.write_text(routes)
        self.inquiry = Inquiry(
            config.Config(
                root=folder,
                site=config.Site(hostname="gate.example.com", domains=("example.com",)),
                recipients=config.Recipients(check="callout", timeout=30.0, **more),  # type: ignore[arg-type]
                forwarder=config.Forwarder(
                    next_hop=next_hop or f"smtp://127.0.0.1:{free_port()}",
                    nameservers=self.nameservers,
                ),
            )
        )

    nameservers: tuple[str, ...] = ()

    async def ask(self, address: str = BOB) -> bool | str | None:
        """What the next hop says of it, or that there is nobody to ask."""
        answer = await self.inquiry.ask(address)
        return "nobody to ask" if answer is None else answer.known


def url(server: Server) -> str:
    return f"{'lmtp' if server.lmtp else 'smtp'}://127.0.0.1:{server.port}"


@on_loop
async def test_each_is_asked_about_at_the_next_hop_of_its_route(tmp_path: Path) -> None:
    sub = "eve@sub.example.com"
    async with (
        Server({"RCPT": "554 5.7.1 relay access denied"}) as relay,
        Server(known(DORA)) as own,
        Server(known(BOB), lmtp=True) as boxes,
        Server(known(sub)) as below,
    ):
        routed = Routed(
            tmp_path,
            f"{BOB} {url(boxes)}\n.example.com {url(below)}\nexample.com {url(own)}\n",
            url(relay),
        )
        told = [await routed.ask(one) for one in (BOB, DORA, sub, "carol@example.com")]
        assert told == [True, True, True, False]
        assert relay.connections == 0
        assert await routed.ask("x@elsewhere.example") is None  # as no route says otherwise
        assert relay.connections == 1
        routed.inquiry.close()
    for server, expected in ((boxes, [BOB]), (own, [DORA, "carol@example.com"]), (below, [sub])):
        told = [line[9:-1] for line in server.commands if line.startswith("RCPT")]
        assert told == expected


@on_loop
async def test_the_second_is_asked_where_the_first_is_not_there_and_only_then(
    tmp_path: Path,
) -> None:
    async with Server(known(BOB)) as first, Server(known(DORA)) as second:
        down = f"smtp://127.0.0.1:{free_port()}"
        routed = Routed(tmp_path, f"example.com {down}, {url(first)}, {url(second)}\n")
        assert [await routed.ask(one) for one in (BOB, DORA)] == [True, False]
        first.answers = {"RCPT": "451 4.3.0 not now"}
        assert await routed.ask() is None
        assert second.connections == 0
        first.answers = {"CONNECT": "421 4.3.2 going down"}
        routed.inquiry.close()
        assert await routed.ask(DORA) is True
        routed.inquiry.close()


@on_loop
async def test_where_nobody_can_be_asked_there_is_no_answer_and_no_no(tmp_path: Path) -> None:
    secret = tmp_path / "etc" / "relay"
    async with Server(known()) as server:
        routed = Routed(
            tmp_path,
            f"{BOB} maildir:/home/bob/Maildir\n"
            "list-*@example.com pipe:/usr/local/bin/lists {recipient}\n"
            f"{DORA} smtp://127.0.0.1:{server.port}?auth={secret}\n"
            f"eve@example.com smtp://127.0.0.1:{free_port()} maildir:/home/eve\n"
            f"carol@example.com {url(server)} maildir:/home/carol\n",
        )
        for address in (BOB, "list-all@example.com", DORA, "eve@example.com"):
            assert await routed.ask(address) == "nobody to ask"
        assert server.connections == 0
        assert await routed.ask("carol@example.com") is False
        routed.inquiry.close()


@on_loop
async def test_the_hosts_of_a_domain_are_asked_by_their_preference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(known(BOB)) as server:
        records: dict[str, Record] = {
            "inside.test MX": ["10 a.test.", "20 b.test."],
            "a.test A": ["127.0.0.9"],  # nobody listens there
            "b.test A": ["127.0.0.1"],
            "null.test MX": ["0 ."],
            "deaf.test MX": "SERVFAIL",
        }
        async with NameServer(records) as names:
            monkeypatch.setattr(Routed, "nameservers", (names.place,))
            port = server.port
            routed = Routed(
                tmp_path,
                f"example.com mx://inside.test:{port}?local=yes\n"
                f"null.example mx://null.test:{port}\n"
                f"gone.example mx://gone.test:{port}, {url(server)}\n"
                f"deaf.example mx://deaf.test:{port}, {url(server)}\n"
                f"inside.test mx://:{port}?local=yes\n",
            )
            assert [await routed.ask(one) for one in (BOB, DORA)] == [True, False]
            assert await routed.ask("x@inside.test") is False  # by the recipient's own domain
            # No host at all: perhaps the name server is wrong.  It is no word about a recipient.
            assert await routed.ask("x@null.example") is None
            assert await routed.ask("x@gone.example") is None
            assert await routed.ask("x@deaf.example") is False
            routed.inquiry.close()


@on_loop
async def test_an_edited_table_counts_and_a_bad_edit_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server(known(BOB)) as old, Server(known(DORA)) as new:
        routed = Routed(tmp_path, f"example.com {url(old)}\n")
        assert [await routed.ask(one) for one in (BOB, DORA)] == [True, False]
        routed.file.write_text(f"example.com {url(new)}\n")
        assert [await routed.ask(one) for one in (BOB, DORA)] == [False, True]
        routed.file.write_text(f"example.com {url(old)}\n* smtp://a:0?tls=perhaps\n")
        assert [await routed.ask(one) for one in (BOB, DORA)] == [False, True]
        told = [line.getMessage() for line in caplog.records]
        assert any("event=routes-kept" in line and "routes:2: next hop" in line for line in told)
        routed.inquiry.close()


@on_loop
async def test_whoever_is_named_in_the_settings_is_asked_whatever_the_routes_say(
    tmp_path: Path,
) -> None:
    async with Server(known(BOB)) as server:
        routed = Routed(tmp_path, "example.com maildir:/x\n", ask=url(server))
        assert [await routed.ask(one) for one in (BOB, DORA)] == [True, False]
        routed.inquiry.close()


@on_loop
async def test_next_hops_of_the_past_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "_CALLOUTS", 2)
    async with Server(known(BOB)) as server:
        routed = Routed(tmp_path, f"example.com {url(server)}\n")
        for name in ("127.0.0.1", "localhost", "127.0.0.2"):
            routed.file.write_text(f"example.com smtp://{name}:{server.port}\n")
            assert await routed.ask() is (None if name == "127.0.0.2" else True)
        assert len(routed.inquiry._callouts) == 2
        routed.inquiry.close()


@pytest.mark.parametrize("bad", ["smtp://", "smtp://a:0", "lmtp://a?tls=perhaps", "mx:?x=y"])
def test_a_table_with_a_mistake_in_it_is_told_at_the_start(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ConfigError, match=r"etc/routes:1: next hop .*allowed: smtp://HOST:PORT"):
        Routed(tmp_path, f"example.com {bad}\n")
    (tmp_path / "etc" / "routes").unlink()
    with pytest.raises(ConfigError, match=r"next hop .*allowed: smtp://HOST:PORT"):
        Routed(tmp_path, next_hop=bad)


@pytest.mark.parametrize(
    "bad", ["maildir:/x", "pipe:/x", "smtp://", "x:", "smtp://a?auth=etc/relay"]
)
def test_who_is_to_be_asked_must_be_somebody_who_can(bad: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        config.Recipients(ask=bad)


# -- what is remembered ----------------------------------------------------------------------------


def test_answers_are_found_again_by_another_process_and_cleared(tmp_path: Path) -> None:
    ours, theirs = (Answers(tmp_path / "x.sqlite", 1000) for _ in range(2))
    ours.put(BOB, Answer(BOB, True, "250 ok", 5.0))
    ours.put(DORA, Answer(DORA, True, "250 ok", 5.0))
    ours.put(DORA, Answer(DORA, False, "550 no", 6.0))
    assert theirs.all() == [Answer(BOB, True, "250 ok", 5.0), Answer(DORA, False, "550 no", 6.0)]
    assert theirs.clear(DORA) == 1
    assert ours.get(DORA) is None
    assert ours.get(BOB) == Answer(BOB, True, "250 ok", 5.0)
    assert theirs.clear() == 1
    assert ours.all() == []


def test_however_many_names_are_tried_those_who_exist_stay(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "x.sqlite", 300)
    for number in range(100):
        answers.put(f"real{number}@x", Answer(f"real{number}@x", True, "", float(number)))
    for number in range(5000):
        answers.put(f"tried{number}@x", Answer(f"tried{number}@x", False, "", 1000.0 + number))
    kept = answers.all()
    assert 300 <= len(kept) < 400
    assert sum(bool(one.known) for one in kept) == 100
    assert answers.get("tried4999@x") is not None


def test_a_damaged_file_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"rubbish " * 5000)
    with pytest.raises(TemporaryFailure, match="where it is damaged, delete it"):
        Answers(path, 10)


class Place:
    """The link over a callout, with a clock of its own."""

    def __init__(self, folder: Path, server: Server, **settings: object) -> None:
        (folder / "var").mkdir(exist_ok=True)
        url = f"smtp://127.0.0.1:{server.port}"
        chosen = config.Recipients(check="callout", ask=url).model_copy(update=settings)
        site = config.Site(hostname="gate.example.com", domains=("example.com",))
        self.settings = config.Config(root=folder, site=site, recipients=chosen)
        self.now = 1_000_000.0
        self.link = mailboxes.Asked(
            Inquiry(self.settings),
            mailboxes.Memory(self.settings),
            frozenset({"example.com"}),
            chosen,
            lambda: self.now,
        )

    async def ask(self, address: str = BOB) -> str:
        reply = await self.link.recipient(Client(), Mail(NULL), parse_path(address))
        return "250" if reply is None else f"{reply.code} {reply.status}"


DAY = 86_400.0


@on_loop
async def test_an_answer_holds_for_its_time_and_an_old_yes_until_the_next_hop_is_back(
    tmp_path: Path,
) -> None:
    async with Server(known(BOB)) as server:
        place = Place(tmp_path, server)
        told = []
        for pause in (0, 0.9 * DAY, 0.2 * DAY, 0.1 * DAY):
            place.now += pause
            told.append((await place.ask(), len(server.commands)))
        assert [reply for reply, _ in told] == ["250"] * 4
        assert told[0][1] == told[1][1] < told[2][1] == told[3][1]  # asked again after a day
        assert await place.ask(DORA) == "550 5.1.1"
        asked = len(server.commands)
        place.now += 3000
        assert await place.ask(DORA) == "550 5.1.1"
        assert len(server.commands) == asked
        server.answers = {"RCPT": "451 4.3.0 not now"}
        place.now += 1000
        assert await place.ask(DORA) == "450 4.4.3"
        place.now += 5 * DAY
        assert await place.ask() == "250"
        place.now += 2 * DAY
        assert await place.ask() == "450 4.4.3"
        place.link.close()


def remembered(place: Place) -> list[tuple[str, bool | None]]:
    found = Answers(place.settings.path(answers.FILE), 10)
    try:
        return [(one.address, one.known) for one in found.all()]
    finally:
        found.close()


@on_loop
async def test_a_mailbox_is_remembered_once_however_it_is_written(tmp_path: Path) -> None:
    async with Server({"RCPT": lambda who: known(BOB)["RCPT"](who.lower())}) as server:
        place = Place(tmp_path, server)
        spellings = (
            "Bob@Example.COM",
            "bOb@example.com",
            '"bob"@example.com',
            r'"b\ob"@example.com',
        )
        assert [await place.ask(one) for one in spellings] == ["250"] * 4
        assert remembered(place) == [("Bob@example.com", True)]
        assert [await place.ask(one) for one in (DORA, "Dora@example.com")] == ["550 5.1.1"] * 2
        assert remembered(place) == [("Bob@example.com", True), ("Dora@example.com", False)]
        place.link.close()
    told = [line for line in server.commands if line.startswith("RCPT")]
    assert told == [f"RCPT TO:<{one}>" for one in ("Bob@example.com", DORA, "Dora@example.com")]


@on_loop
async def test_a_no_to_another_spelling_shuts_nobody_out(tmp_path: Path) -> None:
    """Of a next hop to which case means something: only that may say who is meant."""
    async with Server(known(BOB)) as server:
        place = Place(tmp_path, server)
        assert await place.ask("BOB@example.com") == "550 5.1.1"
        assert await place.ask(BOB) == "250"
        place.now += 2 * DAY  # the yes is asked for again
        assert await place.ask("BOB@example.com") == "550 5.1.1"
        assert remembered(place) == [(BOB, True)]
        server.answers = {"RCPT": "451 not now"}
        assert await place.ask(BOB) == "250"
        place.link.close()


@on_loop
async def test_what_was_answered_at_a_time_still_to_come_is_asked_again(tmp_path: Path) -> None:
    async with Server(known(BOB)) as server:
        place = Place(tmp_path, server)
        assert await place.ask() == "250"
        place.now -= 10 * DAY
        server.answers = known()
        assert await place.ask() == "550 5.1.1"
        place.link.close()


@on_loop
async def test_without_an_answer_mail_is_deferred_or_taken_as_the_settings_say(
    tmp_path: Path,
) -> None:
    async with Server({"RCPT": "451 not now"}) as server:
        for unreachable, reply in (("defer", "450 4.4.3"), ("accept", "250")):
            place = Place(tmp_path, server, unreachable=unreachable)
            assert await place.ask() == reply
            assert await place.ask("Postmaster") == "250"
            assert await place.ask("dora@elsewhere.example") == "250"
            place.link.close()
    assert not any("elsewhere" in command for command in server.commands)


@on_loop
async def test_a_memory_that_fails_loses_nothing_but_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server(known(BOB)) as server:
        place = Place(tmp_path, server)
        (tmp_path / answers.FILE).write_bytes(b"rubbish " * 5000)
        assert await place.ask() == "250"
        assert await place.ask(DORA) == "550 5.1.1"
        place.link.close()
    told = [record for record in caplog.records if "event=not-remembered" in record.getMessage()]
    assert len(told) == 1


# -- the door --------------------------------------------------------------------------------------


@on_loop
async def test_a_list_that_was_edited_counts_and_a_bad_edit_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "recipients"
    file.write_text("bob@example.com\n")
    settings = config.Config(
        root=tmp_path,
        site=config.Site(domains=("example.com",)),
        recipients=config.Recipients(check="list"),
    )
    link = mailboxes.make(settings)
    assert link is not None

    async def told(address: str) -> str:
        assert link is not None
        reply = await link.recipient(Client(), Mail(NULL), parse_path(address))
        return "" if reply is None else f"{reply.code} {reply.status}"

    assert [await told(one) for one in (BOB, DORA)] == ["", "550 5.1.1"]
    file.write_text("dora@example.com\n")
    assert [await told(one) for one in (BOB, DORA)] == ["550 5.1.1", ""]
    file.write_text("bob@example.com\nnonsense\n")
    assert [await told(one) for one in (BOB, DORA)] == ["550 5.1.1", ""]
    assert any("recipients:2: not an address" in line.getMessage() for line in caplog.records)
    assert await told("dora@elsewhere.example") == ""
    file.unlink()
    assert await told(DORA) == ""


def test_who_cannot_be_asked_is_no_next_hop_for_a_callout(tmp_path: Path) -> None:
    settings = config.Config(root=tmp_path, recipients=config.Recipients(check="callout"))
    with pytest.raises(ConfigError, match=r"recipients\.ask: maildir:maildir cannot be asked"):
        mailboxes.make(settings)
