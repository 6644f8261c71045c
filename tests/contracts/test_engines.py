"""What every engine does, whichever it is.

A bench sets up one implementation: in order, and in each of the ways it can fail.  A new engine is
a new bench in BENCHES, and passes.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from clamd_server import EICAR, ClamdServer
from lying_clamd import lying_clamd

from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.scanner.engines import (
    ENGINES,
    ClamdSettings,
    CommandSettings,
    Engine,
    Sample,
    Settings,
    WrongAnswer,
    YaraSettings,
    build,
)
from spoolscan.scanner.engines.proof import prove
from spoolscan.verdict import Finding, Verdict

RULES = Path(__file__).parents[2] / "etc" / "rules"
ENDLESS = "rule endless { condition: for any i in (0..100000000000): (uint8(i % 3) == 199) }"


class Bench(ABC):
    """One implementation to be held to the contract; `faults` are the ways it can fail."""

    marks: tuple[pytest.MarkDecorator, ...] = ()
    faults: tuple[str, ...]

    def __init__(self, place: Path, request: pytest.FixtureRequest) -> None:
        self.place = place
        self.request = request

    @abstractmethod
    def in_order(self) -> Settings: ...

    @abstractmethod
    def broken(self, fault: str) -> contextlib.AbstractContextManager[Settings]: ...


class YaraBench(Bench):
    """Embedded: there is nothing that could be down, or that could garble an answer."""

    faults = ("hangs",)

    def in_order(self) -> Settings:
        return YaraSettings(rules=RULES, name="bench")

    @contextlib.contextmanager
    def broken(self, fault: str) -> Iterator[Settings]:
        assert fault == "hangs"
        (self.place / "endless.yar").write_text(ENDLESS)
        yield YaraSettings(rules=self.place, name="bench", timeout=1)


class ClamdBench(Bench):
    marks = (pytest.mark.real,)
    faults = ("unavailable", "hangs", "garbage", "hangs up")
    method: Literal["fildes", "instream"] = "fildes"

    def in_order(self) -> Settings:
        return self.settings(f"unix:{self.clamd().path}")

    def clamd(self) -> ClamdServer:
        server = self.request.getfixturevalue("clamd")
        assert isinstance(server, ClamdServer)
        return server

    def settings(self, address: str, timeout: float = 60) -> Settings:
        return ClamdSettings(
            name="bench", address=self.addresses(address), method=self.method, timeout=timeout
        )

    def addresses(self, address: str) -> str | tuple[str, ...]:
        return address

    @contextlib.contextmanager
    def broken(self, fault: str) -> Iterator[Settings]:
        if fault == "unavailable":
            yield self.settings(f"unix:{self.place}/nobody-listens")
        elif fault == "hangs":
            server = self.clamd()
            server.pause()
            try:
                yield self.settings(f"unix:{server.path}", timeout=0.2)
            finally:
                server.resume()
        else:
            answer = b"1: what?\0" if fault == "garbage" else b""
            with lying_clamd(self.place, answer) as path:
                yield self.settings(f"unix:{path}")


class ClamdTcpBench(ClamdBench):
    method = "instream"

    def in_order(self) -> Settings:
        host, port = self.clamd().tcp
        return self.settings(f"tcp://{host}:{port}")


class ClamdFailoverBench(ClamdBench):
    """Two addresses, of which nobody listens at the first."""

    def addresses(self, address: str) -> tuple[str, ...]:
        return (f"unix:{self.place}/nobody", address)


class CommandBench(Bench):
    faults = ("unavailable", "hangs", "garbage", "killed")
    argument = "{file}"

    def script(self, *lines: str) -> CommandSettings:
        script = self.place / "scanner"
        script.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        script.chmod(0o755)
        return CommandSettings(argv=(str(script), self.argument), name="bench", scratch=self.place)

    def in_order(self) -> Settings:
        tail = EICAR[-25:].decode()
        return self.script(
            f"found=$(grep -rlF '{tail}' \"$1\") || exit 0",
            'for file in $found; do echo "$file: Eicar-Test FOUND"; done',
            "exit 1",
        )

    @contextlib.contextmanager
    def broken(self, fault: str) -> Iterator[Settings]:
        if fault == "unavailable":
            yield CommandSettings(
                argv=(f"{self.place}/no-such-program", self.argument),
                name="bench",
                scratch=self.place,
            )
        elif fault == "hangs":
            script = self.script("sleep 3600").argv
            yield CommandSettings(argv=script, name="bench", timeout=0.2, scratch=self.place)
        else:
            yield self.script("echo what?; exit 77" if fault == "garbage" else "kill -9 $$")


class LimitedBench(CommandBench):
    """One scan at a time."""

    def script(self, *lines: str) -> CommandSettings:
        return super().script(*lines).model_copy(update={"concurrency": 1})


class CommandDirectoryBench(CommandBench):
    argument = "{dir}"


BENCHES = (
    YaraBench,
    ClamdBench,
    ClamdTcpBench,
    ClamdFailoverBench,
    CommandBench,
    LimitedBench,
    CommandDirectoryBench,
)
FAULTS = [
    pytest.param(bench, fault, id=f"{bench.__name__}-{fault}", marks=bench.marks)
    for bench in BENCHES
    for fault in bench.faults
]


@pytest.fixture(
    params=[pytest.param(bench, id=bench.__name__, marks=bench.marks) for bench in BENCHES]
)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    [engine] = build([request.param(tmp_path, request).in_order()])
    yield engine
    engine.close()


def eicar_at(*path: str) -> Sample:
    return Sample(path, EICAR)


def clean_at(*path: str) -> Sample:
    return Sample(path, b"Dear Bob,\r\nnothing in here but words.\r\n")


@pytest.mark.real
def test_every_implementation_in_the_table_has_a_bench(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert {type(bench(tmp_path, request).in_order()) for bench in BENCHES} == set(ENGINES)


def test_a_clean_sample_is_no_finding(engine: Engine) -> None:
    assert engine.scan([clean_at("1")]) == []


def test_no_samples_are_no_findings(engine: Engine) -> None:
    assert engine.scan([]) == []


def test_eicar_is_one_infection_with_the_samples_path_and_the_engines_name(engine: Engine) -> None:
    [finding] = engine.scan([eicar_at("2", "a.zip", "b.doc")])
    assert (finding.verdict, finding.path) == (Verdict.INFECTED, ("2", "a.zip", "b.doc"))
    assert finding.engine == engine.name == "bench"
    assert "EICAR" in finding.name.upper()


def test_eicar_anywhere_in_the_whole_message_is_found(engine: Engine) -> None:
    message = b"Subject: x\r\n\r\n" + EICAR + b"\r\n"
    assert [finding.path for finding in engine.scan([Sample((), message)])] == [()]


def test_among_many_samples_each_infected_one_is_named_in_order(engine: Engine) -> None:
    samples = [
        eicar_at(str(number)) if number in (3, 17, 40) else clean_at(str(number))
        for number in range(41)
    ]
    assert [finding.path for finding in engine.scan(samples)] == [("3",), ("17",), ("40",)]


def test_a_hostile_path_is_handed_back_and_used_for_nothing(engine: Engine) -> None:
    path = ("../../etc/passwd", "-rf;$(reboot)\n\0", "\udcff{file}{dir}")
    assert [finding.path for finding in engine.scan([eicar_at(*path)])] == [path]


def test_an_empty_sample_is_clean(engine: Engine) -> None:
    assert engine.scan([Sample(("1",), b"")]) == []


def test_twenty_megabytes_are_read_to_the_end(engine: Engine) -> None:
    large = bytes(20 * 2**20 - len(EICAR)) + EICAR
    findings = engine.scan([Sample(("large",), large), clean_at("small")])
    assert [(finding.verdict, finding.path) for finding in findings] == [
        (Verdict.INFECTED, ("large",))
    ]


def test_it_scans_again_and_again(engine: Engine) -> None:
    for _ in range(3):
        assert len(engine.scan([eicar_at("1")])) == 1
        assert engine.scan([clean_at("1")]) == []


def test_it_is_proven_by_eicar(engine: Engine) -> None:
    prove(engine)


def test_without_time_left_it_fails_and_is_never_clean(engine: Engine) -> None:
    with pytest.raises(TemporaryFailure, match=r"^engine bench"):
        engine.scan([clean_at("1")], time.monotonic())
    assert engine.scan([clean_at("1")]) == []


def test_awake_it_tells_its_version(engine: Engine) -> None:
    assert engine.awake().isprintable()
    assert engine.awake()


def test_it_can_be_closed_twice(engine: Engine) -> None:
    engine.scan([clean_at("1")])
    engine.close()
    engine.close()


@pytest.mark.parametrize(("bench", "fault"), FAULTS)
def test_what_gives_no_plain_answer_is_never_clean(
    bench: type[Bench], fault: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with bench(tmp_path, request).broken(fault) as settings:
        [engine] = build([settings])
        try:
            findings = engine.scan([clean_at("1")])
        except TemporaryFailure as failure:
            assert str(failure).startswith("engine bench")  # noqa: PT017 - one answer of two
            assert isinstance(failure, WrongAnswer) == (fault == "garbage")  # noqa: PT017
        else:
            assert [finding.verdict for finding in findings] == [Verdict.UNSCANNABLE]
        engine.close()


@pytest.mark.parametrize("bench", [ClamdBench, CommandBench])
def test_what_is_not_there_is_not_awake(
    bench: type[ClamdBench | CommandBench], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with bench(tmp_path, request).broken("unavailable") as settings:
        [engine] = build([settings])
        with pytest.raises((TemporaryFailure, ConfigError), match=r"^engine bench"):
            engine.awake()


def test_engines_are_built_in_the_order_of_the_configuration() -> None:
    engines = build([ClamdSettings(name="second"), YaraSettings(rules=RULES, name="first")])
    assert [engine.name for engine in engines] == ["second", "first"]


def test_two_engines_of_one_name_are_an_error() -> None:
    with pytest.raises(ConfigError, match="two engines are called 'clamd'"):
        build([ClamdSettings(), ClamdSettings(address="tcp://127.0.0.1:3310")])


def test_no_engine_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no engine is set up"):
        build([])


def test_several_engines_each_say_what_they_find() -> None:
    engines = build([YaraSettings(rules=RULES, name="one"), YaraSettings(rules=RULES, name="two")])
    findings = [finding for engine in engines for finding in engine.scan([eicar_at("1")])]
    assert findings == [
        Finding(Verdict.INFECTED, ("1",), "EICAR-Test-File", name) for name in ("one", "two")
    ]
