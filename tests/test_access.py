"""etc/access: which key counts, what is above what, and how a mistake is told."""

from __future__ import annotations

import ipaddress
import random
import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolscan import share
from spoolscan.errors import ConfigError
from spoolscan.receiver.access import Access, Entry
from spoolscan.receiver.address import parse_path
from spoolscan.receiver.case import Case, Mailbox
from spoolscan.receiver.client import Client
from spoolscan.receiver.reply import Reply

OURS = frozenset({"site.example"})


def entry(
    text: str,
    address: str = "192.0.2.7",
    name: str = "mail.b.example",
    sender: str = "a@b.example",
    recipient: str = "bob@site.example",
) -> Entry | None:
    case = Case(
        Client(ipaddress.ip_address(address), name),
        Mailbox.of(parse_path(sender)),
        Mailbox.of(parse_path(recipient)),
        OURS,
    )
    return Access.parse(text.encode(), "access").decide(case)


def says(text: str, *where: str, **case: str) -> str:
    """OK, RELAY, DISCARD, the bytes of a refusal, or nothing."""
    found = entry(text, *where, **case)
    if found is None:
        return ""
    return found.says.wire().decode() if isinstance(found.says, Reply) else found.says.value


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("a@b.example", True),
        ("A@B.EXAMPLE", True),
        ("x@b.example", False),
        ("a@sub.b.example", False),
        ("a@", True),
        ("b@", False),
        ("b.example", True),
        ("example", True),
        ("B.Example.", True),
        ("sub.b.example", False),
        ("xb.example", False),
        ("<>", False),
        ("From:a@b.example", True),
        ("from:b.example", True),
        ("To:a@b.example", False),
        ("To:bob@site.example", True),
        ("TO:site.example", True),
        ("To:b.example", False),
        ("Connect:site.example", False),
        ("Connect:mail.b.example", True),
        ("Connect:b.example", True),
        ("192.0.2.7", True),
        ("192.0.2", True),
        ("192.0", True),
        ("192", True),
        ("19", False),
        ("192.0.2.70", False),
        ("192.0.2.0/28", True),
        ("Connect:192.0.2.0/29", True),
        ("Connect:192.0.2.16/28", False),
        ("[192.0.2.7]", True),
        ("IPv6:2001:db8", False),
    ],
)
def test_a_key(key: str, fits: bool) -> None:
    assert says(f"{key} DISCARD") == ("DISCARD" if fits else "")


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("IPv6:2001:db8", True),
        ("IPv6:2001:db8:", True),
        ("IPv6:2001:db8:0:0:0:0:0:7", True),
        ("Connect:IPv6:2001:0db8::7", True),
        ("Connect:2001:db8::/32", True),
        ("Connect:[IPv6:2001:db8::7]", True),
        ("IPv6:2001:db9", False),
        ("32.1", False),
    ],
)
def test_a_key_of_ipv6(key: str, fits: bool) -> None:
    assert says(f"{key} OK", "2001:db8::7", "") == ("OK" if fits else "")


def test_the_null_sender_and_domains_in_other_scripts() -> None:
    assert says("From:<> REJECT", sender="").startswith("550 5.7.1 ")
    assert says("b.example REJECT\na@ REJECT", name="", sender="") == ""
    text = "From:b\u00fccher.example DISCARD"
    assert says(text, sender="a@xn--bcher-kva.example") == "DISCARD"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("From:b.example DISCARD\nFrom:a@b.example OK", "OK"),
        ("From:a@b.example OK\nFrom:b.example DISCARD", "OK"),
        ("From:a@ OK\nFrom:b.example DISCARD", "OK"),
        ("From:example DISCARD\nFrom:b.example OK", "OK"),
        ("Connect:192.0 DISCARD\nConnect:192.0.2.7 OK", "OK"),
        ("Connect:192.0.2.7 DISCARD\nConnect:b.example OK", "OK"),
        ("b.example DISCARD\nFrom:b.example OK\nConnect:b.example OK", "OK"),
        ("From:b.example OK\nb.example DISCARD\nConnect:b.example OK", "OK"),
    ],
)
def test_the_most_special_key_counts(text: str, outcome: str) -> None:
    assert says(text) == outcome


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Connect:192 OK\nFrom:a@ RELAYED", ""),
        ("Connect:192 OK\nFrom:a@ REJECT\nTo:bob@ RELAY", "550"),
        ("Connect:192 REJECT\nFrom:a@ OK\nTo:bob@ OK", "550"),
        ("Connect:192 RELAY\nFrom:a@ DISCARD\nTo:bob@ OK", "DISC"),
        ("Connect:192 OK\nFrom:a@ OK\nTo:bob@ RELAY", "RELA"),
        ("Connect:192 450 one\nFrom:a@ 451 two\nTo:bob@ 452 three", "450"),
    ],
)
def test_what_stands_above_what(text: str, outcome: str) -> None:
    if not outcome:
        with pytest.raises(ConfigError):
            says(text)
    else:
        assert says(text)[: len(outcome)] == outcome


def test_relay_without_a_tag_never_goes_by_the_sender() -> None:
    assert says("b.example RELAY", name="") == ""
    assert says("b.example RELAY") == "RELAY"
    assert says("a@b.example RELAY", name="") == ""
    assert says("a@b.example RELAY", name="", recipient="a@b.example") == "RELAY"


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("REJECT", "550 5.7.1 access denied\r\n"),
        ("reject", "550 5.7.1 access denied\r\n"),
        ("550 we know you", "550 5.7.1 we know you\r\n"),
        ("450 come later: 100% sure", "450 4.7.1 come later: 100% sure\r\n"),
        ("554 5.7.9 no", "554 5.7.9 no\r\n"),
        ("ERROR:5.7.2:550 no", "550 5.7.2 no\r\n"),
        ("ERROR:550 no", "550 5.7.1 no\r\n"),
        ('ERROR:"550 no: http://x.example/%I"', "550 5.7.1 no: http://x.example/%I\r\n"),
        ('error:4.2.1:"450 wait"', "450 4.2.1 wait\r\n"),
    ],
)
def test_a_refusal(value: str, wire: str) -> None:
    assert says(f"From:a@b.example\t{value}") == wire


@pytest.mark.parametrize(
    ("line", "reason", "column"),
    [
        ("a@b.example", "a line is a key, blanks and a value", 0),
        ("a@b.example MAYBE", "allowed: OK, RELAY, REJECT, DISCARD, ERROR:D.S.N:code text", 12),
        ("a@b.example 250 ok", "allowed: OK, RELAY, REJECT", 12),
        ("a@b.example ERROR:5.7.1:450 no", "an enhanced status for 450", 28),
        ("From:b.example RELAY", "anybody may write any sender", 0),
        ("From:192.0.2.1 REJECT", "an address is for Connect:", 5),
        ("Connect:a@b.example REJECT", "an address is for Connect:", 8),
        ("@b.example REJECT", "allowed: user@domain, user@, a domain", 0),
        (".b.example REJECT", "allowed: user@domain, user@, a domain", 0),
        ("Spam:b.example FRIEND", "allowed: OK, RELAY, REJECT", 15),
        ("Spam:b.example OK", "allowed: user@domain", 0),
        ("192.0.2.0/8 OK", "has host bits set; allowed: user@domain", 0),
        ("Connect:300.1 OK", "allowed: user@domain", 8),
    ],
)
def test_a_mistake_is_told_with_line_and_caret(line: str, reason: str, column: int) -> None:
    with pytest.raises(ConfigError) as raised:
        Access.parse(f"# first\n\n{line}\n".encode(), "access")
    told, _, caret = str(raised.value).split("\n")
    assert told.startswith("access, line 3: ")
    assert reason in told
    assert caret == " " * (column + 4) + "^"


def test_a_key_given_twice_is_a_mistake_that_names_the_other_line() -> None:
    with pytest.raises(ConfigError, match="line 2: the same key as in line 1"):
        Access.parse(b"From:b.example OK\nFrom:B.EXAMPLE REJECT\n", "access")
    Access.parse(b"From:b.example OK\nTo:b.example REJECT\nConnect:b.example OK\n", "access")


@given(st.text(max_size=40), st.sampled_from(["OK", "REJECT", "550 no"]))
def test_no_text_raises_anything_but_a_mistake(key: str, value: str) -> None:
    for line in (key, f"{key} {value}", f"From:{key} {value}", f"x {key}"):
        with suppress(ConfigError):
            says(line)


@given(st.lists(st.integers(0, 32), min_size=1, max_size=8, unique=True))
def test_the_smallest_network_counts(sizes: list[int]) -> None:
    lines = [
        f"Connect:{ipaddress.ip_network(f'192.0.2.7/{bits}', strict=False)} 550 {bits} bits"
        for bits in sizes
    ]
    random.Random(0).shuffle(lines)  # noqa: S311 - no secret
    assert says("\n".join(lines), name="") == f"550 5.7.1 {max(sizes)} bits\r\n"


def test_a_hundred_thousand_lines_are_looked_up_as_fast_as_one() -> None:
    text = "".join(f"From:user{n}@d{n}.example REJECT\n" for n in range(100_000))
    access = Access.parse(text.encode(), "access")
    assert len(access) == 100_000
    case = Case(
        Client(ipaddress.ip_address("192.0.2.1")),
        Mailbox("user99999", "d99999.example"),
        Mailbox("bob", "site.example"),
        OURS,
    )
    began = time.process_time()
    for _ in range(1000):
        found = access.decide(case)
        assert found is not None
        assert found.line == 100_000
    assert time.process_time() - began < 30  # by reading all lines it would be minutes


def test_the_shipped_file_says_nothing_and_its_examples_are_good() -> None:
    text = (share.folder("etc") / "access").read_text()
    assert len(Access.parse(text.encode(), "access")) == 0
    examples = re.findall(r"(?m)^#     (\S.*)$", text)
    assert len(Access.parse("\n".join(examples).encode(), "access")) == len(examples) == 4
