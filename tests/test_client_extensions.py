"""What the client says where a server offers more: BDAT, SMTPUTF8, 8BITMIME, DSN, XFORWARD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.envelope import Envelope, Recipient
from spoolscan.errors import Corrupt
from spoolscan.forwarder import attempt
from spoolscan.forwarder.delivery import ConnectionLost, Fate, Mail, Outcome, Success, Wish
from spoolscan.forwarder.protocol import PIECE, Client, Phase
from spoolscan.nexthop.options import Options
from spoolscan.spool import STATES, Spool

ALICE = "alice@example.org"
ONE, TWO = ("bob@example.com",), ("bob@example.com", "carol@example.com")
ID = "20261121t053000z-d6m01v"
CHUNKING = ("PIPELINING", "CHUNKING")


def ready(*features: str, lmtp: bool = False, **options: Any) -> Client:
    chosen = Options(tls="none", xforward=options.pop("xforward", False))
    client = Client("me.test", "peer.test", chosen, lmtp=lmtp, **options)
    client.receive(b"220 hello\r\n")
    client.to_send()
    lines = ["peer.test", *features]
    marks = ["-"] * (len(lines) - 1) + [" "]
    pairs = zip(marks, lines, strict=True)
    client.receive("".join(f"250{mark}{line}\r\n" for mark, line in pairs).encode())
    assert client.phase is Phase.READY
    return client


def begin(client: Client, *to: str, sender: str = ALICE, **values: Any) -> bytes:
    """What is said; ``values`` are further fields of the Mail."""
    values = {"size": 7, "eight_bit": False, **values}
    client.begin(Mail(ID, sender, tuple(enumerate(to)), content=aiter, **values))
    return client.to_send()


def fates(client: Client) -> dict[int, tuple[Fate, str]]:
    return {index: (one.fate, one.status) for index, one in client.outcomes().items()}


# BDAT


def test_the_content_goes_as_it_is_in_one_piece_with_the_command() -> None:
    client = ready(*CHUNKING)
    assert begin(client, *ONE) == (
        b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.com>\r\n"
    )
    client.receive(b"250 ok\r\n250 ok\r\n")
    client.body(b".a\r\n.\r\n")
    client.body(b"..b\r\n")
    client.end()
    assert client.to_send() == b"BDAT 12 LAST\r\n.a\r\n.\r\n..b\r\n"
    assert fates(client) == {}
    client.receive(b"250 2.0.0 taken\r\n")
    assert fates(client) == {0: (Fate.DELIVERED, "2.0.0")}
    assert client.phase is Phase.READY
    assert begin(client, *ONE).startswith(b"MAIL")


def test_a_large_one_goes_in_pieces() -> None:
    client = ready(*CHUNKING)
    assert begin(client, *ONE, size=3 * PIECE).endswith(b"RCPT TO:<bob@example.com>\r\n")
    assert client.phase is Phase.ENVELOPE
    client.receive(b"250 ok\r\n250 ok\r\n")
    assert client.phase is Phase.BODY
    piece = b"x" * (PIECE - 2) + b"\r\n"
    for _ in range(3):
        client.body(piece)
    client.end()
    assert client.to_send() == (b"BDAT %d\r\n" % PIECE + piece) * 2
    client.receive(b"250 ok\r\n")
    assert client.to_send() == b""
    client.receive(b"250 ok\r\n")
    assert client.to_send() == b"BDAT %d LAST\r\n" % PIECE + piece
    assert fates(client) == {}
    client.receive(b"250 done\r\n")
    assert fates(client) == {0: (Fate.DELIVERED, "2.0.0")}


def in_body(to: tuple[str, ...] = ONE, **values: Any) -> Client:
    client = ready(*CHUNKING)
    begin(client, *to, **values)
    client.receive(b"250 ok\r\n" * (1 + len(to)))
    assert client.phase is Phase.BODY
    return client


def test_completes_the_last_line_and_refuses_what_is_not_canonical() -> None:
    client = in_body()
    client.body(b"a")
    client.end()
    assert client.to_send() == b"BDAT 3 LAST\r\na\r\n"
    for bad in (b"a\n", b"a\rb", b"\0", b"\r\n.\n"):
        client = in_body()
        with pytest.raises(Corrupt):
            client.body(bad)
        assert client.to_send() == b""


def test_uses_data_where_bdat_is_not_offered_cannot_be_pipelined_or_is_switched_off() -> None:
    assert b"DATA\r\n" in begin(ready("PIPELINING"), *ONE)
    assert b"DATA\r\n" in begin(ready(*CHUNKING, chunking=False), *ONE)
    client = ready("CHUNKING")
    begin(client, *ONE)
    for reply in (b"250 ok\r\n", b"250 ok\r\n"):
        client.receive(reply)
        said = client.to_send()
    assert said == b"DATA\r\n"


@pytest.mark.parametrize(
    ("replies", "found"),
    [
        (b"250 ok\r\n550 5.1.1 no\r\n450 4.2.0 later\r\n", "RD"),
        (b"451 4.7.1 grey\r\n503 no\r\n503 no\r\n", "DD"),
        (b"554 5.7.1 no\r\n250 ok\r\n250 ok\r\n", "RR"),
    ],
)
def test_no_content_is_sent_that_nobody_was_accepted_for(replies: bytes, found: str) -> None:
    client = ready(*CHUNKING)
    begin(client, *TWO)
    client.receive(replies)
    words = {"D": Fate.DEFERRED, "R": Fate.REFUSED}
    assert [fate for fate, _ in fates(client).values()] == [words[it] for it in found]
    assert client.phase is Phase.READY
    assert client.to_send() == b""
    assert begin(client, *ONE).startswith(b"RSET\r\nMAIL")


@pytest.mark.parametrize(
    ("reply", "fate"), [(b"554 5.6.0 no\r\n", Fate.REFUSED), (b"451 later\r\n", Fate.DEFERRED)]
)
def test_a_refused_message_is_forgotten_by_rset(reply: bytes, fate: Fate) -> None:
    client = in_body(TWO)
    client.body(b"hello\r\n")
    client.end()
    client.to_send()
    client.receive(reply)
    assert [found for found, _ in fates(client).values()] == [fate, fate]
    assert begin(client, *ONE).startswith(b"RSET\r\nMAIL")


def test_a_refused_piece_is_the_answer_and_the_end() -> None:
    client = ready(*CHUNKING)
    begin(client, *TWO, size=3 * PIECE)
    client.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n")
    for _ in range(3):
        client.body(b"x" * (PIECE - 2) + b"\r\n")
    client.to_send()
    with pytest.raises(ConnectionLost):
        client.receive(b"552 5.3.4 too much\r\n")
    assert fates(client) == {0: (Fate.REFUSED, "5.3.4"), 1: (Fate.REFUSED, "5.3.4")}


def test_lmtp_answers_for_each_recipient_after_the_last_piece() -> None:
    client = ready(*CHUNKING, lmtp=True)
    begin(client, *TWO)
    client.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n")
    client.body(b"hello\r\n")
    client.end()
    assert client.to_send() == b"BDAT 7 LAST\r\nhello\r\n"
    client.receive(b"250 ok\r\n452 4.2.2 full\r\n")
    assert fates(client) == {0: (Fate.DELIVERED, "2.0.0"), 1: (Fate.DEFERRED, "4.2.2")}
    assert client.phase is Phase.READY


CODES = st.sampled_from([b"250", b"354", b"421", b"450", b"550", b"503", b"250-"])


@given(st.lists(CODES, max_size=14), st.booleans(), st.sampled_from([7, 3 * PIECE]))
def test_whatever_is_answered_nobody_gets_two_outcomes_or_one_too_many(
    codes: list[bytes], lmtp: bool, size: int
) -> None:
    client = ready(*CHUNKING, lmtp=lmtp)
    begin(client, "a@x", "b@x", "c@x", size=size)
    seen: dict[int, Outcome] = {}
    try:
        for code in codes:
            if client.phase is Phase.BODY:
                client.body(b"x" * (size - 2) + b"\r\n")
                client.end()
            client.to_send()
            client.receive(code + (b"x\r\n" if code.endswith(b"-") else b" x\r\n"))
            known = client.outcomes()
            assert not seen.keys() & known
            seen |= known
    except ConnectionLost:
        known = client.outcomes()
        assert not seen.keys() & known
        seen |= known
    assert client.phase is not Phase.READY or sorted(seen) == [0, 1, 2]
    delivered = any(one.fate is Fate.DELIVERED for one in seen.values())
    assert not delivered or codes.count(b"250") >= 3


# SMTPUTF8 and 8BITMIME

JUERGEN = "jürgen@example.com"


@pytest.mark.parametrize("values", [{"utf8": True}, {"sender": JUERGEN}, {"to": JUERGEN}])
def test_smtputf8_is_said_where_it_is_offered_and_needed(values: dict[str, Any]) -> None:
    client = ready("PIPELINING", "SMTPUTF8", "8BITMIME")
    said = begin(client, values.pop("to", ONE[0]), **values)
    assert b" SMTPUTF8\r\n" in said
    assert client.outcomes() == {}


def test_an_address_goes_out_in_utf8() -> None:
    said = begin(ready("PIPELINING", "SMTPUTF8"), JUERGEN, sender=JUERGEN)
    assert said.count("<jürgen@example.com>".encode()) == 2


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"sender": JUERGEN}, "5.6.7"),
        ({"utf8": True, "eight_bit": True, "eight_bit_header": True}, "5.6.9"),
    ],
)
def test_what_needs_smtputf8_is_refused_for_good_where_it_is_not_offered(
    values: dict[str, Any], status: str
) -> None:
    client = ready("PIPELINING", "8BITMIME")
    assert begin(client, *TWO, **values) == b""
    assert fates(client) == {0: (Fate.REFUSED, status), 1: (Fate.REFUSED, status)}
    assert client.phase is Phase.READY


def test_mail_that_came_by_smtputf8_and_needs_none_of_it_goes_anywhere() -> None:
    client = ready("PIPELINING", "8BITMIME")
    said = begin(client, *ONE, utf8=True, eight_bit=True)
    assert said.startswith(b"MAIL FROM:<alice@example.org> BODY=8BITMIME\r\n")


def test_raw_bytes_in_a_header_that_came_without_smtputf8_are_as_good_as_before() -> None:
    client = ready("PIPELINING")
    assert begin(client, *ONE, eight_bit=True, eight_bit_header=True).startswith(b"MAIL")


def test_eight_bits_go_as_they_are_or_are_refused_as_the_setting_says() -> None:
    assert begin(ready("PIPELINING"), *ONE, eight_bit=True).startswith(b"MAIL FROM:<")
    client = ready("PIPELINING", eight_bit=False)
    assert begin(client, *ONE, eight_bit=True) == b""
    assert fates(client) == {0: (Fate.REFUSED, "5.6.3")}
    client = ready("PIPELINING", "8BITMIME", eight_bit=False)
    assert b"BODY=8BITMIME" in begin(client, *ONE, eight_bit=True)


# DSN

ASKED: dict[str, Any] = {
    "ret": "HDRS",
    "envid": "QQ314+2B159",
    "wishes": {
        0: Wish("SUCCESS,FAILURE", "rfc822;bob+40example.com"),
        1: Wish("NEVER", ""),
    },
}


def test_what_the_sender_asked_to_be_told_is_passed_on() -> None:
    client = ready("PIPELINING", "DSN")
    assert begin(client, *TWO, **ASKED) == (
        b"MAIL FROM:<alice@example.org> RET=HDRS ENVID=QQ314+2B159\r\n"
        b"RCPT TO:<bob@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob+40example.com\r\n"
        b"RCPT TO:<carol@example.com> NOTIFY=NEVER\r\n"
        b"DATA\r\n"
    )


def test_and_is_not_said_where_nobody_understands_it() -> None:
    said = begin(ready("PIPELINING"), *TWO, **ASKED)
    assert said.startswith(b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.com>\r\n")


def test_a_message_without_an_envid_gets_its_queue_id() -> None:
    assert f"ENVID={ID}\r\n".encode() in begin(ready("PIPELINING", "DSN"), *ONE)


@pytest.mark.parametrize(
    "bad",
    [
        {"envid": "a b"},
        {"envid": "x" * 101},
        {"envid": "+zz"},
        {"envid": "a\r\nRCPT TO:<x@y>"},
        {"ret": "ALL"},
        {"wishes": {0: Wish("SUCCESS SIZE=1", "")}},
        {"wishes": {0: Wish("NEVER,FAILURE", "")}},
        {"wishes": {0: Wish("", "rfc822;a b")}},
        {"wishes": {0: Wish("", "rfc822")}},
        {"wishes": {0: Wish("", "rfc822;a\nb")}},
    ],
)
def test_what_is_not_of_the_form_is_not_said(bad: dict[str, Any]) -> None:
    assert (
        begin(ready("PIPELINING", "DSN"), *ONE, **bad)
        == (
            f"MAIL FROM:<alice@example.org> ENVID={ID}\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
        ).encode()
    )


@pytest.mark.parametrize(
    ("features", "lmtp", "success"),
    [
        (("PIPELINING",), False, Success.RELAYED),
        (("PIPELINING", "DSN"), False, Success.PASSED),
        (("PIPELINING",), True, Success.DELIVERED),
    ],
)
def test_who_is_to_tell_of_a_delivery_is_noted(
    features: tuple[str, ...], lmtp: bool, success: Success
) -> None:
    client = ready(*features, lmtp=lmtp)
    begin(client, *ONE)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.end()
    client.to_send()
    client.receive(b"250 ok\r\n")
    assert [one.success for one in client.outcomes().values()] == [success]


# XFORWARD

ORIGIN = {"NAME": "mail.example.org", "ADDR": "192.0.2.7", "PROTO": "ESMTP", "HELO": "a b\r\n=c"}


def test_a_next_hop_named_for_it_is_told_where_a_message_came_from() -> None:
    client = ready("PIPELINING", "XFORWARD NAME ADDR HELO SOURCE", xforward=True)
    said = begin(client, *ONE, origin=ORIGIN)
    first, _, rest = said.partition(b"\r\n")
    assert first == b"XFORWARD NAME=mail.example.org ADDR=192.0.2.7 HELO=a+20b+0D+0A+3Dc"
    assert rest.startswith(b"MAIL")
    client.receive(b"550 not you\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert client.phase is Phase.BODY


def test_nobody_else_is() -> None:
    for client in (
        ready("PIPELINING", "XFORWARD NAME ADDR"),
        ready("PIPELINING", xforward=True),
        ready("PIPELINING", "XFORWARD PORT", xforward=True),
    ):
        assert begin(client, *ONE, origin=ORIGIN).startswith(b"MAIL")


# From the spool


def test_what_the_envelope_says_is_what_a_route_is_given(tmp_path: Path) -> None:
    for state in STATES:
        (tmp_path / state).mkdir(mode=0o700)
    spool = Spool(tmp_path)
    to = (
        Recipient("bob@example.com", extras=(("NTFY", "NEVER"), ("ORCP", "rfc822;b+40x"))),
        Recipient("carol@example.com"),
    )
    said = (("UTF8", "yes"), ("RETN", "HDRS"), ("ENVI", "abc+2B1"))
    envelope = Envelope(
        ALICE, to, peer_address="2001:db8::7", peer_name="mx.example", protocol="ESMTP", extras=said
    )
    draft = spool.draft(envelope)
    draft.write("Subject: Grüße\r\n\r\nhello\r\n".encode())
    work = attempt.take(spool, draft.commit(to="outgoing"), 0)
    with work.message:
        mail = attempt.mail(work, [0, 1], b"")
    assert (mail.utf8, mail.eight_bit, mail.eight_bit_header) == (True, True, True)
    assert (mail.ret, mail.envid) == ("HDRS", "abc+2B1")
    assert mail.wishes == {0: Wish("NEVER", "rfc822;b+40x"), 1: Wish()}
    assert mail.origin["ADDR"] == "IPv6:2001:db8::7"
    assert (mail.origin["NAME"], mail.origin["PROTO"]) == ("mx.example", "ESMTP")


@pytest.mark.parametrize("size", [100, 70_000])
def test_a_header_in_ascii_over_a_body_that_is_not_needs_no_smtputf8(
    tmp_path: Path, size: int
) -> None:
    for state in STATES:
        (tmp_path / state).mkdir(mode=0o700)
    spool = Spool(tmp_path)
    draft = spool.draft(Envelope(ALICE, (Recipient(ONE[0]),)))
    draft.write(b"Subject: x\r\n\r\n" + b"a" * size + "ü\r\n".encode())
    work = attempt.take(spool, draft.commit(to="outgoing"), 0)
    with work.message:
        mail = attempt.mail(work, [0], b"")
    assert (mail.eight_bit, mail.eight_bit_header) == (True, False)
