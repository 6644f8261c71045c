"""The canary: an engine that lies is out within a minute, and back when it tells the truth."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from builders import put, spool_in
from letters import with_attachment
from loopback import until

from spoolscan import share
from spoolscan.cli import main
from spoolscan.cli.init import lay_out
from spoolscan.config import FILE, Config, load
from spoolscan.errors import TemporaryFailure
from spoolscan.notices import Notifier, Templates
from spoolscan.scanner.canary import Canary
from spoolscan.scanner.daemon import Scanner
from spoolscan.scanner.engines import Sample, WrongAnswer
from spoolscan.scanner.engines.proof import EICAR
from spoolscan.spool import Spool
from spoolscan.verdict import Finding, Verdict

RIGHT, LIES, GARBAGE, DOWN, BROKEN = "right", "lies", "garbage", "down", "broken"


class Engine:
    """In the state it is put into."""

    name = "one"
    state = RIGHT

    def scan(self, samples: Sequence[Sample], deadline: float = math.inf) -> list[Finding]:
        match self.state:
            case "down":
                raise TemporaryFailure("engine one: down")
            case "garbage":
                raise WrongAnswer("engine one: what?")
            case "broken":
                raise ZeroDivisionError
        found = [sample for sample in samples if self.state == RIGHT and sample.data == EICAR]
        return [Finding(Verdict.INFECTED, sample.path, "Eicar", self.name) for sample in found]

    def awake(self) -> str:
        return ""

    def close(self) -> None: ...


class Aviary:
    """A canary, its engine, and the subjects of the notices."""

    def __init__(self, folder: Path, *, backup: bool = False, canary: bool = True) -> None:
        self.engine = Engine()
        rows = [{"kind": "clamd", "name": "one", "canary": canary}, {"kind": "yara"}]
        rows += [{"kind": "clamd", "name": "behind", "backup": True}] if backup else []
        settings = Config.model_validate({"root": folder, "engine": rows})
        self.spool = spool_in(folder)
        templates = Templates([share.folder("etc") / "templates"])
        notifier = Notifier(self.spool, templates, "gate.example.com")
        self.canary = Canary([self.engine], settings, notifier)

    def prove(self, *states: str) -> None:
        for self.engine.state in states:
            self.canary.prove(self.engine)

    def told(self) -> list[str]:
        subjects = []
        for entry in self.spool.entries("outgoing"):
            with self.spool.open("outgoing", entry.queue_id) as message:
                text = message.read().decode()
                subjects.append(text.partition("engine one is ")[2].split("\r\n")[0])
        return subjects


@pytest.mark.parametrize("wrong", [LIES, GARBAGE])
def test_one_that_answers_wrongly_is_out_until_it_is_right_and_each_is_told_once(
    tmp_path: Path, wrong: str
) -> None:
    aviary = Aviary(tmp_path)
    aviary.prove(RIGHT, wrong, wrong, wrong)
    assert aviary.canary.out() == {"one"}
    assert aviary.told() == ["out"]
    aviary.prove(RIGHT, RIGHT)
    assert aviary.canary.out() == set()
    assert sorted(aviary.told()) == ["back", "out"]


@pytest.mark.parametrize("silent", [DOWN, BROKEN])
def test_one_that_is_down_is_not_out_and_one_that_is_out_stays_so(
    tmp_path: Path, silent: str
) -> None:
    aviary = Aviary(tmp_path)
    aviary.prove(silent, silent, silent)
    assert aviary.canary.out() == set()
    assert aviary.told() == []
    aviary.prove(LIES, silent)
    assert aviary.canary.out() == {"one"}


def test_one_that_a_backup_hides_is_told_of_when_it_lasts(tmp_path: Path) -> None:
    aviary = Aviary(tmp_path, backup=True)
    aviary.prove(DOWN, RIGHT, DOWN)
    assert aviary.told() == []
    aviary.prove(DOWN, DOWN)
    assert aviary.told() == ["silent"]
    aviary.prove(RIGHT, RIGHT)
    assert sorted(aviary.told()) == ["back", "silent"]


def test_one_that_cannot_know_eicar_may_be_left_alone(tmp_path: Path) -> None:
    aviary = Aviary(tmp_path, canary=False)
    aviary.prove(LIES)
    assert aviary.canary.out() == set()


# ---- in the daemon

SCANNER = """
[[engine]]
kind = "command"
name = "moody"
argv = [
    "/bin/sh", "-c",
    'test -e {flag} && exit 0; grep -q EICAR-STANDARD "$1" || exit 0; exit 1',
    "sh", "{{file}}",
]
"""


def laid_out(folder: Path, more: str) -> Path:
    root = folder / "spool"
    lay_out(root, {"domains": ["example.com"], "listen": ["127.0.0.1:0"], "next_hop": "maildir:x"})
    path = root / FILE
    path.write_text(path.read_text().replace('#canary = "1m"', "canary = 1") + more)
    return root


def during_a_run(root: Path, story: Callable[[Spool], None]) -> None:
    """The daemon on this spool while the story lasts."""
    spool = Spool(root)
    raised: list[BaseException] = []

    async def run() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def tell() -> None:
            try:
                story(spool)
            except BaseException as error:  # to be raised in the test's own thread
                raised.append(error)
            loop.call_soon_threadsafe(stop.set)

        running = asyncio.create_task(Scanner(spool, load(root)).run(stop, ready=ready.set))
        await ready.wait()
        threading.Thread(target=tell).start()
        await running

    asyncio.run(run())
    if raised:
        raise raised[0]


def receive(spool: Spool) -> str:
    return put(spool, with_attachment("offer", "offer.doc", b"\xd0\xcf nothing\x00"))


def test_a_liar_makes_mail_wait_and_a_truthful_one_lets_it_go_on(tmp_path: Path) -> None:
    flag = tmp_path / "lie"
    root = laid_out(tmp_path, SCANNER.format(flag=flag))

    def has_left(spool: Spool, queue_id: str) -> bool:
        return Path(spool.path("outgoing", queue_id)).exists()

    def is_told(spool: Spool, state: str) -> bool:
        words = f"engine moody is {state}".encode()
        ids = [entry.queue_id for entry in spool.entries("outgoing")]
        return any(words in Path(spool.path("outgoing", it)).read_bytes() for it in ids)

    def is_deferred(spool: Spool, queue_id: str) -> bool:
        entries = {entry.queue_id: entry for entry in spool.entries("incoming")}
        return queue_id in entries and not entries[queue_id].is_due(time.time())

    def story(spool: Spool) -> None:
        first = receive(spool)
        until(lambda: has_left(spool, first), "the first is delivered")
        flag.touch()
        until(lambda: is_told(spool, "out"), "it is told that the engine is out")
        second = receive(spool)
        until(lambda: is_deferred(spool, second), "the second waits")
        flag.unlink()
        until(lambda: is_told(spool, "back"), "it is told that the engine is back")
        until(lambda: has_left(spool, second), "the second is delivered")

    during_a_run(root, story)


def test_one_that_lies_from_the_start_judges_nothing(tmp_path: Path) -> None:
    flag = tmp_path / "lie"
    flag.touch()
    root = laid_out(tmp_path, SCANNER.format(flag=flag))
    queue_id = receive(Spool(root))
    asyncio.run(Scanner(Spool(root), load(root)).run(asyncio.Event(), once=True))
    assert Path(Spool(root).path("incoming", queue_id)).exists()


BACKUP = """
[[engine]]
kind = "command"
name = "behind"
argv = ["/bin/true", "{file}"]
backup = true
canary = false
"""


def test_mail_goes_by_the_backup_while_one_is_out(tmp_path: Path) -> None:
    flag = tmp_path / "lie"
    flag.touch()
    root = laid_out(tmp_path, SCANNER.format(flag=flag) + BACKUP)
    queue_id = receive(Spool(root))
    asyncio.run(Scanner(Spool(root), load(root)).run(asyncio.Event(), once=True))
    assert Path(Spool(root).path("outgoing", queue_id)).exists()


def test_check_says_who_does_not_find_eicar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = laid_out(tmp_path, "")
    (root / "etc" / "rules" / "eicar.yar").unlink()
    assert main(["--spool", str(root), "check"]) == 0
    assert "engine yara: does not find EICAR, the test virus, but says clean" in (
        capsys.readouterr().out
    )
