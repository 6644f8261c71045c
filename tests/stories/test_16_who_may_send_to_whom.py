"""The administrator edits rules and access map while mail comes in, and asks what they would do."""

from __future__ import annotations

import re
import smtplib

import pytest
from gateway import INSIDE, OUTSIDE, Gateway


def refusal(gateway: Gateway, recipient: str, peer: str = OUTSIDE) -> str:
    """What RCPT is answered, where that is no; else nothing."""
    with gateway.connect(peer) as client:
        client.ehlo("mail.example.net")
        client.mail("alice@example.net")
        code, text = client.rcpt(recipient)
        return "" if code == 250 else f"{code} {text.decode()}"


def test_rules_take_effect_while_it_runs(gateway: Gateway) -> None:
    rules, access = (gateway.root / "etc" / name for name in ("smtpd_check_rules", "access"))
    gateway.start()
    assert refusal(gateway, "bob@example.com") == ""
    assert refusal(gateway, "eve@example.net") == "550 5.7.1 relaying denied"
    assert refusal(gateway, "eve@example.net", INSIDE) == ""

    rules.write_text(
        "deny:127.0.0.1:*@example.net:carol@OURS:551 %T does not want mail of %F\n"
        + rules.read_text()
    )
    assert refusal(gateway, "bob@example.com") == ""
    said = "551 5.7.1 carol@example.com does not want mail of alice@example.net"
    assert refusal(gateway, "carol@example.com") == said
    assert refusal(gateway, "carol@example.com", INSIDE) == ""
    tried = gateway.command(
        *("--spool", str(gateway.root), "rules", "test", "--ip", OUTSIDE),
        *("--from", "alice@example.net", "--to", "carol@example.com"),
        check=False,
    )
    assert tried.returncode == 1
    assert said in tried.stdout
    assert "rules:1  deny:127.0.0.1:" in tried.stdout

    rules.write_text(rules.read_text() + "alow:ALL:ALL:ALL\n")
    assert refusal(gateway, "carol@example.com") == said
    gateway.wait_for_log("event=rules-kept reason=.*no such action")

    access.write_text("Connect:127.0.0.1 REJECT\n")
    assert refusal(gateway, "bob@example.com") == "550 5.7.1 access denied"
    access.write_text("To:eve@example.com DISCARD\n")
    assert refusal(gateway, "bob@example.com") == ""


def test_a_session_goes_on_after_noto_and_ends_after_deny(gateway: Gateway) -> None:
    (gateway.root / "etc/smtpd_check_rules").write_text(
        "noto:ALL:ALL:noto@OURS\ndeny:ALL:ALL:deny@OURS\nallow:ALL:ALL:OURS\n"
    )
    gateway.start()
    with gateway.connect() as client:
        client.ehlo("mail.example.net")
        client.mail("alice@example.net")
        assert client.rcpt("noto@example.com")[0] == 550
        assert client.rcpt("bob@example.com")[0] == 250
        code, text = client.data(b"Subject: x\r\n\r\nx\r\n")
        assert code == 250
        queue_id = text.decode().rpartition(" ")[2]
        client.mail("alice@example.net")
        assert client.rcpt("deny@example.com")[0] == 550
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()
        client.close()
    gateway.wait_until_done(queue_id)
    (line,) = gateway.wait_for_log(f"{queue_id}: event=received")
    assert re.search(r"why=rules:3$", line)
