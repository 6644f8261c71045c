"""Who exists here: the list, and the door that asks it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import on_loop

from spoolscan import config
from spoolscan.errors import ConfigError
from spoolscan.receiver import mailboxes
from spoolscan.receiver.address import NULL, parse_path
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import Mail
from spoolscan.receiver.recipients import RecipientList
from spoolscan.share import folder

BOB, DORA = "bob@example.com", "dora@example.com"

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
