"""Which next hops an address goes to: the table, the hosts of a domain, and several as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from name_server import Answer, NameServer
from smtp_peer import Act, Peer

from spoolscan import config
from spoolscan.cli import main
from spoolscan.cli.init import lay_out
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.forwarder import destinations
from spoolscan.forwarder.delivery import ConnectionLost, Fate, Mail, Outcome
from spoolscan.forwarder.routes import Maker
from spoolscan.nexthop.resolve import Lookup, NoWay
from spoolscan.nexthop.table import Table

TABLE = """
# a comment, and an empty line

bob@example.com       smtp://bob       # the rest of the line
example.com           smtp://a, smtp://b
.example.com          smtp://below balance
mail*.example.net     smtp://by-domain
list-*@example.org    pipe:/bin/list --to={recipient} # as above
b\u00fccher.example   smtp://books
*                     mx:
"""


def table(text: str) -> Table:
    return Table.parse(text, "etc/routes", "smtp://otherwise")


# The table


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("bob@example.com", "smtp://bob"),
        ('"bob"@example.com', "smtp://bob"),
        (r'"B\ob"@example.com', "smtp://bob"),
        (r'"bob\""@example.com', "smtp://a smtp://b"),
        ('"list-x>"@example.org', "pipe:/bin/list --to={recipient}"),
        ("BOB@Example.COM.", "smtp://bob"),
        ("alice@example.com", "smtp://a smtp://b"),
        ("bob@x.example.com", "smtp://below balance"),
        ("bob@y.x.example.com", "smtp://below balance"),
        ("bob@notexample.com", "mx:"),
        ("a@mail7.example.net", "smtp://by-domain"),
        ("a@mail.evil.example.net", "smtp://by-domain"),
        ("mail7.example.net@x.test", "mx:"),
        ("list-1@example.org", "pipe:/bin/list --to={recipient}"),
        ("alist-1@example.org", "mx:"),
        ("a@xn--bcher-kva.example", "smtp://books"),
        ("a@B\u00dcCHER.example", "smtp://books"),
        ('"bob@example.com"@x.test', "mx:"),
        ("bob@example.com@x.test", "mx:"),
        ("postmaster", "mx:"),
        ("a@[192.0.2.1]", "mx:"),
        ("", "mx:"),
    ],
)
def test_the_first_line_that_fits_decides(address: str, line: str) -> None:
    assert str(table(TABLE).find(address)) == line


def test_what_no_line_fits_goes_to_the_next_hop_of_the_settings() -> None:
    line = table("example.com smtp://a").find("bob@example.org")
    assert (line.number, line.urls) == (0, ("smtp://otherwise",))


def test_a_pattern_above_a_domain_decides_before_it() -> None:
    found = table("*@example.com smtp://a\nexample.com smtp://b").find("x@example.com")
    assert found.number == 1
    found = table("example.com smtp://b\n*.com smtp://a").find("x@example.com")
    assert found.number == 1


def test_every_mistake_is_told_with_its_line() -> None:
    text = "example.com\n* mx:\nexample.org smtp://a\na@b@c smtp://a\n\x1b smtp://a\nx balance\n"
    with pytest.raises(ConfigError) as raised:
        table(text)
    assert [line.partition(": ")[0] for line in str(raised.value).split("\n")] == [
        f"etc/routes:{number}" for number in (1, 3, 4, 5, 6)
    ]
    assert "never reached; line 2" in str(raised.value)
    assert "\x1b" not in str(raised.value)


def settings(root: Path, **values: object) -> config.Config:
    (root / "etc").mkdir(exist_ok=True)
    return config.Config(
        root=root,
        site=config.Site(hostname="me.test"),
        forwarder=config.Forwarder.model_validate(values),
    )


def test_a_file_with_a_next_hop_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    made = settings(tmp_path)
    (tmp_path / "etc" / "routes").write_text("\nexample.com  carrier-pigeon:\n")
    with pytest.raises(ConfigError, match=r"etc/routes:2: next hop .*unknown scheme"):
        destinations.read_routes(made)


def test_without_a_file_all_goes_to_the_next_hop_unless_a_file_is_named(tmp_path: Path) -> None:
    read = destinations.read_routes(settings(tmp_path, next_hop="smtp://a")).current()
    assert read.find("x@example.com").urls == ("smtp://a",)
    with pytest.raises(ConfigError, match=r"ruotes: No such file .*; it must be there"):
        destinations.read_routes(settings(tmp_path, routes="etc/ruotes"))


@pytest.mark.parametrize(("text", "mode"), [("user\n", 0o600), ("", 0o600), ("user\nword", 0o644)])
def test_a_password_is_for_the_spools_owner_alone(tmp_path: Path, text: str, mode: int) -> None:
    (tmp_path / "relay").write_text(text)
    (tmp_path / "relay").chmod(mode)
    maker = Maker("me.test", config.Forwarder(), tmp_path)
    with pytest.raises(ConfigError, match=r"relay: .*one a line, and mode 0600"):
        maker.make("smtps://relay.test?auth=relay")
    with pytest.raises(ConfigError, match="missing: No such file"):
        maker.make("smtps://relay.test?auth=missing")


# The hosts of a domain


def hosts(
    records: Mapping[str, Answer], domain: str = "example.com", *, local: bool = False
) -> list[tuple[str, str]]:
    async def main() -> list[tuple[str, str]]:
        async with NameServer(records) as server:
            found = await Lookup("me.test", 0.5, [server.place]).hosts(domain, local=local)
        return [(host.name, host.address) for host in found]

    return asyncio.run(main())


FOUR = {
    "example.com MX": ["20 c.test.", "10 a.test.", "10 b.test.", "30 d.test."],
    "a.test A": ["192.0.2.1"],
    "b.test A": ["192.0.2.2", "192.0.2.3"],
    "b.test AAAA": ["2001:db8::2"],
    "c.test AAAA": ["2001:db8::3"],
}


def test_hosts_come_in_the_order_of_their_preference_and_without_addresses_not_at_all() -> None:
    found = hosts(FOUR)
    assert {name for name, _ in found[:-1]} == {"a.test", "b.test"}
    assert found[-1] == ("c.test", "2001:db8::3")
    assert len(found) == 5


def test_equals_come_in_any_order() -> None:
    assert {hosts(FOUR)[0][0] for _ in range(40)} == {"a.test", "b.test"}


def test_a_domain_without_mx_is_its_own_host() -> None:
    assert hosts({"example.com A": ["192.0.2.1"]}) == [("example.com", "192.0.2.1")]


def test_an_alias_is_followed() -> None:
    records = {
        "example.com CNAME": ["other.test."],
        "other.test MX": ["10 a.test."],
        "a.test CNAME": ["b.test."],
        "b.test A": ["192.0.2.7"],
    }
    assert hosts(records) == [("a.test", "192.0.2.7")]


def test_an_alias_without_mx_is_its_own_host() -> None:
    records = {"example.com CNAME": ["other.test."], "other.test A": ["192.0.2.7"]}
    assert hosts(records) == [("example.com", "192.0.2.7")]


@pytest.mark.parametrize(
    ("domain", "address"), [("[192.0.2.9]", "192.0.2.9"), ("[IPv6:2001:db8::9]", "2001:db8::9")]
)
def test_an_address_literal_needs_no_name_server(domain: str, address: str) -> None:
    assert hosts({}, domain) == [(domain, address)]


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ({"example.com MX": ["0 ."]}, "5.1.10"),
        ({}, "5.1.2"),
        ({"example.com MX": ["10 a.test."]}, "5.4.4"),
        ({"example.com MX": ["10 a.test."], "a.test TXT": ["x"]}, "5.4.4"),
        ({"example.com TXT": ["x"]}, "5.4.4"),
        ({"example.com MX": ["10 me.test.", "20 a.test."], "a.test A": ["192.0.2.1"]}, "5.4.6"),
        ({"example.com MX": ["10 a.test."], "a.test A": ["127.0.0.1"]}, "5.4.4"),
        ({"example.com A": ["0.0.0.0"], "example.com AAAA": ["::ffff:127.0.0.1"]}, "5.4.4"),
        ({"example.com A": ["224.0.0.1"], "example.com AAAA": ["fe80::1"]}, "5.4.4"),
    ],
)
def test_these_can_never_be_delivered(records: Mapping[str, Answer], status: str) -> None:
    with pytest.raises(NoWay) as raised:
        hosts(records)
    assert raised.value.status == status


@pytest.mark.parametrize("domain", ["", "a..b", "x" * 64 + ".test", "[300.1.1.1]", "[x]"])
def test_what_is_no_domain_can_never_be_delivered(domain: str) -> None:
    with pytest.raises(NoWay):
        hosts({}, domain)


@pytest.mark.parametrize(
    "records",
    [
        {"example.com MX": "SERVFAIL"},
        {"example.com MX": None},
        {"example.com MX": ["10 a.test."], "a.test A": "SERVFAIL"},
        {"example.com MX": ["10 a.test."], "a.test A": None},
        {"example.com A": "REFUSED"},
    ],
)
def test_a_name_server_that_gives_no_answer_refuses_nobody(records: Mapping[str, Answer]) -> None:
    with pytest.raises(TemporaryFailure):
        hosts(records)


def test_hosts_after_us_are_left_out() -> None:
    records = {
        "example.com MX": ["10 a.test.", "20 ME.test.", "20 b.test.", "30 c.test."],
        **{f"{name}.test A": ["192.0.2.1"] for name in "abc"},
    }
    assert [name for name, _ in hosts(records)] == ["a.test"]


def test_a_domain_of_a_thousand_hosts_makes_us_ask_for_a_few() -> None:
    records: dict[str, Answer] = {
        "example.com MX": [f"10 h{number}.test." for number in range(12)],
        **{
            f"h{number}.test A": [f"192.0.2.{last}" for last in range(1, 9)] for number in range(12)
        },
    }
    assert len(hosts(records)) == 20


# Several as one


def mail(*to: str) -> Mail:
    async def content() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n\r\nx\r\n"

    recipients = tuple(enumerate(to or ("bob@example.com",)))
    return Mail("id", "alice@example.org", recipients, 17, False, content)


async def send(maker: Maker, urls: str, item: Mail) -> dict[int, Outcome]:
    outcomes: dict[int, Outcome] = {}

    async def settle(known: Mapping[int, Outcome]) -> None:
        assert not set(known) & set(outcomes)
        outcomes.update(known)

    route = maker.make_line(table(f"* {urls}").find(""), "")
    try:
        await route.deliver(item, settle)
    finally:
        await route.close()
    return outcomes


def url(peer: Peer) -> str:
    return f"smtp://127.0.0.1:{peer.port}"


MAKER = Maker("me.test", config.Forwarder(recipients=1, messages=1))


def test_who_was_told_by_the_first_is_not_sent_to_by_the_second() -> None:
    first = Peer()
    first.answers["CONNECT"] = lambda _: "421 closing" if first.deliveries else "220 hello"

    async def main() -> tuple[Peer, dict[int, Outcome]]:
        async with first, Peer() as second:
            urls = f"{url(first)} {url(second)}"
            return second, await send(MAKER, urls, mail("a@x.test", "b@x.test", "c@x.test"))

    second, told = asyncio.run(main())
    assert first.recipients == ["a@x.test"]
    assert second.recipients == ["b@x.test", "c@x.test"]
    assert {outcome.fate for outcome in told.values()} == {Fate.DELIVERED}


def test_after_a_conversation_that_broke_off_nobody_else_is_asked() -> None:
    async def main() -> Peer:
        async with Peer({"END": Act.DROP}) as first, Peer() as second:
            with pytest.raises(ConnectionLost):
                await send(MAKER, f"{url(first)} {url(second)}", mail())
            return second

    assert asyncio.run(main()).connections == 0


def test_one_that_is_down_is_asked_after_the_others_for_a_while() -> None:
    async def main() -> None:
        async with Peer({"CONNECT": "421 no"}) as first, Peer() as second:
            route = MAKER.make_line(table(f"* {url(first)} {url(second)}").find(""), "")
            for _ in range(5):
                await route.deliver(mail(), ignore)
            await route.close()
            assert first.connections == 1
            assert len(second.deliveries) == 5

    asyncio.run(main())


def test_in_turns_each_gets_its_share() -> None:
    async def main() -> None:
        async with Peer() as first, Peer() as second:
            route = MAKER.make_line(table(f"* {url(first)},{url(second)} balance").find(""), "")
            for _ in range(10):
                await route.deliver(mail(), ignore)
            await route.close()
            assert len(first.deliveries) == len(second.deliveries) == 5

    asyncio.run(main())


async def ignore(_: Mapping[int, Outcome]) -> None:
    pass


def test_null_mx_refuses_every_recipient_with_its_status() -> None:
    async def main() -> dict[int, Outcome]:
        async with NameServer({"example.com MX": ["0 ."]}) as names:
            maker = Maker("me.test", config.Forwarder(nameservers=(names.place,)))
            return await send(maker, "mx://example.com", mail("a@example.com", "b@example.com"))

    told = asyncio.run(main())
    assert {(one.fate, one.status) for one in told.values()} == {(Fate.REFUSED, "5.1.10")}
    assert len(told) == 2


# The command


def test_routes_test_says_which_line_decides_and_where_mail_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(tmp_path / "spool", {"next_hop": "smtp://127.0.0.1:1"} | SITE)
    (tmp_path / "spool" / "etc" / "routes").write_text(
        "\nexample.com smtp://192.0.2.1 smtp://192.0.2.2 balance\n"
        "[192.0.2.7] mx:\n.test pipe:/bin/lda {recipient}\n"
    )

    def said(address: str) -> list[list[str]]:
        assert main(["--spool", str(tmp_path / "spool"), "routes", "test", address]) == 0
        return [line.split(None, 1) for line in capsys.readouterr().out.splitlines()]

    file = f"{tmp_path}/spool/etc/routes"
    assert said("bob@EXAMPLE.com") == [
        ["decides", f"{file}:2: example.com"],
        ["goes", "to  smtp://192.0.2.1"],
        ["in", "turns smtp://192.0.2.2"],
    ]
    assert said("bob@[192.0.2.7]")[-1] == ["[192.0.2.7]", "[192.0.2.7]"]
    assert said("x@a.test")[1] == ["goes", "to  pipe:/bin/lda {recipient}"]
    assert said("\x1b[2J@other")[0] == ["decides", "[forwarder] next_hop"]


SITE: dict[str, object] = {
    "domains": ["example.com"],
    "networks": ["127.0.0.0/8"],
    "listen": ["127.0.0.1:0"],
}
