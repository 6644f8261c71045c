"""What happened to a message is told by one command, from its arrival to where it went."""

from __future__ import annotations

import json

import pytest
from gateway import OUTSIDE, Gateway
from letters import letter, with_attachment
from loopback import until
from postfix_server import PostfixServer

from spoolscan.cli.disguises import EICAR

pytestmark = pytest.mark.real


def test_explain_tells_of_a_virus_who_saw_it_and_where_it_went(gateway: Gateway) -> None:
    gateway.start()
    queue_id = gateway.send(with_attachment("Bill", "bill.doc", EICAR))
    gateway.wait_in("quarantine", queue_id)

    def rows() -> list[dict[str, object]]:
        said = gateway.command("--spool", str(gateway.root), "log", "--id", queue_id, "--json")
        found: list[dict[str, object]] = json.loads(said.stdout)
        return found if found[-1:] and found[-1]["event"] == "judged" else []

    received, judged = until(rows, "both rows in the journal")
    assert (received["event"], received["direction"]) == ("received", "in")
    assert str(received["peer"]).startswith(OUTSIDE)
    assert judged["verdict"] == "infected"
    told = gateway.command("--spool", str(gateway.root), "explain", queue_id).stdout
    assert "received by the receiver" in told
    assert "quarantine" in told
    assert "yara: yara-x" in told
    assert "bill.doc" in told
    assert "read and scanned" in told


def test_a_delivery_is_told_with_its_delay(gateway: Gateway, postfix: PostfixServer) -> None:
    gateway.start()
    queue_id = gateway.send(letter("hello"))
    postfix.wait_for("bob@example.com")

    def forwarded() -> list[dict[str, object]]:
        said = gateway.command(
            "--spool", str(gateway.root), "log", "--recipient", "BOB@", "--event", "forwarded",
            "--json",
        )  # fmt: skip
        found: list[dict[str, object]] = json.loads(said.stdout)
        return found

    (row,) = until(forwarded, "the row in the journal")
    assert row["id"] == queue_id
    assert isinstance(row["seconds"], float)
    assert row["seconds"] >= 0
