"""What next hops said of recipients, and for how long it is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
from loopback import on_loop
from smtp_peer import Peer as Server
from smtp_peer import known

from spoolscan import config
from spoolscan.errors import TemporaryFailure
from spoolscan.receiver import answers, mailboxes
from spoolscan.receiver.address import NULL, parse_path
from spoolscan.receiver.answers import Answer, Answers
from spoolscan.receiver.client import Client
from spoolscan.receiver.events import Mail
from spoolscan.receiver.inquiry import Inquiry

BOB, DORA = "bob@example.com", "dora@example.com"


def test_answers_are_found_again_by_another_process_and_cleared(tmp_path: Path) -> None:
    ours, theirs = (Answers(tmp_path / "x.sqlite", 1000) for _ in range(2))
    ours.put(BOB, Answer(BOB, True, "250 ok", 5.0))
    ours.put(DORA, Answer(DORA, True, "250 ok", 5.0))
    ours.put(DORA, Answer(DORA, False, "550 no", 6.0))
    assert theirs.all() == [Answer(BOB, True, "250 ok", 5.0), Answer(DORA, False, "550 no", 6.0)]
    assert theirs.clear(DORA) == 1
    assert ours.get(DORA) is None
    assert ours.get(BOB) == Answer(BOB, True, "250 ok", 5.0)
    assert theirs.clear() == 1
    assert ours.all() == []


def test_however_many_names_are_tried_those_who_exist_stay(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "x.sqlite", 300)
    for number in range(100):
        answers.put(f"real{number}@x", Answer(f"real{number}@x", True, "", float(number)))
    for number in range(5000):
        answers.put(f"tried{number}@x", Answer(f"tried{number}@x", False, "", 1000.0 + number))
    kept = answers.all()
    assert 300 <= len(kept) < 400
    assert sum(bool(one.known) for one in kept) == 100
    assert answers.get("tried4999@x") is not None


def test_a_damaged_file_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"rubbish " * 5000)
    with pytest.raises(TemporaryFailure, match="where it is damaged, delete it"):
        Answers(path, 10)


class Place:
    """The link over a callout, with a clock of its own."""

    def __init__(self, folder: Path, server: Server, **settings: object) -> None:
        (folder / "var").mkdir(exist_ok=True)
        url = f"smtp://127.0.0.1:{server.port}"
        chosen = config.Recipients(check="callout", ask=url).model_copy(update=settings)
        site = config.Site(hostname="gate.example.com", domains=("example.com",))
        self.settings = config.Config(root=folder, site=site, recipients=chosen)
        self.now = 1_000_000.0
        self.link = mailboxes.Asked(
            Inquiry(self.settings),
            mailboxes.Memory(self.settings),
            frozenset({"example.com"}),
            chosen,
            lambda: self.now,
        )

    async def ask(self, address: str = BOB) -> str:
        reply = await self.link.recipient(Client(), Mail(NULL), parse_path(address))
        return "250" if reply is None else f"{reply.code} {reply.status}"


DAY = 86_400.0


@on_loop
async def test_an_answer_holds_for_its_time_and_an_old_yes_until_the_next_hop_is_back(
    tmp_path: Path,
) -> None:
    async with Server(known(BOB)) as server:
        place = Place(tmp_path, server)
        told = []
        for pause in (0, 0.9 * DAY, 0.2 * DAY, 0.1 * DAY):
            place.now += pause
            told.append((await place.ask(), len(server.commands)))
        assert [reply for reply, _ in told] == ["250"] * 4
        assert told[0][1] == told[1][1] < told[2][1] == told[3][1]  # asked again after a day
        assert await place.ask(DORA) == "550 5.1.1"
        asked = len(server.commands)
        place.now += 3000
        assert await place.ask(DORA) == "550 5.1.1"
        assert len(server.commands) == asked
        server.answers = {"RCPT": "451 4.3.0 not now"}
        place.now += 1000
        assert await place.ask(DORA) == "450 4.4.3"
        place.now += 5 * DAY
        assert await place.ask() == "250"
        place.now += 2 * DAY
        assert await place.ask() == "450 4.4.3"
        place.link.close()


def remembered(place: Place) -> list[tuple[str, bool | None]]:
    found = Answers(place.settings.path(answers.FILE), 10)
    try:
        return [(one.address, one.known) for one in found.all()]
    finally:
        found.close()


@on_loop
async def test_a_mailbox_is_remembered_once_however_it_is_written(tmp_path: Path) -> None:
    async with Server({"RCPT": lambda who: known(BOB)["RCPT"](who.lower())}) as server:
        place = Place(tmp_path, server)
        spellings = (
            "Bob@Example.COM",
            "bOb@example.com",
            '"bob"@example.com',
            r'"b\ob"@example.com',
        )
        assert [await place.ask(one) for one in spellings] == ["250"] * 4
        assert remembered(place) == [("Bob@example.com", True)]
        assert [await place.ask(one) for one in (DORA, "Dora@example.com")] == ["550 5.1.1"] * 2
        assert remembered(place) == [("Bob@example.com", True), ("Dora@example.com", False)]
        place.link.close()
    told = [line for line in server.commands if line.startswith("RCPT")]
    assert told == [f"RCPT TO:<{one}>" for one in ("Bob@example.com", DORA, "Dora@example.com")]


@on_loop
async def test_a_no_to_another_spelling_shuts_nobody_out(tmp_path: Path) -> None:
    """Of a next hop to which case means something: only that may say who is meant."""
    async with Server(known(BOB)) as server:
        place = Place(tmp_path, server)
        assert await place.ask("BOB@example.com") == "550 5.1.1"
        assert await place.ask(BOB) == "250"
        place.now += 2 * DAY  # the yes is asked for again
        assert await place.ask("BOB@example.com") == "550 5.1.1"
        assert remembered(place) == [(BOB, True)]
        server.answers = {"RCPT": "451 not now"}
        assert await place.ask(BOB) == "250"
        place.link.close()


@on_loop
async def test_what_was_answered_at_a_time_still_to_come_is_asked_again(tmp_path: Path) -> None:
    async with Server(known(BOB)) as server:
        place = Place(tmp_path, server)
        assert await place.ask() == "250"
        place.now -= 10 * DAY
        server.answers = known()
        assert await place.ask() == "550 5.1.1"
        place.link.close()


@on_loop
async def test_without_an_answer_mail_is_deferred_or_taken_as_the_settings_say(
    tmp_path: Path,
) -> None:
    async with Server({"RCPT": "451 not now"}) as server:
        for unreachable, reply in (("defer", "450 4.4.3"), ("accept", "250")):
            place = Place(tmp_path, server, unreachable=unreachable)
            assert await place.ask() == reply
            assert await place.ask("Postmaster") == "250"
            assert await place.ask("dora@elsewhere.example") == "250"
            place.link.close()
    assert not any("elsewhere" in command for command in server.commands)


@on_loop
async def test_a_memory_that_fails_loses_nothing_but_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Server(known(BOB)) as server:
        place = Place(tmp_path, server)
        (tmp_path / answers.FILE).write_bytes(b"rubbish " * 5000)
        assert await place.ask() == "250"
        assert await place.ask(DORA) == "550 5.1.1"
        place.link.close()
    told = [record for record in caplog.records if "event=not-remembered" in record.getMessage()]
    assert len(told) == 1
