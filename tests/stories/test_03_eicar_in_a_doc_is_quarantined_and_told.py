"""A virus in a document: a real clamd finds it, it is set aside, and the administrator is told."""

from __future__ import annotations

import pytest
from clamd_server import EICAR, ClamdServer
from gateway import ADMIN, INSIDE, Gateway
from letters import letter, read, with_attachment
from postfix_server import PostfixServer

pytestmark = pytest.mark.real

MESSAGE = with_attachment("Offer", "offer.doc", EICAR)


@pytest.fixture
def guarded(gateway: Gateway, clamd: ClamdServer) -> Gateway:
    gateway.use_clamd(clamd)
    return gateway


def test_it_lies_in_quarantine_with_its_decoded_part_and_a_reason_in_words(
    guarded: Gateway, postfix: PostfixServer
) -> None:
    guarded.start()
    queue_id = guarded.send(MESSAGE)
    path = guarded.wait_in("quarantine", queue_id)
    postfix.wait_for(ADMIN)

    assert path.read_bytes().endswith(b"\r\n" + MESSAGE)
    assert b"\nFROM <alice@example.net>\nRCPT <bob@example.com>\nBODY\n" in path.read_bytes()
    (part,) = path.with_name(f"{queue_id}_d").iterdir()
    assert part.name == "01-offer_doc.part"
    assert part.read_bytes() == EICAR
    why = path.with_name(f"{queue_id}.why.txt").read_bytes().decode().replace("\r\n", "\n")
    assert why.startswith("infected: this message was not delivered.\n")
    assert "  infected: Eicar-Test" in why
    assert "(says clamd)\n" in why
    assert f"  {part.name} is " in why
    assert postfix.delivered("bob@example.com") == []


def test_the_administrator_reads_what_came_from_whom_and_where_it_lies(
    guarded: Gateway, postfix: PostfixServer
) -> None:
    guarded.start()
    queue_id = guarded.send(MESSAGE, recipients=("bob@example.com", "carol@example.com"))
    notice = read(postfix.wait_for(ADMIN)[0])
    path = guarded.wait_in("quarantine", queue_id)

    assert notice["Subject"].startswith("[spoolscan] infected: Eicar-Test")
    assert notice["From"] == "Mail Delivery System <MAILER-DAEMON@gate.example.com>"
    assert notice["To"] == ADMIN
    assert notice["Auto-Submitted"] == "auto-generated"
    lines = notice.get_content().splitlines()
    for line in (
        f"Queue id:    {queue_id}",
        "Peer:        unknown [127.0.0.1]",
        "Sender:      <alice@example.net>",
        "Recipient:   <bob@example.com>",
        "Recipient:   <carol@example.com>",
        f"It lies at:  {path}",
        f"In words:    {path}.why.txt",
    ):
        assert line in lines
    assert any("offer.doc" in line for line in lines)


def test_an_outside_sender_hears_nothing_even_where_senders_are_told(
    guarded: Gateway, postfix: PostfixServer
) -> None:
    """The address is one of ours, but the mail is not from our network: it may be forged."""
    guarded.configure("notices", sender="true")
    guarded.start()
    queue_id = guarded.send(MESSAGE, sender="alice@example.com")
    last = guarded.send(letter("the last one"), recipients=["carol@example.com"])
    guarded.wait_in("quarantine", queue_id)
    postfix.wait_for(ADMIN)
    postfix.wait_for("carol@example.com")
    guarded.wait_until_done(last)
    assert postfix.delivered("alice@example.com") == []


def test_a_sender_inside_gets_a_courteous_note_where_senders_are_told(
    guarded: Gateway, postfix: PostfixServer
) -> None:
    guarded.configure("notices", sender="true")
    guarded.start()
    guarded.send(MESSAGE, sender="alice@example.com", peer=INSIDE)
    note = read(postfix.wait_for("alice@example.com")[0])
    assert note["Subject"] == "Your message to bob@example.com was held back"
    assert "Eicar-Test" in note.get_content()
