"""The settings file: good ones are understood, and every mistake is one line that says it all."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from spoolscan import config
from spoolscan.cli import main
from spoolscan.config import ClamdSettings, CommandSettings, Config, YaraSettings, host_port, load
from spoolscan.errors import ConfigError
from spoolscan.receiver.door import Door

PATH = Path("/somewhere/etc/spoolscan.toml")

TIME = 'allowed: seconds as a number, or "90s", "5m", "2h", "5d"'
SIZE = 'allowed: bytes as a number, or "500K", "50M", "2G"'
NETWORK = "allowed: address/bits such as 192.0.2.0/24 or ::1"
PLACE = "allowed: HOST:PORT such as 127.0.0.1:2525 or [::1]:25"
DOMAIN = "allowed: a domain name such as example.com"
ADDRESS = "allowed: an address such as postmaster@example.com"
CODES = "allowed: 127.0.0.2, 127.0.0.4-7 or 127.0.1.0/24"
WEIGHT = "allowed: a weight that is not 0; below 0 it speaks for the peer"
SERVER = "allowed: ADDRESS:PORT such as 127.0.0.1:53 or [::1]:53"
NOTICES = "administrator, burst, recipient, sender, trouble, window"
TABLES = (
    "bounds, dnsbl, engine, forwarder, jobs, journal, log, macros, metrics, notices,"
    " quarantine, receiver,"
    " recipients, rules, scanner, signatures, site"
)


def read(text: str) -> Config:
    return config.read(text, PATH)


def mistakes(text: str) -> list[str]:
    """The lines of the error, without the file's name, which all of them must have."""
    with pytest.raises(ConfigError) as raised:
        read(text)
    lines = str(raised.value).split("\n")
    assert all(line.startswith(f"{PATH}: ") for line in lines)
    return [line.removeprefix(f"{PATH}: ") for line in lines]


# ---- what is understood


def test_an_empty_file_is_all_defaults() -> None:
    settings = read("")
    assert settings == Config(root=Path("/somewhere"))
    assert settings.site.hostname == socket.gethostname()
    assert settings.receiver.doors == (Door("smtp", "127.0.0.1", 2525),)
    assert [engine.kind for engine in settings.engine] == ["yara"]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("1.5", 1.5), ('"90s"', 90), ('"5m"', 300), ('"2 h"', 7200), ('"0.5d"', 43200)],
)
def test_durations_are_seconds_or_have_a_unit(written: str, seconds: float) -> None:
    settings = read(f"[receiver]\ncommand_timeout = {written}\n[bounds]\nseconds = {written}")
    assert settings.receiver.command_timeout == settings.bounds.seconds == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("7", 7), ('"7"', 7), ('"500K"', 512_000), ('"50m"', 52_428_800), ('"2 G"', 2_147_483_648)],
)
def test_sizes_are_bytes_or_have_a_unit(written: str, size: int) -> None:
    settings = read(f"[receiver]\nmax_size = {written}\n[bounds]\ndecoded_bytes = {written}")
    assert settings.receiver.max_size == settings.bounds.decoded_bytes == size


def test_domains_are_kept_as_they_are_compared() -> None:
    settings = read('[site]\ndomains = ["Example.COM.", "b\u00fccher.example"]')
    assert settings.site.domains == ("example.com", "xn--bcher-kva.example")
    assert settings.site.is_ours("Bob@EXAMPLE.com")
    assert not settings.site.is_ours("bob@sub.example.com")
    assert not settings.site.is_ours("example.com")
    assert not settings.site.is_ours("")


def test_our_own_host_is_ours_in_whatever_case_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Mail.Example.com")
    assert read("[site]").site.is_ours("postmaster@mail.example.com")


def test_notices_go_to_the_postmaster_unless_somebody_is_named() -> None:
    assert read('[site]\ndomains = ["a.example"]').site.administrator == "postmaster@a.example"
    assert read('[site]\nadmin = "joe@b.example"').site.administrator == "joe@b.example"
    nobody = read('[site]\nhostname = "mx.example"\ndomains = []')
    assert nobody.site.administrator == "postmaster@mx.example"


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("127.0.0.1:25", ("127.0.0.1", 25)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_places_to_listen_at(written: str, place: tuple[str, int]) -> None:
    assert host_port(written) == place


def test_relative_paths_start_at_the_spool() -> None:
    settings = read(
        '[[engine]]\nkind = "yara"\n[[engine]]\nkind = "yara"\nname = "b"\nrules = "/rules"\n'
        '[[engine]]\nkind = "command"\nargv = ["x"]\nscratch = "scratch"\n'
        '[[engine]]\nkind = "clamd"'
    )
    first, second, third, fourth = settings.engines()
    assert isinstance(first, YaraSettings)
    assert first.rules == Path("/somewhere/etc/rules")
    assert isinstance(second, YaraSettings)
    assert second.rules == Path("/rules")
    assert isinstance(third, CommandSettings)
    assert third.scratch == Path("/somewhere/scratch")
    assert isinstance(fourth, ClamdSettings)
    assert fourth.address == "unix:/run/clamav/clamd.ctl"
    assert fourth.scratch == Path("/somewhere/var")


def test_workers_are_counted_when_they_are_not_given() -> None:
    assert read("").worker_count() >= 2
    assert read("[scanner]\nworkers = 1").worker_count() == 1


def test_a_file_saved_by_a_desktop_editor_is_read(tmp_path: Path) -> None:
    file = tmp_path / config.FILE
    file.parent.mkdir()
    file.write_bytes(b'\xef\xbb\xbf[site]\r\nhostname = "mx.example"\r\n')
    settings = load(tmp_path)
    assert (settings.site.hostname, settings.root) == ("mx.example", tmp_path)


# ---- mistakes


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("zite = 1", "zite: unknown setting; did you mean site?"),
        ("[site]\ndomain = 1", "site.domain: unknown setting; did you mean domains?"),
        (
            "[notices]\nzzz = 1",
            f"notices.zzz: unknown setting; allowed: {NOTICES}",
        ),
        ("[bounds]\ndepht = 1", "bounds.depht: unknown setting; did you mean depth?"),
        ("[forwarder.retrys]", "forwarder.retrys: unknown setting; did you mean retries?"),
        (
            "[forwarder.timeouts]\nconect = 1",
            "forwarder.timeouts.conect: unknown setting; did you mean connect?",
        ),
        (
            '[[engine]]\nkind = "yara"\n[[engine]]\nkind = "clamd"\nadress = 1',
            "engine[2].adress: unknown setting; did you mean address?",
        ),
        (
            '[[dnsbl.zone]]\nname = "a.example"\nwait = 1',
            "dnsbl.zone[1].wait: unknown setting; did you mean weight?",
        ),
        ("[[dnsbl.zone]]\nweight = 1", "dnsbl.zone[1].name: missing; it has no default"),
        (
            '[[dnsbl.zone]]\nname = "a.example"\ncodes = ["127.0.0.2", "10.0.0.1"]',
            f"dnsbl.zone[1].codes[2]: {CODES}; found '10.0.0.1'",
        ),
        (
            '[[dnsbl.zone]]\nname = "a.example"\nweight = 0',
            f"dnsbl.zone[1].weight: {WEIGHT}; found 0",
        ),
        (
            '[dnsbl]\nservers = ["dns.example"]',
            f"dnsbl.servers[1]: {SERVER}; found 'dns.example'",
        ),
        ('[rules]\ndelay = "1h"', "rules.delay: allowed: at most 600; found '1h'"),
        ('"a\\nb" = 1', f"a\\nb: unknown setting; allowed: {TABLES}"),
        ('root = "/"', "root: unknown setting; --spool names the spool"),
        ("site = 5", "site: allowed: a table; found 5"),
        ("bounds = 5", "bounds: allowed: a table; found 5"),
        ('[site]\ndomains = "x"', "site.domains: allowed: a list; found 'x'"),
        ('[site]\ndomains = ["a", "b c"]', f"site.domains[2]: {DOMAIN}; found 'b c'"),
        ("[site]\nhostname = 5", "site.hostname: allowed: words in quotes; found 5"),
        ('[site]\nadmin = "joe"', f"site.admin: {ADDRESS}; found 'joe'"),
        ('[site]\nadmin = "a@b\\nBcc: c@d"', f"site.admin: {ADDRESS}; found 'a@b\\nBcc: c@d'"),
        (
            '[site]\nnetworks = ["10.0.0.1/8"]',
            f"site.networks[1]: {NETWORK} (10.0.0.1/8 has host bits set); found '10.0.0.1/8'",
        ),
        ('[receiver]\nlisten = ["2525"]', f"receiver.listen[1]: {PLACE}; found '2525'"),
        ('[receiver]\nlisten = ["h:65536"]', f"receiver.listen[1]: {PLACE}; found 'h:65536'"),
        ("[receiver]\nhops = 0", "receiver.hops: allowed: 1 or more; found 0"),
        ("[receiver]\nhops = 1.5", "receiver.hops: allowed: a whole number; found 1.5"),
        ("[receiver]\nhops = true", "receiver.hops: allowed: a whole number; found True"),
        ('[receiver]\nhops = "5"', "receiver.hops: allowed: a whole number; found '5'"),
        ("[receiver]\nmax_size = true", "receiver.max_size: allowed: a whole number; found True"),
        ("[receiver]\nmax_size = -1", "receiver.max_size: allowed: 0 or more; found -1"),
        ('[receiver]\nmax_size = "50MB"', f"receiver.max_size: {SIZE}; found '50MB'"),
        (
            "[receiver]\ncommand_timeout = true",
            "receiver.command_timeout: allowed: a number; found True",
        ),
        (
            "[receiver]\ncommand_timeout = inf",
            "receiver.command_timeout: allowed: a finite number; found inf",
        ),
        (
            '[forwarder.timeouts]\ncommand = "5 min"',
            f"forwarder.timeouts.command: {TIME}; found '5 min'",
        ),
        (
            '[forwarder.retries]\nlongest = "2d"',
            "forwarder.retries.longest: allowed: at most 86400; found '2d'",
        ),
        (
            '[receiver]\nbare_lf = "maybe"',
            "receiver.bare_lf: allowed: 'refuse' or 'normalise'; found 'maybe'",
        ),
        (
            '[receiver]\nreverse_lookup = "perhaps"',
            "receiver.reverse_lookup: allowed: true or false; found 'perhaps'",
        ),
        (
            '[scanner]\nlimit = "pass"',
            "scanner.limit: allowed: 'hold' or 'quarantine'; found 'pass'",
        ),
        ("[bounds]\ndepth = 0", "bounds.depth: allowed: 1 or more; found 0"),
        ('[bounds]\nseconds = "soon"', f"bounds.seconds: {TIME}; found 'soon'"),
        (
            '[[engine]]\nname = "x"',
            "engine[1]: allowed: a kind, such as kind = \"yara\"; found {'name': 'x'}",
        ),
        (
            '[[engine]]\nkind = "norton"',
            "engine[1]: allowed: a kind of 'yara', 'clamd', 'command'; found {'kind': 'norton'}",
        ),
        ('[[engine]]\nkind = "command"', "engine[1].argv: missing; it has no default"),
    ],
)
def test_a_mistake_is_one_line_with_key_value_and_what_is_allowed(text: str, line: str) -> None:
    assert mistakes(text) == [line]


def test_all_mistakes_are_told_at_once() -> None:
    keys = [
        line.partition(":")[0]
        for line in mistakes("[receiver]\nhops = 0\nlisten = 5\n[scanner]\nworkers = -1\nx = 1")
    ]
    assert keys == ["receiver.listen", "receiver.hops", "scanner.workers", "scanner.x"]


def test_a_long_value_is_cut_and_stays_on_one_line() -> None:
    (line,) = mistakes(f'[receiver]\nbare_lf = "{"x" * 100_000}\\n\\u202e"')
    assert len(line) < 200


def test_what_is_not_toml_is_told_with_its_line() -> None:
    (line,) = mistakes("[site]\nhostname = \n")
    assert line.startswith("not TOML: ")
    assert "line 2" in line


def test_no_file_no_utf8_and_no_permission_are_told_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / config.FILE
    with pytest.raises(ConfigError, match=f"{file}: No such file or directory; `spoolscan init"):
        load(tmp_path)
    file.parent.mkdir()
    file.write_bytes(b"[site]\nhostname = '\xff'\n")
    with pytest.raises(ConfigError, match=f"{file}: not UTF-8"):
        load(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigError, match=f"{file}: Is a directory"):
        load(tmp_path)


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    settings = read("")
    with pytest.raises(ValueError, match="frozen"):
        settings.scanner.workers = 5


def test_the_command_line_says_it_and_exits_with_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / config.FILE
    file.parent.mkdir()
    file.write_text("[receiver]\nhops = 0\n")
    assert main(["--spool", str(tmp_path), "check"]) == 78
    said = capsys.readouterr()
    assert said.err == f"spoolscan: {file}: receiver.hops: allowed: 1 or more; found 0\n"
    assert said.out == ""
