"""The clamd engine: against a real clamd where it behaves, and a lying one where it must not."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from clamd_server import EICAR, MARKER, STREAM_MAX, ClamdServer
from letters import with_attachment
from lying_clamd import beginning_of_stream, lying_clamd
from pydantic import ValidationError

from spoolscan.cli import specimens
from spoolscan.errors import ConfigError, TemporaryFailure
from spoolscan.scanner.engines import ClamdSettings, Engine, Sample, WrongAnswer, build
from spoolscan.scanner.engines.proof import prove
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.patterns import Patterns
from spoolscan.verdict import Finding, Verdict

SAMPLE = Sample(("1",), b"some bytes")


def engine_at(
    address: object, method: str = "auto", timeout: float = 60, max_bytes: int = 2**30
) -> Engine:
    [engine] = build(
        [
            ClamdSettings.model_construct(
                address=str(address), method=method, timeout=timeout, max_bytes=max_bytes
            )
        ]
    )
    return engine


def encrypted_zip() -> bytes:
    """A zip whose one member says that it is encrypted: bit 0 of the flags, in both headers."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("secret.txt", b"nobody can read this " * 20)
    data = bytearray(packed.getvalue())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.real
@pytest.mark.parametrize("method", ["auto", "instream", "fildes"])
def test_finds_by_every_method(clamd: ClamdServer, method: str) -> None:
    findings = engine_at(clamd.path, method).scan([Sample(("a",), MARKER), Sample(("b",), EICAR)])
    assert findings == [
        Finding(Verdict.INFECTED, ("a",), "Test.Marker.UNOFFICIAL", "clamd"),
        Finding(Verdict.INFECTED, ("b",), "Eicar-Test.UNOFFICIAL", "clamd"),
    ]


@pytest.mark.real
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_what_is_larger_than_clamd_takes_is_unscannable_and_the_rest_is_scanned(
    clamd: ClamdServer, tcp: bool
) -> None:
    address = "tcp://{}:{}".format(*clamd.tcp) if tcp else clamd.path
    large = Sample(("large",), bytes(STREAM_MAX + 2**20))
    findings = engine_at(address, "instream").scan([SAMPLE, large, Sample(("b",), EICAR), SAMPLE])
    assert [(finding.verdict, finding.path) for finding in findings] == [
        (Verdict.UNSCANNABLE, ("large",)),
        (Verdict.INFECTED, ("b",)),
    ]


@pytest.mark.real
def test_an_encrypted_archive_is_unscannable(clamd: ClamdServer) -> None:
    [finding] = engine_at(clamd.path).scan([Sample(("1",), encrypted_zip())])
    assert finding == Finding(Verdict.UNSCANNABLE, ("1",), "Heuristics.Encrypted.Zip", "clamd")


@pytest.mark.real
def test_tells_the_version_of_clamd(clamd: ClamdServer) -> None:
    assert engine_at(clamd.path).awake().startswith("ClamAV ")


@pytest.mark.real
def test_finds_again_after_clamd_was_away(clamd: ClamdServer) -> None:
    engine = engine_at(clamd.path)
    clamd.stop()
    with pytest.raises(TemporaryFailure):
        engine.scan([Sample(("1",), EICAR)])
    clamd.start()
    assert len(engine.scan([Sample(("1",), EICAR)])) == 1


@pytest.mark.real
def test_leaves_no_descriptor_open(clamd: ClamdServer) -> None:
    engine = engine_at(clamd.path)
    engine.scan([SAMPLE])
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        engine.scan([SAMPLE, SAMPLE])
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_what_is_over_max_bytes_is_unscannable_without_asking(tmp_path: Path) -> None:
    engine = engine_at(tmp_path / "nobody-listens", max_bytes=4)
    assert engine.scan([Sample(("1",), b"12345")]) == [
        Finding(Verdict.UNSCANNABLE, ("1",), "larger than clamd takes", "clamd")
    ]


@pytest.mark.parametrize("method", ["instream", "fildes"])
@pytest.mark.parametrize(
    ("answer", "verdict", "name"),
    [
        (b"1: stream: Win.Test-1 FOUND\0", Verdict.INFECTED, "Win.Test-1"),
        (b"1: fd[10]: Win.Test-1 FOUND\0", Verdict.INFECTED, "Win.Test-1"),
        (b"1: stream: A(0123:68) FOUND\0", Verdict.INFECTED, "A(0123:68)"),
        (b"1: stream: two words FOUND\0", Verdict.INFECTED, "two words"),
        (b"1: stream: OK FOUND\0", Verdict.INFECTED, "OK"),
        (b"1: stream: FOUND FOUND\0", Verdict.INFECTED, "FOUND"),
        (b"1: stream: Heuristics.Broken.Executable FOUND\0", Verdict.INFECTED, None),
        (b"1: stream: Heuristics.Encrypted.RAR FOUND\0", Verdict.UNSCANNABLE, None),
        (b"1: stream: Heuristics.Limits.Exceeded FOUND\0", Verdict.UNSCANNABLE, None),
        (b"1: fd[9]: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0", Verdict.UNSCANNABLE, None),
    ],
)
def test_believes_a_name_found(
    tmp_path: Path, method: str, answer: bytes, verdict: Verdict, name: str | None
) -> None:
    with lying_clamd(tmp_path, answer) as path:
        [finding] = engine_at(path, method).scan([SAMPLE])
    assert finding.verdict is verdict
    assert name in (None, finding.name)


@pytest.mark.parametrize("method", ["instream", "fildes"])
@pytest.mark.parametrize("answer", [b"1: stream: OK\0", b"1: fd[10]: OK\0"])
def test_believes_ok(tmp_path: Path, method: str, answer: bytes) -> None:
    with lying_clamd(tmp_path, answer) as path:
        assert engine_at(path, method).scan([SAMPLE]) == []


@pytest.mark.parametrize("method", ["instream", "fildes"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0", id="an empty answer"),
        pytest.param(b"1: stream: O", id="half an answer"),
        pytest.param(b"1: stream: OK", id="an answer without its end"),
        pytest.param(b"1: stream: OK\n", id="an answer that ends in a newline"),
        pytest.param(b"1: stream: OK\n\0", id="a newline before the end"),
        pytest.param(b"1: stream: X FOUND\n1: stream: OK\0", id="two answers in one"),
        pytest.param(b"1: stream: OK\n2: stream: OK\0", id="a forged second answer"),
        pytest.param(b"1: stream: OK\x002: stream: OK\0", id="an answer to nothing"),
        pytest.param(b"stream: OK\0", id="an answer without number"),
        pytest.param(b"2: stream: OK\0", id="an answer to another question"),
        pytest.param(b"01: stream: OK\0", id="a number written otherwise"),
        pytest.param(b"1: OK\0", id="OK to nothing"),
        pytest.param(b"1: /etc/passwd: OK\0", id="OK to something else"),
        pytest.param(b"1: stream: ok\0", id="ok in small letters"),
        pytest.param(b"1: stream: OK \0", id="a space after OK"),
        pytest.param(b"1: stream:  FOUND\0", id="no name"),
        pytest.param(b"1: stream: \xc3\xa9 FOUND\0", id="a name that is not ASCII"),
        pytest.param(b"1: stream: a\x1b[2J FOUND\0", id="a name with controls"),
        pytest.param(b"1: stream: " + b"a" * 300 + b" FOUND\0", id="a name too long"),
        pytest.param(b"1: stream: lstat() failed. ERROR\0", id="an error"),
        pytest.param(b"1: stream: OK FOUND ERROR\0", id="OK, FOUND and ERROR"),
        pytest.param(b"COMMAND READ TIMED OUT\0", id="a time-out of clamd's"),
        pytest.param(b"1: UNKNOWN COMMAND\0", id="an unknown command"),
        pytest.param(b"1: " + b"x" * 5000, id="no end of it"),
        pytest.param(b"220 mail.example.org ESMTP\r\n", id="another protocol"),
    ],
)
def test_everything_else_is_a_temporary_failure(tmp_path: Path, method: str, answer: bytes) -> None:
    with lying_clamd(tmp_path, answer) as path, pytest.raises(TemporaryFailure) as raised:
        engine_at(path, method).scan([SAMPLE])
    assert str(raised.value).isascii()
    assert str(raised.value).isprintable()


def test_an_answer_before_the_question_is_complete_is_not_believed(tmp_path: Path) -> None:
    with (
        lying_clamd(tmp_path, b"1: stream: OK\0", after=beginning_of_stream) as path,
        pytest.raises(TemporaryFailure, match="before it had the whole question"),
    ):
        engine_at(path, "instream").scan([Sample(("1",), bytes(2**20))])


def test_an_answer_that_drips_in_does_not_stretch_the_time(tmp_path: Path) -> None:
    with (
        lying_clamd(tmp_path, b"1: stream: OK\0", drip=0.1) as path,
        pytest.raises(TemporaryFailure, match=r"no answer within 0\.4 s"),
    ):
        engine_at(path, timeout=0.4).scan([SAMPLE])


def test_a_clamd_that_reads_no_further_is_given_up(tmp_path: Path) -> None:
    with (
        lying_clamd(tmp_path, b"1", after=beginning_of_stream, drip=3600) as path,
        pytest.raises(TemporaryFailure, match=r"no answer within 0\.3 s"),
    ):
        engine_at(path, "instream", timeout=0.3).scan([Sample(("1",), bytes(2**24))])


def test_the_second_sample_is_not_clean_because_the_first_was(tmp_path: Path) -> None:
    with (
        lying_clamd(tmp_path, b"1: stream: OK\0", b"1: stream: OK\0") as path,
        pytest.raises(TemporaryFailure, match="not the number of question 2"),
    ):
        engine_at(path).scan([SAMPLE, SAMPLE])


def test_is_not_awake_without_a_pong(tmp_path: Path) -> None:
    with (
        lying_clamd(tmp_path, b"1: PING\0") as path,
        pytest.raises(TemporaryFailure, match="no answer to PING"),
    ):
        engine_at(path).awake()


def test_is_awake_even_where_the_version_is_kept_secret(tmp_path: Path) -> None:
    with lying_clamd(tmp_path, b"1: PONG\0", b"2: COMMAND UNAVAILABLE\0") as path:
        assert engine_at(path).awake() == "clamd"


@pytest.mark.parametrize(
    "settings",
    [
        ClamdSettings.model_construct(address=""),
        ClamdSettings.model_construct(address="clamd.ctl"),
        ClamdSettings.model_construct(address="unix:clamd.ctl"),
        ClamdSettings.model_construct(address="unix:/" + "x" * 107),
        ClamdSettings.model_construct(address="/run/\0clamd"),
        ClamdSettings.model_construct(address="tcp://localhost"),
        ClamdSettings.model_construct(address="tcp://:3310"),
        ClamdSettings.model_construct(address="tcp://localhost:0"),
        ClamdSettings.model_construct(address="tcp://localhost:70000"),
        ClamdSettings.model_construct(address="tcp://localhost:3310/path"),
        ClamdSettings.model_construct(address="tcp://user@localhost:3310"),
        ClamdSettings.model_construct(address="http://localhost:3310"),
        ClamdSettings.model_construct(method="multiscan"),
        ClamdSettings.model_construct(address="tcp://localhost:3310", method="fildes"),
        ClamdSettings.model_construct(timeout=0),
        ClamdSettings.model_construct(timeout=float("nan")),
        ClamdSettings.model_construct(timeout=float("inf")),
        ClamdSettings.model_construct(max_bytes=0),
    ],
    ids=lambda settings: f"{settings.address[:30]} {settings.method} {settings.timeout}",
)
def test_settings_that_can_never_work_are_told_at_once(settings: ClamdSettings) -> None:
    with pytest.raises(ConfigError, match=r"^engine clamd: (address|method|timeout|max_bytes) = "):
        build([settings])


@pytest.mark.parametrize(
    "address", ["/a/b", "unix:/a/b", "tcp://127.0.0.1:3310", "tcp://[::1]:3310", "tcp://host:1"]
)
def test_every_kind_of_address_is_taken(address: str) -> None:
    build([ClamdSettings(address=address)])


# ---- several addresses


def engine_at_both(first: Path, second: Path, timeout: float = 60) -> Engine:
    [engine] = build([ClamdSettings(address=(str(first), str(second)), timeout=timeout)])
    return engine


@pytest.mark.real
@pytest.mark.parametrize(
    "answer", [b"", b"1: fd[9]", b"1: what?\0", b"1: stream: no memory ERROR\0"]
)
def test_the_next_address_is_asked_when_one_gives_no_plain_answer(
    clamd: ClamdServer, tmp_path: Path, answer: bytes
) -> None:
    with lying_clamd(tmp_path, answer) as liar:
        engine = engine_at_both(liar, clamd.path)
        assert len(engine.scan([SAMPLE, Sample(("b",), EICAR)])) == 1


@pytest.mark.real
def test_the_address_that_answered_is_asked_first_from_then_on(
    clamd: ClamdServer, tmp_path: Path
) -> None:
    engine = engine_at_both(tmp_path / "later", clamd.path)
    assert engine.scan([SAMPLE]) == []
    (tmp_path / "later").symlink_to(tmp_path / "liar")
    with lying_clamd(tmp_path, b"1: fd[9]: Wrong-Place FOUND\0"):
        assert engine.scan([SAMPLE]) == []
        clamd.stop()
        assert [finding.name for finding in engine.scan([SAMPLE])] == ["Wrong-Place"]


def test_where_none_answers_each_reason_is_told(tmp_path: Path) -> None:
    with lying_clamd(tmp_path, b"1: what?\0") as liar:
        engine = engine_at_both(tmp_path / "nobody", liar)
        with pytest.raises(WrongAnswer, match=r"nobody .*; engine clamd at .*what\?"):
            engine.scan([SAMPLE])


def test_a_list_of_addresses_is_a_setting_and_an_empty_one_is_none() -> None:
    assert ClamdSettings.model_validate({"address": ["/a", "/b"]}).address == ("/a", "/b")
    for wrong in ([], 7, ["/a", 7]):
        with pytest.raises(ValidationError, match="an address in quotes, or a list"):
            ClamdSettings.model_validate({"address": wrong})


# ---- what clamd calls OK


@pytest.mark.real
def test_what_clamd_passes_unopened_is_opened_by_us_and_its_members_handed_on(
    clamd: ClamdServer,
) -> None:
    packed = specimens.lzip(EICAR)  # clamd opens no .lz
    assert engine_at(clamd.path).scan([Sample(("a.lz",), packed)]) == []
    mail = with_attachment("x", "a.lz", packed)
    none = Patterns.parse(b"", "none")
    found = inspect(mail, Tools(bad=none, doc=none, engines=[engine_at(clamd.path)])).report
    assert found.verdict is Verdict.INFECTED
    assert found.findings[0].path[0] == "a.lz"
    assert len(found.findings[0].path) == 2


def test_one_that_calls_eicar_clean_is_found_out(tmp_path: Path) -> None:
    answers = (b"1: fd[9]: OK\0", b"2: fd[9]: OK\0")
    with (
        lying_clamd(tmp_path, *answers) as liar,
        pytest.raises(WrongAnswer, match="does not find EICAR, the test virus, but says clean"),
    ):
        prove(engine_at(liar))


def test_one_that_calls_all_infected_is_found_out(tmp_path: Path) -> None:
    answers = (b"1: fd[9]: A FOUND\0", b"2: fd[9]: A FOUND\0")
    with (
        lying_clamd(tmp_path, *answers) as liar,
        pytest.raises(WrongAnswer, match="calls plain words infected"),
    ):
        prove(engine_at(liar))
