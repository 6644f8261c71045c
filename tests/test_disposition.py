"""What becomes of a message: the table of `scanner.disposition`, and that it is carried out."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import disposer_of

from spoolscan.config import Config, Notices, Scanner, Site
from spoolscan.envelope import Envelope, Recipient
from spoolscan.scanner.disposition import decide, safe_name
from spoolscan.spool import STATES, Spool
from spoolscan.verdict import Cause, Doubt, Finding, Report, Verdict

HOLD = dict.fromkeys(Cause, "hold")
VIRUS = Finding(Verdict.INFECTED, ("a.zip", "b.doc"), "EICAR", "yara")
DOUBT = Finding.of_doubt(Doubt(Cause.ENCRYPTED, "an encrypted zip member"), ("a.zip",))


@pytest.mark.parametrize(
    ("findings", "policy", "state", "mark"),
    [
        ([], HOLD, "outgoing", "clean"),
        ([VIRUS], HOLD, "quarantine", "infected"),
        ([VIRUS, DOUBT], HOLD, "quarantine", "infected"),
        ([Finding(Verdict.BANNED, (), "x", "matches.bad")], HOLD, "quarantine", "banned"),
        ([DOUBT], HOLD, "hold", "unscannable"),
        ([DOUBT], {**HOLD, Cause.ENCRYPTED: "pass"}, "outgoing", "unscannable"),
        (
            [Finding.of_doubt(Doubt(Cause.UNOPENED, "ACE archives are not opened"), ())],
            {**HOLD, Cause.UNOPENED: "quarantine"},
            "quarantine",
            "unscannable",
        ),
        ([DOUBT], {**HOLD, Cause.ENCRYPTED: "quarantine"}, "quarantine", "unscannable"),
        (
            [DOUBT, Finding.of_doubt(Doubt(Cause.LIMIT, "depth"), ())],
            {**HOLD, Cause.ENCRYPTED: "pass"},
            "hold",
            "unscannable",
        ),
    ],
)
def test_the_gravest_finding_decides(
    findings: list[Finding], policy: dict[Cause, str], state: str, mark: str
) -> None:
    fate = decide(Report(findings=findings), policy)
    assert (fate.state, fate.mark) == (state, mark)


def test_an_unscannable_finding_of_an_engine_counts_as_a_limit() -> None:
    finding = Finding(Verdict.UNSCANNABLE, (), "larger than clamd takes", "clamd")
    policy = {**dict.fromkeys(Cause, "pass"), Cause.LIMIT: "quarantine"}
    assert decide(Report(findings=[finding]), policy).state == "quarantine"


class World:
    """A spool with a message in scanning/, and a Disposer over it."""

    def __init__(self, root: Path, **notices: bool) -> None:
        for state in (*STATES, "var"):
            (root / state).mkdir(mode=0o700)
        self.spool = Spool(root)
        site = Site(hostname="mx.example.com", domains=("example.com",), networks=("10.0.0.0/8",))
        self.config = Config(root=root, site=site, scanner=Scanner(), notices=Notices(**notices))
        self.disposer = disposer_of(self.spool, self.config)

    def claimed(self, sender: str, peer: str):  # type: ignore[no-untyped-def]
        draft = self.spool.draft(Envelope(sender, (Recipient("bob@example.com"),), peer))
        draft.write(b"Subject: hi\r\n\r\nhello\r\n")
        return self.spool.claim(draft.commit())

    def mails(self) -> list[tuple[str, str]]:
        """(recipient, text) of what was posted."""
        found = []
        for entry in self.spool.entries("outgoing"):
            with self.spool.open("outgoing", entry.queue_id) as message:
                assert message.envelope.sender == ""
                recipient = message.envelope.recipients[0].address
                found.append((recipient, message.read().decode()))
        return found


def test_an_infected_message_lies_in_quarantine_with_words_and_the_administrator_is_told(
    tmp_path: Path,
) -> None:
    site = World(tmp_path)
    with site.claimed("mallory@example.net", "192.0.2.1") as message:
        site.disposer.dispose(message, Report(findings=[VIRUS]))
    [place] = tmp_path.glob(f"quarantine/*/{message.id}")
    why = Path(f"{place}.why.txt").read_bytes()
    assert b"EICAR" in why
    assert b"\r\n" in why
    assert b"a.zip > b.doc" in why
    [(recipient, text)] = site.mails()
    assert recipient == "postmaster@example.com"
    for word in (message.id, "mallory@example.net", "bob@example.com", "EICAR", str(place)):
        assert word in text.replace("=\r\n", "")
    assert "Auto-Submitted: auto-generated" in text


@pytest.mark.parametrize(
    ("sender", "peer", "told"),
    [
        ("carol@example.com", "10.1.2.3", True),
        ("carol@example.com", "192.0.2.1", False),
        ("carol@example.net", "10.1.2.3", False),
        ("", "10.1.2.3", False),
        ("carol@example.com", "", False),
    ],
)
def test_only_a_sender_inside_is_ever_told(
    tmp_path: Path, sender: str, peer: str, told: bool
) -> None:
    site = World(tmp_path, sender=True, administrator=False)
    with site.claimed(sender, peer) as message:
        site.disposer.dispose(message, Report(findings=[VIRUS]))
    assert [recipient for recipient, _ in site.mails()] == ([sender] if told else [])


def test_a_clean_message_goes_out_marked_and_nobody_is_told(tmp_path: Path) -> None:
    site = World(tmp_path)
    with site.claimed("a@example.net", "192.0.2.1") as message:
        site.disposer.dispose(message, Report())
    with site.spool.open("outgoing", message.id) as sent:
        assert sent.envelope.scan.clean
    assert len(site.spool.entries("outgoing")) == 1


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "CON",
        "a.exe",
        "x" * 500,
        "\u202etxt.exe",
        "",
        "a:b",
        "%s{{x}}",
        "....",
        "\0",
    ],
)
def test_names_of_decoded_parts_are_safe_everywhere(name: str) -> None:
    safe = safe_name((name,))
    assert safe.endswith(".part")
    assert safe.count(".") == 1
    assert 6 <= len(safe) <= 66
    assert safe.removesuffix(".part").replace("_", "a").isalnum()
    assert safe.isascii()
