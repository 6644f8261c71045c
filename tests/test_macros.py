"""Macros: what each document is given points for, and what none may be."""

from __future__ import annotations

import pytest
from documents import (
    AUTO_OPEN,
    EXEC,
    NAMED_AUTO_OPEN,
    PLAIN,
    TYPES,
    docm,
    docx,
    field,
    formula,
    module,
    project,
    record,
    relations,
    xls,
)
from hypothesis import given
from hypothesis import strategies as st
from letters import with_attachment

from spoolscan.cli.samples import examples
from spoolscan.cli.specimens import compound, zipped
from spoolscan.scanner.bounds import Bounds, Budget
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.macros import MacroPolicy, dde, ooxml
from spoolscan.scanner.macros.score import Macros
from spoolscan.scanner.patterns import Patterns
from spoolscan.scanner.unpack import Member, biff, unpack
from spoolscan.scanner.unpack.meter import Meter
from spoolscan.verdict import Finding, Report, Verdict

NOTHING = Patterns.parse(b"", "none")


def report(name: str, content: bytes, policy: MacroPolicy | None = None) -> Report:
    """Of a mail with one attachment, by no engine and no pattern."""
    tools = Tools(bad=NOTHING, doc=NOTHING, engines=(), macros=policy or MacroPolicy())
    return inspect(with_attachment("x", name, content), tools).report


def macro_findings(name: str, content: bytes) -> list[Finding]:
    return [it for it in report(name, content).findings if it.engine == "macros"]


def points(name: str, content: bytes) -> int:
    return sum(int(it.name.split()[1]) for it in macro_findings(name, content))


def words(name: str, content: bytes) -> str:
    return "; ".join(finding.name for finding in macro_findings(name, content))


AUTO_SHELL = module("Sub AutoOpen()", '  Shell "calc"', "End Sub")

QUARANTINED: dict[str, tuple[str, bytes]] = {
    "a .doc that starts a program": ("a.doc", project(AUTO_SHELL)),
    "a .docm that starts a program": ("a.docm", docm(AUTO_SHELL)),
    "start and deed in two modules": (
        "a.docm",
        docm(
            module("Private Sub Document_Open()", "Go", "End Sub"),
            module("Sub Go()", 'Set x = CreateObject("MSXML2.XMLHTTP")', "End Sub"),
        ),
    ),
    "a workbook that fetches": (
        "a.xlsm",
        docm(module("Sub Workbook_Open()", "URLDownloadToFileA 0, u, f, 0, 0", "End Sub")),
    ),
    "words put together": (
        "a.doc",
        project(
            module("Sub Auto_Open()", 'x = "po" & _', ' "wer" & Chr(115) & "hell"', "End Sub")
        ),
    ),
    "a control that starts it": (
        "a.doc",
        project(module("Sub Image1_Layout(x)", "GetObject(y).Run z", "End Sub", "' x")),
    ),
    "a Shell by hand": ("a.doc", project(module("Sub Go()", "Shell x", "End Sub"))),
    "one that starts itself, whatever it does": (
        "a.xlsm",
        docm(module("Sub Workbook_Open()", 'MsgBox "Hello"', "End Sub")),
    ),
    "a project without source": ("a.doc", project("p-code only")),
    "a project in a document that denies it": ("a.docx", docm(module(), main=PLAIN)),
    "a hidden macro sheet": ("a.xls", xls(2)),
    "a macro sheet that starts itself": ("a.xls", xls(0, AUTO_OPEN)),
    "a macro sheet named to start itself": ("a.xls", xls(1, NAMED_AUTO_OPEN)),
    "a macro sheet that runs a program": ("a.xls", xls(0, EXEC)),
    "a macro sheet in a zip": (
        "a.xlsm",
        zipped(("xl/macrosheets/sheet1.xml", b'<?xml version="1.0"?><xm:macrosheet xmlns="x"/>')),
    ),
    "a macro sheet in an .xlsb": ("a.xlsb", zipped(("xl/macrosheets/sheet1.bin", b"\x81\1\0"))),
    "a macro sheet by its type": (
        "a.xlsx",
        zipped(
            (
                "[Content_Types].xml",
                TYPES.format(bin="application/vnd.ms-excel.macrosheet+xml", main="x").encode(),
            )
        ),
    ),
    "a template from the Internet": (
        "a.docx",
        docx(relations("attachedTemplate", "https://example.com/a.dotm")),
    ),
    "a template by MHTML, in UTF-16": (
        "a.docx",
        zipped(
            (
                "word/_rels/settings.xml.rels",
                relations("attachedTemplate", "mhtml:http://a/b")[1].decode().encode("utf-16"),
            )
        ),
    ),
    "an object from the Internet": (
        "a.docx",
        docx(relations("oleObject", "http://example.com/a.html!")),
    ),
    "an RTF template": ("a.rtf", b"{\\rtf1{\\*\\template http://example.com/x}}"),
    "DDE in one run": ("a.docx", zipped(("word/document.xml", field('DDEAUTO c:\\cmd.exe "/k"')))),
    "DDE in many runs": (
        "a.docx",
        zipped(("word/document.xml", field("DD", "EAU", "TO c:\\windows\\", "cmd.exe /k x"))),
    ),
    "DDE with entities": (
        "a.docx",
        zipped(("word/document.xml", field("&#68;DE &quot;powershell&quot; x"))),
    ),
    "DDE by numbers": (
        "a.docx",
        zipped(("word/document.xml", field("DDE { QUOTE 99 109 100 } x"))),
    ),
    "DDE in an attribute": (
        "a.docx",
        zipped(("word/document.xml", b'<w:d><w:fldSimple w:instr="DDE mshta x"/></w:d>')),
    ),
    "DDE in RTF": (
        "a.rtf",
        b"{\\rtf1{\\field{\\*\\fldinst {\\b DDE}{\\i AUTO} c:\\\\\\\\cmd.exe \"/k\"}}}",
    ),
    "DDE in the second field": (
        "a.rtf",
        b"{\\rtf1{\\fldinst PAGE}" + b" " * 450 + b'{\\fldinst DDEAUTO cmd.exe "/k"}}',
    ),
    "DDE in a .doc": (
        "a.doc",
        compound(("WordDocument", "\x13 DDEAUTO c:\\cmd.exe /k\x14".encode("utf-16-le"))),
    ),
    "a DDE link": (
        "a.xlsx",
        zipped(("xl/externalLinks/a.xml", b'<e><ddeLink ddeService="cmd" ddeTopic="/c x"/></e>')),
    ),
    "a DDE formula": ("a.xml", b'<?xml version="1.0"?><Cell ss:Formula="=cmd|\' /c x\'!A0"/>'),
    "a DDE formula in a table": ("a.csv", b"name,sum\r\nx,\"=cmd|' /c calc'!A0\"\r\n"),
}  # fmt: skip

NOTED: dict[str, tuple[str, bytes, int]] = {
    "a macro started by hand": (
        "a.docm",
        docm(module("Sub Sort()", "Rows.Sort", "End Sub")),
        10,
    ),
    "one that makes an object when it is told to": (
        "a.xlsm",
        docm(module("Sub Mail()", 'Set o = CreateObject("Outlook.Application")', "End Sub")),
        20,
    ),
    "an Excel 4 sheet of functions": ("a.xls", xls(0, formula(b"\x1e\1\0")), 20),
    "a template on a server": (
        "a.docx",
        docx(relations("attachedTemplate", "file:///\\\\server\\share\\a.dotx")),
        25,
    ),
    "a DDE field for figures": (
        "a.docx",
        zipped(("word/document.xml", field('DDE Excel.Sheet "a.xls" R1'))),
        25,
    ),
}

HARMLESS: dict[str, tuple[str, bytes]] = {
    "a letter": ("a.docx", docx(main=PLAIN)),
    "an empty project": ("a.xls", project(module("Option Explicit", "' Sub x"))),
    "a workbook": ("a.xls", xls(0, kind=0)),
    "a workbook with a hidden sheet": ("a.xls", xls(2, AUTO_OPEN, EXEC, kind=0)),
    "a template of one's own": (
        "a.docx",
        docx(relations("attachedTemplate", "file:///C:\\Users\\a\\Normal.dotm"), main=PLAIN),
    ),
    "a link": ("a.docx", zipped(relations("hyperlink", "https://example.com/"))),
    "a linked picture": ("a.docx", zipped(relations("image", "https://example.com/a.png"))),
    "words about DDE": ("a.docx", zipped(("word/document.xml", field("REF DDEAUTOMATIC cmd")))),
    "figures by DDE": (
        "a.xlsx",
        zipped(("xl/externalLinks/a.xml", b'<e><ddeLink ddeService="quotes" ddeTopic="x"/></e>')),
    ),
    "words about macros": ("a.txt", b"Sub AutoOpen() then Shell, CreateObject, powershell.\r\n"),
    "a table": ("a.csv", b"name,sum\r\nx,=A1+B2\r\ny,-5|6\r\n+49 30 1234,cmd\r\n"),
    "an RTF letter": ("a.rtf", b"{\\rtf1{\\*\\template Normal.dotm}{\\fldinst HYPERLINK x}}"),
    "an archive of sources": ("a.zip", zipped(("src/vbaProject.bin.txt", b"x"), ("a.vb", b"y"))),
}


@pytest.mark.parametrize("case", QUARANTINED)
def test_what_does_something_goes_to_quarantine(case: str) -> None:
    name, content = QUARANTINED[case]
    assert points(name, content) >= 35, words(name, content)
    assert report(name, content).verdict is Verdict.BANNED


@pytest.mark.parametrize("case", NOTED)
def test_what_need_not_be_bad_is_noted_and_passes(case: str) -> None:
    name, content, expected = NOTED[case]
    assert points(name, content) == expected, words(name, content)
    assert report(name, content).verdict is Verdict.CLEAN


@pytest.mark.parametrize("case", HARMLESS)
def test_what_has_no_macro_is_untouched(case: str) -> None:
    assert macro_findings(*HARMLESS[case]) == []


def test_a_finding_says_which_document_and_why() -> None:
    [finding] = macro_findings("a.docm", docm(AUTO_SHELL))
    assert finding.path == ("a.docm", "word/vbaProject.bin")
    assert finding.name == "macros, 65 points: VBA, starts by itself, starts programs"


def test_two_documents_are_not_added_up() -> None:
    calm = docm(module("Sub Go()", "Application.Run x", "End Sub"))
    loud = docm(module("Sub Go()", "Set x = GetObject(y)", "End Sub"))
    assert points("c.zip", zipped(("a.docm", calm))) == 25
    both = zipped(("a.docm", calm), ("b.docm", loud))
    assert [finding.verdict for finding in macro_findings("both.zip", both)] == [Verdict.CLEAN] * 2


@pytest.mark.parametrize(
    ("mark_at", "quarantine_at", "verdict", "count"),
    [(1, 1000, Verdict.CLEAN, 1), (1000, 1000, Verdict.CLEAN, 0), (1, 10, Verdict.BANNED, 1)],
)
def test_the_policy_says_from_when_on(
    mark_at: int, quarantine_at: int, verdict: Verdict, count: int
) -> None:
    content = docm(module("Sub Go()", "End Sub"))
    found = report("a.docm", content, MacroPolicy(mark_at, quarantine_at))
    assert (found.verdict, len(found.findings)) == (verdict, count)


def test_the_macros_of_an_xls_are_a_member_in_words() -> None:
    document = xls(2, AUTO_OPEN, EXEC)
    members = [it for it in unpack(document, Budget(Bounds())) if isinstance(it, Member)]
    listing = [b"' Excel 4 macro sheet, very hidden", b"name auto_open", b"calls EXEC"]
    assert [(it.name, it.data) for it in members] == [
        ("Workbook.xlm", b"\n' ".join([*listing, b"text cmd.exe /"]) + b"\n")
    ]


def test_the_messages_of_the_demo_without_a_macro_have_no_points() -> None:
    for example in examples():
        tools = Tools(bad=NOTHING, doc=NOTHING, engines=())
        found = inspect(example.content, tools).report.findings
        told = any(it.engine == "macros" for it in found)
        assert told == (example.title == "a document with a macro"), example.title


@pytest.mark.parametrize(
    ("name", "head", "piece"),
    [
        ("a.xml", b"<?xml version='1.0'?>", b"<w:instrText>D</w:instrText>"),
        ("a.rels", b"<?xml version='1.0'?>", b'<Relationship Target="x"/>'),
        ("a.rtf", b"{\\rtf1", b"\\fldinst x "),
    ],
)
def test_what_has_more_of_them_than_are_read_is_not_clean(
    name: str, head: bytes, piece: bytes
) -> None:
    assert words(name, head + piece * 24_000) == ""
    assert "more fields or relationships than are read" in words(name, head + piece * 50_001)


@given(
    st.lists(st.tuples(st.sampled_from([0x06, 0x0A, 0x18, 0x85, 0x809]), st.binary(max_size=40)))
)
def test_whatever_the_records_of_a_workbook_reading_them_ends(
    records: list[tuple[int, bytes]],
) -> None:
    stream = b"".join(record(kind, body) for kind, body in records)
    listing = biff.macros(stream, Meter(Budget(Bounds()), len(stream)))
    assert listing == b"" or listing.startswith(b"' Excel 4 macro sheet")


@given(
    st.sampled_from(
        [b"", b"<x ", b"{\\rtf1", b"Attribute VB_Name", b"\xff\xfe", b"\xd0\xcf\x11\xe0"]
    ),
    st.binary(max_size=300),
    st.sampled_from(["", "a.csv", "xl/macrosheets/a.bin"]),
)
def test_whatever_the_bytes_looking_never_raises(head: bytes, rest: bytes, name: str) -> None:
    macros = Macros()
    macros.look(head + rest, (name,))
    macros.look(head + rest, ())
    for finding in macros.findings(MacroPolicy()):
        assert finding.name.startswith("macros, ")


@pytest.mark.parametrize(
    "part",
    [
        b"<w:fldSimple w:instr='DDEAUTO cmd /k calc'/>",
        b"<w:instrText><![CDATA[DDEAUTO cmd /k calc]]></w:instrText>",
        b"<w:instrText>DDE<!-- - -- -->AUTO cmd /k calc</w:instrText>",
        b"<w:instrText x='" + b"a" * 300 + b"'>DDEAUTO cmd /k calc</w:instrText>",
    ],
    ids=["single quotes", "CDATA", "comment", "long attribute"],
)
def test_xml_is_read_in_all_its_ways_of_writing(part: bytes) -> None:
    assert dde.COMMAND in set(ooxml.of_part(b"<w:document>" + part + b"</w:document>"))


def test_attributes_may_be_long_and_have_any_letter() -> None:
    told = b'Type="x/attachedTemplate" Target="http://a.example/" TargetMode="External"'
    for other in (b'Id="r>1"', b"Id='\">'", b'Id="%b"' % (b"a" * 2000)):
        part = b"<Relationships><Relationship %b %b/></Relationships>" % (other, told)
        assert ooxml.TEMPLATE in set(ooxml.of_part(part))
