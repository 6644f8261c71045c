"""Which next hop is asked about whom: by the routes, the hosts of a domain, or the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from loopback import free_port, on_loop
from name_server import Answer as Record
from name_server import NameServer
from smtp_peer import Peer as Server
from smtp_peer import known

from spoolscan import config
from spoolscan.errors import ConfigError
from spoolscan.receiver import inquiry
from spoolscan.receiver.inquiry import Inquiry

BOB, DORA = "bob@example.com", "dora@example.com"


class Routed:
    """The next hops that the mail of an address would be given to, by a table."""

    def __init__(self, folder: Path, routes: str = "", next_hop: str = "", **more: object) -> None:
        (folder / "etc").mkdir(exist_ok=True)
        self.file = folder / "etc" / "routes"
        if routes:
            self.file.write_text(routes)
        self.inquiry = Inquiry(
            config.Config(
                root=folder,
                site=config.Site(hostname="gate.example.com", domains=("example.com",)),
                recipients=config.Recipients(check="callout", timeout=30.0, **more),  # type: ignore[arg-type]
                forwarder=config.Forwarder(
                    next_hop=next_hop or f"smtp://127.0.0.1:{free_port()}",
                    nameservers=self.nameservers,
                ),
            )
        )

    nameservers: tuple[str, ...] = ()

    async def ask(self, address: str = BOB) -> bool | str | None:
        """What the next hop says of it, or that there is nobody to ask."""
        answer = await self.inquiry.ask(address)
        return "nobody to ask" if answer is None else answer.known


def url(server: Server) -> str:
    return f"{'lmtp' if server.lmtp else 'smtp'}://127.0.0.1:{server.port}"


@on_loop
async def test_each_is_asked_about_at_the_next_hop_of_its_route(tmp_path: Path) -> None:
    sub = "eve@sub.example.com"
    async with (
        Server({"RCPT": "554 5.7.1 relay access denied"}) as relay,
        Server(known(DORA)) as own,
        Server(known(BOB), lmtp=True) as boxes,
        Server(known(sub)) as below,
    ):
        routed = Routed(
            tmp_path,
            f"{BOB} {url(boxes)}\n.example.com {url(below)}\nexample.com {url(own)}\n",
            url(relay),
        )
        told = [await routed.ask(one) for one in (BOB, DORA, sub, "carol@example.com")]
        assert told == [True, True, True, False]
        assert relay.connections == 0
        assert await routed.ask("x@elsewhere.example") is None  # as no route says otherwise
        assert relay.connections == 1
        routed.inquiry.close()
    for server, expected in ((boxes, [BOB]), (own, [DORA, "carol@example.com"]), (below, [sub])):
        told = [line[9:-1] for line in server.commands if line.startswith("RCPT")]
        assert told == expected


@on_loop
async def test_the_second_is_asked_where_the_first_is_not_there_and_only_then(
    tmp_path: Path,
) -> None:
    async with Server(known(BOB)) as first, Server(known(DORA)) as second:
        down = f"smtp://127.0.0.1:{free_port()}"
        routed = Routed(tmp_path, f"example.com {down}, {url(first)}, {url(second)}\n")
        assert [await routed.ask(one) for one in (BOB, DORA)] == [True, False]
        first.answers = {"RCPT": "451 4.3.0 not now"}
        assert await routed.ask() is None
        assert second.connections == 0
        first.answers = {"CONNECT": "421 4.3.2 going down"}
        routed.inquiry.close()
        assert await routed.ask(DORA) is True
        routed.inquiry.close()


@on_loop
async def test_where_nobody_can_be_asked_there_is_no_answer_and_no_no(tmp_path: Path) -> None:
    secret = tmp_path / "etc" / "relay"
    async with Server(known()) as server:
        routed = Routed(
            tmp_path,
            f"{BOB} maildir:/home/bob/Maildir\n"
            "list-*@example.com pipe:/usr/local/bin/lists {recipient}\n"
            f"{DORA} smtp://127.0.0.1:{server.port}?auth={secret}\n"
            f"eve@example.com smtp://127.0.0.1:{free_port()} maildir:/home/eve\n"
            f"carol@example.com {url(server)} maildir:/home/carol\n",
        )
        for address in (BOB, "list-all@example.com", DORA, "eve@example.com"):
            assert await routed.ask(address) == "nobody to ask"
        assert server.connections == 0
        assert await routed.ask("carol@example.com") is False
        routed.inquiry.close()


@on_loop
async def test_the_hosts_of_a_domain_are_asked_by_their_preference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(known(BOB)) as server:
        records: dict[str, Record] = {
            "inside.test MX": ["10 a.test.", "20 b.test."],
            "a.test A": ["127.0.0.9"],  # nobody listens there
            "b.test A": ["127.0.0.1"],
            "null.test MX": ["0 ."],
            "deaf.test MX": "SERVFAIL",
        }
        async with NameServer(records) as names:
            monkeypatch.setattr(Routed, "nameservers", (names.place,))
            port = server.port
            routed = Routed(
                tmp_path,
                f"example.com mx://inside.test:{port}?local=yes\n"
                f"null.example mx://null.test:{port}\n"
                f"gone.example mx://gone.test:{port}, {url(server)}\n"
                f"deaf.example mx://deaf.test:{port}, {url(server)}\n"
                f"inside.test mx://:{port}?local=yes\n",
            )
            assert [await routed.ask(one) for one in (BOB, DORA)] == [True, False]
            assert await routed.ask("x@inside.test") is False  # by the recipient's own domain
            # No host at all: perhaps the name server is wrong.  It is no word about a recipient.
            assert await routed.ask("x@null.example") is None
            assert await routed.ask("x@gone.example") is None
            assert await routed.ask("x@deaf.example") is False
            routed.inquiry.close()


@on_loop
async def test_an_edited_table_counts_and_a_bad_edit_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server(known(BOB)) as old, Server(known(DORA)) as new:
        routed = Routed(tmp_path, f"example.com {url(old)}\n")
        assert [await routed.ask(one) for one in (BOB, DORA)] == [True, False]
        routed.file.write_text(f"example.com {url(new)}\n")
        assert [await routed.ask(one) for one in (BOB, DORA)] == [False, True]
        routed.file.write_text(f"example.com {url(old)}\n* smtp://a:0?tls=perhaps\n")
        assert [await routed.ask(one) for one in (BOB, DORA)] == [False, True]
        told = [line.getMessage() for line in caplog.records]
        assert any("event=routes-kept" in line and "routes:2: next hop" in line for line in told)
        routed.inquiry.close()


@on_loop
async def test_whoever_is_named_in_the_settings_is_asked_whatever_the_routes_say(
    tmp_path: Path,
) -> None:
    async with Server(known(BOB)) as server:
        routed = Routed(tmp_path, "example.com maildir:/x\n", ask=url(server))
        assert [await routed.ask(one) for one in (BOB, DORA)] == [True, False]
        routed.inquiry.close()


@on_loop
async def test_next_hops_of_the_past_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "_CALLOUTS", 2)
    async with Server(known(BOB)) as server:
        routed = Routed(tmp_path, f"example.com {url(server)}\n")
        for name in ("127.0.0.1", "localhost", "127.0.0.2"):
            routed.file.write_text(f"example.com smtp://{name}:{server.port}\n")
            assert await routed.ask() is (None if name == "127.0.0.2" else True)
        assert len(routed.inquiry._callouts) == 2
        routed.inquiry.close()


@pytest.mark.parametrize("bad", ["smtp://", "smtp://a:0", "lmtp://a?tls=perhaps", "mx:?x=y"])
def test_a_table_with_a_mistake_in_it_is_told_at_the_start(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ConfigError, match=r"etc/routes:1: next hop .*allowed: smtp://HOST:PORT"):
        Routed(tmp_path, f"example.com {bad}\n")
    (tmp_path / "etc" / "routes").unlink()
    with pytest.raises(ConfigError, match=r"next hop .*allowed: smtp://HOST:PORT"):
        Routed(tmp_path, next_hop=bad)


@pytest.mark.parametrize(
    "bad", ["maildir:/x", "pipe:/x", "smtp://", "x:", "smtp://a?auth=etc/relay"]
)
def test_who_is_to_be_asked_must_be_somebody_who_can(bad: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        config.Recipients(ask=bad)
