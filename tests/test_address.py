"""Paths and parameters are read in one way or refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolscan import envelope
from spoolscan.envelope import Envelope, Recipient
from spoolscan.forwarder.commands import rcpt_line
from spoolscan.forwarder.delivery import Wish, checked_path
from spoolscan.receiver.address import (
    NULL,
    BadParameter,
    BadPath,
    Path,
    is_domain,
    is_literal,
    parse_parameters,
    parse_path,
    split_argument,
)
from spoolscan.receiver.arguments import read_mail, read_rcpt
from spoolscan.receiver.events import Mail, Rcpt
from spoolscan.receiver.policy import parse_peer

INSIDE = ipaddress.ip_address("192.0.2.1")


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("alice@example.org", "alice", "example.org"),
        ("Alice@EXAMPLE.org", "Alice", "example.org"),
        ("a.b+tag=x@example.org", "a.b+tag=x", "example.org"),
        ("a..b.@example.org", "a..b.", "example.org"),
        ('"john doe"@example.org', "john doe", "example.org"),
        (r'"a\"b\\"@example.org', 'a"b\\', "example.org"),
        ('"a@b"@example.org', "a@b", "example.org"),
        ('"a>b"@example.org', "a>b", "example.org"),
        ('"a> SIZE=1 <b"@example.org', "a> SIZE=1 <b", "example.org"),
        (r'"\"\>\@"@example.org', '">@', "example.org"),
        ('"@a:b"@example.org', "@a:b", "example.org"),
        ('"bob@example.com>"@example.org', "bob@example.com>", "example.org"),
        ("x@[192.0.2.7]", "x", "[192.0.2.7]"),
        ("x@[IPv6:2001:db8::1]", "x", "[ipv6:2001:db8::1]"),
        ("x@under_score.example.org", "x", "under_score.example.org"),
        ("x@example.org.", "x", "example.org."),
        ("Postmaster", "Postmaster", ""),
    ],
)
def test_an_address_has_one_reading(text: str, local: str, domain: str) -> None:
    assert parse_path(text) == Path(text, local, domain)


def test_the_null_path_is_empty() -> None:
    assert parse_path("") == NULL


def test_a_source_route_is_kept_apart_from_the_mailbox() -> None:
    path = parse_path("@a.example,@B.example:bob@c.example")
    assert path == Path("bob@c.example", "bob", "c.example", ("a.example", "b.example"))
    assert parse_path('@a.example:"@b:c>"@d.example') == Path(
        '"@b:c>"@d.example', "@b:c>", "d.example", ("a.example",)
    )


@pytest.mark.parametrize(
    "text",
    [
        "bob",
        "@example.org",
        "bob@",
        "a@b@example.org",
        "bob@-example.org",
        "bob@example..org",
        "bob@example.org..",
        "bob@[192.0.2]",
        "bob@[192.0.2.7",
        "bob@[IPv6:fe80::1%eth0]",
        "bob@exa mple.org",
        "bob bob@example.org",
        '"bob@example.org',
        '"bob"x@example.org',
        '""@example.org',
        'bo"b"@example.org',
        "bob@example.org\x00",
        "bob\r\n@example.org",
        '"bob\n"@example.org',
        "b\xf6b@example.org",
        "bob@ex\xe4mple.org",
        "<bob@example.org>",
        "bob,eve@example.org",
        "bob:eve@example.org",
        "@a.example:bob",
        "@a.example,b.example:bob@c.example",
        "@:bob@c.example",
        "a@" + "x" * 64 + ".example",
        "a@" + "x." * 128 + "example",
        "a" * 600 + "@example.org",
    ],
)
def test_what_reads_two_ways_or_none_is_refused(text: str) -> None:
    with pytest.raises(BadPath):
        parse_path(text)


@pytest.mark.parametrize(
    ("argument", "path", "parameters"),
    [
        ("FROM:<a@b.example>", "a@b.example", ""),
        ("from:<a@b.example> SIZE=10  BODY=7BIT ", "a@b.example", "SIZE=10  BODY=7BIT"),
        ("FROM: <a@b.example>", "a@b.example", ""),
        ("FROM:a@b.example SIZE=10", "a@b.example", "SIZE=10"),
        ("FROM:<>", "", ""),
        ('FROM:<"a> SIZE=1"@b.example> SIZE=2', '"a> SIZE=1"@b.example', "SIZE=2"),
        ('FROM:"a b"@c.example X=1', '"a b"@c.example', "X=1"),
        (r'FROM:<"a\"> X=1 \\"@b.example> X=2', r'"a\"> X=1 \\"@b.example', "X=2"),
        ('FROM:<@a.example:"b>"@c.example> X=1', '@a.example:"b>"@c.example', "X=1"),
    ],
)
def test_the_argument_is_split_outside_quotes(argument: str, path: str, parameters: str) -> None:
    assert split_argument(argument, "FROM") == (path, parameters)


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "FROM",
        "FROM:",
        "TO:<a@b>",
        "<a@b>",
        "FROM:<a@b",
        "FROM:<a@b>x",
        'FROM:<"a@b>',
        r'FROM:<"a\"@b>',
    ],
)
def test_a_malformed_argument_is_refused(argument: str) -> None:
    with pytest.raises(BadPath):
        split_argument(argument, "FROM")


def test_parameters_are_read_by_their_keywords() -> None:
    assert parse_parameters("size=10 BODY=8BITMIME SMTPUTF8") == {
        "SIZE": "10",
        "BODY": "8BITMIME",
        "SMTPUTF8": "",
    }


@pytest.mark.parametrize(
    "text", ["=1", "SIZE=", "SIZE=1 size=2", "-X=1", "X=a=b", "X=\x7f", "X=\xe4", "X!=1"]
)
def test_malformed_parameters_are_refused(text: str) -> None:
    with pytest.raises(BadParameter):
        parse_parameters(text)


@given(st.text(max_size=80))
def test_whatever_is_accepted_is_printable_ascii_without_brackets(text: str) -> None:
    try:
        path = parse_path(text)
    except BadPath:
        return
    assert all(" " <= char <= "~" for char in path.text + path.local + path.domain)
    assert is_domain(path.domain.removesuffix(".")) or is_literal(path.domain) or not path.domain


QUOTED = st.lists(
    st.tuples(st.characters(min_codepoint=32, max_codepoint=126), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(QUOTED, st.sampled_from(["", "@a.example,@b.example:"]), st.booleans())
def test_a_quoted_mailbox_is_the_same_from_the_peer_to_the_next_hop(
    content: list[tuple[str, bool]], route: str, bare: bool
) -> None:
    """By MAIL or RCPT, into the spool, out of it, and into the next hop's ears."""
    inside = "".join(f"\\{char}" if char in '"\\' or quote else char for char, quote in content)
    mailbox = f'"{inside}"@example.com'
    argument = f"{route}{mailbox}" if bare and not route else f"<{route}{mailbox}>"
    read = read_rcpt(f"TO:{argument} NOTIFY=NEVER", utf8=False)
    sender = read_mail(f"FROM:{argument} SIZE=1", auth=False)
    assert isinstance(read, Rcpt)
    assert isinstance(sender, Mail)
    assert read.notify == "NEVER"
    assert sender.sender == read.recipient
    path = read.recipient
    assert path.local == "".join(char for char, _ in content)
    assert path.domain == "example.com"
    assert path.text == path.address == mailbox
    written = Envelope(path.text, (Recipient(path.text),)).encode("20261121t053000z-d6m01v", 0)
    stored = envelope.parse(written).envelope
    assert (stored.sender, stored.recipients[0].address) == (mailbox, mailbox)
    said = rcpt_line(checked_path(stored.recipients[0].address), Wish(), {}).decode()
    heard = read_rcpt(said.removeprefix("RCPT ").removesuffix("\r\n"), utf8=False)
    assert isinstance(heard, Rcpt)
    assert heard.recipient.text == mailbox
    assert heard.recipient.local == path.local


def test_all_spellings_of_a_mailbox_compare_as_one() -> None:
    for text in ("Bob@Example.COM", '"bob"@example.com', r'"b\OB"@example.com'):
        assert parse_path(text).mailbox == "bob@example.com"
    assert parse_path('"a@b"@example.com').mailbox == "a@b@example.com"
    assert parse_path("Postmaster").address == "Postmaster"
    assert parse_path('@a.example:"X@y"@Example.COM').address == '"X@y"@example.com'
    path = parse_path("B\u00fcRO@B\u00fccher.example", utf8=True)
    assert path.mailbox == "b\u00fcro@xn--bcher-kva.example"
    assert path.address == "B\u00fcRO@xn--bcher-kva.example"


def test_ipv4_within_ipv6_is_the_ipv4_peer() -> None:
    assert parse_peer("::ffff:192.0.2.1") == INSIDE
    assert parse_peer("fe80::1%eth0") == ipaddress.ip_address("fe80::1")
    assert parse_peer("") is None
