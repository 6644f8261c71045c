"""All checks of a recipient, in their order: access, rules, DNS lists; alone and over a session."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from pathlib import Path

import pytest
from dns_lists import ADDRESS, BOB, listed, settings, zone
from loopback import on_loop
from name_server import NameServer
from reception import SETTINGS, connected, stored

from spoolscan import config
from spoolscan.config import Config, Dnsbl, RulesSettings, Site
from spoolscan.errors import ConfigError
from spoolscan.receiver.address import NULL, parse_path
from spoolscan.receiver.address import Path as MailPath
from spoolscan.receiver.case import Fact
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import Mail
from spoolscan.receiver.judge import Judge, make
from spoolscan.receiver.ruling import Ruling
from spoolscan.receiver.server import Receiver
from spoolscan.spool import Spool

# -- the chain -------------------------------------------------------------------------------------


def judge(folder: Path, wanted: Dnsbl, rules: str = "", access: str = "") -> Judge:
    (folder / "etc").mkdir(exist_ok=True)
    if rules:
        (folder / "etc/smtpd_check_rules").write_text(rules)
    (folder / "etc/access").write_text(access)
    site = Site(hostname="gate.site.example", domains=("site.example",), networks=("192.0.2.0/24",))
    return make(Config(root=folder, site=site, dnsbl=wanted, rules=RulesSettings(delay=7.0)))


def ruled(
    folder: Path,
    wanted: Dnsbl,
    rules: str = "",
    access: str = "",
    *,
    client: Client | None = None,
    sender: str = "",
) -> Ruling:
    it = judge(folder, wanted, rules, access)
    path = parse_path(sender) if sender else NULL
    return asyncio.run(it.recipient(client or Client(ADDRESS), Mail(path), BOB))


HEAVY = {
    **listed("a.example", "127.0.0.2"),
    "7.100.51.198.a.example TXT": [r'"see https://a.example/?ip=198.51.100.7\013\010250 ok"'],
}


def test_a_peer_over_the_threshold_is_refused_with_what_the_list_says(tmp_path: Path) -> None:
    with NameServer(HEAVY) as server:
        found = ruled(tmp_path, settings(server, zone("a.example")))
    assert found.reply.wire() == (
        b"554 5.7.1 198.51.100.7 is listed by a.example:"
        b" see https://a.example/?ip=198.51.100.7??250 ok\r\n"
    )
    assert found.why == "dnsbl:10"


def test_a_key_in_a_zone_is_never_told(tmp_path: Path) -> None:
    with NameServer(HEAVY) as server:
        found = ruled(tmp_path, settings(server, zone("a.example", 10, label="ourlist")))
        below = ruled(tmp_path, settings(server, zone("a.example", 9, label="our+list")))
    assert found.reply.wire().startswith(b"554 5.7.1 198.51.100.7 is listed by ourlist: see")
    assert b"a.example" not in found.reply.wire()
    assert below.reply.positive
    assert below.extras == (("DNSB", "our+2Blist 127.0.0.2 9"), ("RULE", "rules:38"))


@pytest.mark.parametrize(
    "client",
    [
        Client(ADDRESS, trusted=True),
        Client(ADDRESS, user="alice"),
        Client(None),
        Client(ipaddress.ip_address("203.0.113.1")),
    ],
)
def test_who_is_never_asked_about(tmp_path: Path, client: Client) -> None:
    with NameServer(HEAVY) as server:
        wanted = settings(server, zone("a.example"), exempt=("203.0.113.0/24",))
        assert ruled(tmp_path, wanted, client=client).reply.positive
        assert server.asked == []


def test_the_lists_are_asked_when_a_peer_connects(tmp_path: Path) -> None:
    async def connect() -> None:
        it = judge(tmp_path, wanted, "deny:RBL.b.example:ALL:ALL\nallow:ALL:ALL:OURS\n")
        it.expect(ipaddress.ip_address("192.0.2.1"))
        it.expect(None)
        it.expect(ADDRESS)
        for name in ("a.example", "b.example"):
            await it.lookups.answer(Fact("listed", str(ADDRESS), name))

    with NameServer({}) as server:
        wanted = settings(server, zone("a.example"))
        asyncio.run(connect())
        assert sorted(server.asked) == ["7.100.51.198.a.example A", "7.100.51.198.b.example A"]


@pytest.mark.parametrize(
    ("rules", "access", "code", "why"),
    [
        ("deny:RBL.a.example:ALL:ALL:550 %I%C no", "", 550, "rules:1"),
        ("deny_delay:RBL.a.example:ALL:ALL", "", 550, "rules:1"),
        ("allow:ALL:ALL:OURS", "", 554, "dnsbl:10"),
        ("allow:ALL:ALL:OURS", "198.51.100.7 OK", 250, "access:1"),
        ("deny:ALL:ALL:ALL", "To:bob@site.example OK", 250, "access:1"),
        ("deny:ALL:ALL:ALL", "Connect:198.51 RELAY", 250, "access:1"),
        ("allow:ALL:ALL:ALL", "Connect:198.51 REJECT", 550, "access:1"),
        ("allow:ALL:ALL:ALL", "To:bob@ 450 later", 450, "access:1"),
        ("allow:RBL.silent.example:ALL:OURS", "", 451, "rules:1?"),
        ("deny:RBL.silent.example:ALL:ALL\nallow:ALL:ALL:OURS", "", 554, "dnsbl:10"),
    ],
)
def test_the_order_of_the_checks(
    tmp_path: Path, rules: str, access: str, code: int, why: str
) -> None:
    with NameServer({**HEAVY, "silent.example": None}) as server:
        found = ruled(tmp_path, settings(server, zone("a.example")), rules, access)
    assert (found.reply.code, found.why) == (code, why)
    assert found.delay == (7.0 if "delay" in rules else 0.0)
    assert found.hang_up is (why == "rules:1")


def test_a_sender_without_a_domain_in_the_dns_may_be_refused(tmp_path: Path) -> None:
    rules = "noto:ALL:NS=UNKNOWN EXCEPT <>:ALL:550 no such domain%C %F\nallow:ALL:ALL:OURS\n"
    with NameServer({"b.example MX": ["0 mx.b.example."], "c.example": None}) as server:
        wanted = settings(server)
        found = {
            sender: ruled(tmp_path, wanted, rules, sender=sender).reply.code
            for sender in ("a@b.example", "a@nowhere.example", "a@c.example", "")
        }
    assert found == {"a@b.example": 250, "a@nowhere.example": 550, "a@c.example": 250, "": 250}


# -- over a real session ---------------------------------------------------------------------------


@on_loop
async def test_a_session_is_refused_and_another_keeps_its_score_in_the_envelope(
    spool: Spool, tmp_path: Path
) -> None:
    records = {"1.0.0.127.a.example A": ["127.0.0.2"]}
    with NameServer(records) as server:
        for weight, wanted in ((10, "554 5.7.1 127.0.0.1 is listed by a.example"), (9, "250 ")):
            whole = Config(
                root=tmp_path,
                site=SETTINGS.site,
                receiver=SETTINGS.receiver,
                dnsbl=settings(server, zone("a.example", weight)),
            )
            receiver = Receiver(whole.site, whole.receiver, spool, make(whole))
            await receiver.start()
            async with connected(receiver) as peer:
                await peer.reply()
                await peer.say(b"EHLO client.example")
                await peer.say(b"MAIL FROM:<a@b.example>")
                assert (await peer.say(b"RCPT TO:<bob@site.example>")).startswith(wanted)
                if weight < 10:
                    assert (await peer.say(b"DATA")).startswith("354 ")
                    assert (await peer.say(b"Subject: x\r\n\r\nx\r\n.")).startswith("250 ")
            await receiver.stop(5)
    ((envelope, _, _),) = stored(spool)
    assert envelope.extras == (("DNSB", "a.example 127.0.0.2 9"), ("RULE", "rules:38"))


@on_loop
async def test_discarded_mail_is_said_yes_to_and_only_the_log_knows(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/access").write_text("To:eve@site.example DISCARD\n")
    whole = Config(root=tmp_path, site=SETTINGS.site, receiver=SETTINGS.receiver)
    receiver = Receiver(whole.site, whole.receiver, spool, make(whole))
    await receiver.start()
    with caplog.at_level(logging.INFO, "spoolscan"):
        async with connected(receiver) as peer:
            await peer.reply()
            await peer.say(b"EHLO client.example")
            for recipients in (["eve"], ["eve", "bob"]):
                await peer.say(b"MAIL FROM:<a@b.example>")
                for name in recipients:
                    line = f"RCPT TO:<{name}@site.example>".encode()
                    assert (await peer.say(line)).startswith("250 ")
                assert (await peer.say(b"DATA")).startswith("354 ")
                assert (await peer.say(b"x" * 200_000 + b"\r\n.")).startswith("250 2.0.0 ")
    await receiver.stop(5)
    ((envelope, _, _),) = stored(spool)
    assert [recipient.address for recipient in envelope.recipients] == ["bob@site.example"]
    said = [it.getMessage() for it in caplog.records if "discarding" in it.getMessage()]
    assert len(said) == 2
    assert all("to=eve@site.example" in it and "why=access:1" in it for it in said)


class Broken(Judge):
    """Has a mistake in it."""

    async def recipient(self, client: Client, mail: Mail, path: MailPath) -> Ruling:
        raise KeyError("an untold mistake")


@on_loop
async def test_a_mistake_of_ours_is_temporary_and_ends_no_session(
    spool: Spool, tmp_path: Path
) -> None:
    whole = Config(root=tmp_path, site=SETTINGS.site)
    it = make(whole)
    broken = Broken(
        policy=it.policy, rulebook=it.rulebook, lookups=it.lookups, blacklists=it.blacklists
    )
    receiver = Receiver(whole.site, SETTINGS.receiver, spool, broken)
    await receiver.start()
    async with connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO client.example")
        await peer.say(b"MAIL FROM:<a@b.example>")
        assert (await peer.say(b"RCPT TO:<bob@site.example>")).startswith("451 4.3.0 ")
        assert (await peer.say(b"QUIT")).startswith("221 ")
    await receiver.stop(5)


@on_loop
async def test_deny_hangs_up_noto_goes_on_and_a_stop_waits_for_no_delay(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "etc").mkdir()
    rules = tmp_path / "etc/smtpd_check_rules"
    rules.write_text(
        "noto:ALL:ALL:noto@OURS\ndeny:ALL:ALL:deny@OURS\n"
        "deny_delay:ALL:ALL:slow@OURS\nallow:ALL:ALL:OURS\n"
    )
    whole = Config(root=tmp_path, site=SETTINGS.site, rules=RulesSettings(delay=600.0))
    receiver = Receiver(whole.site, SETTINGS.receiver, spool, make(whole))
    await receiver.start()
    caplog.set_level(logging.INFO, "spoolscan")
    async with connected(receiver) as peer, connected(receiver) as slow:
        for one in (peer, slow):
            await one.reply()
            await one.say(b"EHLO client.example")
            await one.say(b"MAIL FROM:<a@b.example>")
        assert (await peer.say(b"RCPT TO:<noto@site.example>")) == "550 5.7.1 access denied"
        assert (await peer.say(b"RCPT TO:<bob@site.example>")).startswith("250 ")
        assert (await peer.say(b"RCPT TO:<deny@site.example>")) == "550 5.7.1 access denied"
        assert await peer.reply() == ""
        slow.writer.write(b"RCPT TO:<slow@site.example>\r\n")
        async with asyncio.timeout(60):
            while "to=slow@site.example" not in caplog.text:
                await asyncio.sleep(0.01)
            stopping = asyncio.create_task(receiver.stop(grace=50))
            assert await slow.reply() == "550 5.7.1 access denied"
            await stopping


@on_loop
async def test_saved_rules_take_effect_and_a_bad_edit_keeps_the_old(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "etc").mkdir()
    rules = tmp_path / "etc/smtpd_check_rules"
    whole = Config(root=tmp_path, site=SETTINGS.site, receiver=SETTINGS.receiver)
    receiver = Receiver(whole.site, SETTINGS.receiver, spool, make(whole))
    await receiver.start()
    async with connected(receiver) as peer:
        await peer.reply()
        await peer.say(b"EHLO client.example")
        await peer.say(b"MAIL FROM:<a@b.example>")
        line = b"RCPT TO:<bob@site.example>"
        assert (await peer.say(line)).startswith("250 ")  # as shipped
        rules.write_text("noto:ALL:ALL:ALL:550 closed\n")
        assert (await peer.say(line)) == "550 5.7.1 closed"
        with caplog.at_level(logging.ERROR, "spoolscan"):
            rules.write_text("noto:ALL:ALL:ALL:550 closed\nnoto:[::1:ALL:ALL\n")
            assert (await peer.say(line)) == "550 5.7.1 closed"
        assert any("line 2: the bracket is not closed" in it.getMessage() for it in caplog.records)
        rules.unlink()
        assert (await peer.say(line)) == "550 5.7.1 closed"
        rules.write_text("allow:ALL:ALL:OURS\n")
        assert (await peer.say(line)).startswith("250 ")
    await receiver.stop(5)


def test_rules_by_names_need_names(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/smtpd_check_rules").write_text("allow:KNOWN:ALL:OURS\n")
    whole = Config(root=tmp_path, receiver=config.Receiver(reverse_lookup=False))
    with pytest.raises(ConfigError, match="line 1: goes by the names of peers"):
        make(whole)
