"""Mail of our own: what a stranger said goes into it as words, and cannot bounce, loop or lead."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from builders import names, spool_in
from hypothesis import given
from hypothesis import strategies as st

from spoolscan import share
from spoolscan.errors import ConfigError
from spoolscan.log import safe
from spoolscan.notices import Notifier, Templates, begin
from spoolscan.spool import Spool

HOSTILE = [
    "\x1b]0;owned\x07\x1b[2J",
    "x\r\nBcc: victim@example.net\r\n\r\nbody",
    "x\nBcc: victim@example.net",
    "=?utf-8?q?x=0D=0ABcc:_victim@example.net=0D=0A=0D=0Abody?=",
    "=?utf-8?b?eA0KQmNjOiB2aWN0aW1AZXhhbXBsZS5uZXQ=?=",
    "\u202egpj.exe\u2066",
    "a\u2028b\u2029c\x85d\x0be",
    "<script>alert(1)</script>",
    "{{ 7*7 }}{% for x in y %}{{ config }}",
    "\ud800\udcff",
    "caf\u00e9 \U0001f600",
    "a" * 4096,
    "a b " * 1024,
    "\u00e9" * 4096,
]
TEXT = "Subject: found {{ what }}\n\nIt was: {{ what }}.\nIt came from {{ sender }}\n"


def templates(folder: Path, **texts: str | bytes) -> Templates:
    for name, text in texts.items():
        raw = text if isinstance(text, bytes) else text.encode()
        (folder / f"{name}.txt").write_bytes(raw)
    return Templates([folder])


class World:
    """A spool, a folder of templates, and what was posted last."""

    def __init__(self, folder: Path, **texts: str | bytes) -> None:
        self.spool: Spool = spool_in(folder / "spool")
        (folder / "templates").mkdir()
        known = templates(folder / "templates", **texts)
        self.notifier = Notifier(self.spool, known, "mx.example.com")

    def send(self, **values: object) -> tuple[bytes, EmailMessage]:
        """The notice as it lies in outgoing/, and as the administrator's program reads it."""
        queue_id = self.notifier.send("notice.txt", "postmaster@example.com", **values)
        with self.spool.open("outgoing", queue_id) as found:
            raw = found.read()
        read = message_from_bytes(raw, policy=SMTP)
        assert isinstance(read, EmailMessage)
        return raw, read


# ---- what strangers said


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_leads_nowhere(tmp_path: Path, value: str) -> None:
    raw, read = World(tmp_path, notice=TEXT).send(what=value, sender=value)
    head, _, _ = raw.partition(b"\r\n\r\n")
    fields = [line.split(b":")[0] for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert fields == [
        b"From", b"To", b"Subject", b"Date", b"Auto-Submitted",
        b"Content-Type", b"Content-Transfer-Encoding", b"MIME-Version", b"Message-ID",
    ]  # fmt: skip
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert not any(byte in head for byte in b"\x00\x1b\x7f")
    text = read.get_content()
    assert text.count("\n") == TEXT.partition("\n\n")[2].count("\n")
    assert safe(value) in text


@pytest.mark.parametrize("value", HOSTILE)
def test_a_subject_is_shown_as_it_was_meant(value: str) -> None:
    message = begin("mx.example.com", "postmaster@example.com", value)
    message.set_content("x")
    head = message.as_bytes(policy=SMTP).partition(b"\r\n\r\n")[0].decode("ascii")
    assert "\nBcc" not in head
    if "=?" in value:  # a stranger's encoded word reaches no reader's decoder as one
        assert value not in head


@given(st.text(st.sampled_from('ab@."\\<>()[]:;, =?_%!\r\n\t\u00e9\u202e'), max_size=30))
def test_a_strange_address_is_written_on_one_line_and_never_parsed(address: str) -> None:
    message = begin("mx.example.com", address, "x")
    message.set_content("x")
    head = message.as_bytes(policy=SMTP).partition(b"\r\n\r\n")[0]
    fields = [line for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert [field.split(b":")[0] for field in fields[:3]] == [b"From", b"To", b"Subject"]


# ---- what a notice is


def test_a_notice_cannot_bounce_or_loop(tmp_path: Path) -> None:
    world = World(tmp_path, notice=TEXT)
    _, read = world.send(what="EICAR", sender="alice@example.org")
    (entry,) = world.spool.entries("outgoing")
    with world.spool.open("outgoing", entry.queue_id) as found:
        assert found.envelope.sender == ""
        assert [one.address for one in found.envelope.recipients] == ["postmaster@example.com"]
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["From"] == "Mail Delivery System <MAILER-DAEMON@mx.example.com>"
    assert read["To"] == "postmaster@example.com"
    assert read["Subject"] == "found EICAR"
    assert read["Message-ID"] == f"<{entry.queue_id}@mx.example.com>"
    assert names(world.spool, "incoming") == names(world.spool, "tmp") == []


def test_a_notice_is_stored_with_crlf_line_ends(tmp_path: Path) -> None:
    raw, _ = World(tmp_path, notice=TEXT).send(what="a", sender="b")
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert raw.count(b"\r") == raw.count(b"\r\n")


# ---- templates of the site


def test_the_sites_template_stands_before_ours(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "ours").mkdir()
    templates(tmp_path / "ours", a="ours a", b="ours b")
    both = Templates([tmp_path / "site", tmp_path / "ours"])
    templates(tmp_path / "site", a="theirs a")
    assert (both.render("a.txt"), both.render("b.txt")) == ("theirs a", "ours b")


def test_a_template_saved_by_a_desktop_editor_is_read(tmp_path: Path) -> None:
    raw = b"\xef\xbb\xbfSubject: caf\xc3\xa9\r\n\r\nGood day.\r\n"
    _, read = World(tmp_path, notice=raw).send()
    assert (read["Subject"], read.get_content()) == ("caf\u00e9", "Good day.\r\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Subject: x\n\n{{ a\n{% if %}", "line 4: "),
        ("Subject: x\n\n{% endfor %}", "line 3: "),
        ("Subject: x\n\n{{ a | nofilter }}", "line 3: No filter named 'nofilter'"),
        (b"Subject: x\n\n\xff\xfe", "utf-8"),
    ],
)
def test_a_bad_template_is_found_before_anything_starts(
    tmp_path: Path, text: str | bytes, says: str
) -> None:
    bad = templates(tmp_path, good="Subject: x\n\ny", notice=text)
    with pytest.raises(ConfigError) as raised:
        bad.check()
    assert str(raised.value).startswith("etc/templates/notice.txt: ")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "Subject: x\n\n{{ unknown }}",
        "Subject: x\n\n{{ what.no.such }}",
        "Subject: x\n\n{{ 1 / 0 }}",
        "Subject: x\n\n{{ what() }}",
        "Subject: x\n\n{% include 'missing.txt' %}",
        "No subject\n\ntext",
        "Subject: x\nBcc: {{ what }}\n\ntext",
        "Subject: x\n",
        "",
    ],
)
def test_a_template_that_cannot_be_used_is_a_config_error_and_leaves_nothing(
    tmp_path: Path, text: str
) -> None:
    world = World(tmp_path, notice=text)
    with pytest.raises(ConfigError, match=r"^etc/templates/\w+\.txt: "):
        world.send(what="x")
    assert names(world.spool, "outgoing") == names(world.spool, "tmp") == []


def test_a_template_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"etc/templates/notice\.txt: no such template"):
        World(tmp_path).send()


def test_the_templates_of_the_package_are_good() -> None:
    Templates([share.folder("etc") / "templates"]).check()
