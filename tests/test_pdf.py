"""PDF files and OneNote sections: what lies in them, and what they would do."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import itertools
import zlib

import pytest
from containers import object_stream, onenote, pdf, pdf_stream
from unpacking import THE_FILE, causes, found_in

from spoolscan import share
from spoolscan.cli.specimens import NAME, PAYLOAD
from spoolscan.scanner.bounds import Bounds, Budget, LimitReached
from spoolscan.scanner.engines import Sample, YaraSettings, build
from spoolscan.scanner.passwords import Keys
from spoolscan.scanner.unpack import Member, unpack
from spoolscan.scanner.unpack.pdfcrypt import _rc4 as rc4
from spoolscan.verdict import Cause, Doubt

CATALOG = b"<< /Type /Catalog >>"


def embedded(packed: bytes, filters: bytes) -> bytes:
    spec = b"<< /F (%s) /EF << /F 3 0 R >> >>" % NAME.encode()
    return pdf(CATALOG, spec, pdf_stream(packed, b"/Filter " + filters))


def lzw(data: bytes) -> bytes:
    """Without a repetition: the table is cleared before a code takes ten bits."""
    bits = ""
    for at in range(0, len(data), 200):
        bits += f"{256:09b}" + "".join(f"{byte:09b}" for byte in data[at : at + 200])
    bits += f"{257:09b}"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def run_length(data: bytes) -> bytes:
    pieces = (data[at : at + 128] for at in range(0, len(data), 128))
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces) + b"\x80"


# --- embedded files


@pytest.mark.parametrize(
    ("packed", "filters"),
    [
        (zlib.compress(PAYLOAD), b"/FlateDecode"),
        (zlib.compress(PAYLOAD), b"[ /F#6cate#44ecode ]"),
        (binascii.hexlify(PAYLOAD) + b">", b"/ASCIIHexDecode"),
        (base64.a85encode(PAYLOAD, wrapcol=70) + b"~>", b"/ASCII85Decode"),
        (lzw(PAYLOAD), b"/LZWDecode"),
        (run_length(PAYLOAD), b"/RunLengthDecode"),
        (base64.a85encode(zlib.compress(PAYLOAD)) + b"~>", b"[ /A85 /Fl ]"),
        (PAYLOAD, b"null"),
    ],
    ids=["Flate", "Flate in #xx", "hexadecimal", "base 85", "LZW", "run length", "two", "none"],
)
def test_an_embedded_file_comes_out_by_its_filters(packed: bytes, filters: bytes) -> None:
    found = found_in(embedded(packed, filters))
    assert THE_FILE in found
    assert not [item for item in found if isinstance(item, Doubt)]


def test_lzw_repeats_what_it_is_just_making_in_codes_that_grow() -> None:
    codes, width, bits = [256, 97, *range(258, 700), 257], 9, ""
    for number, code in enumerate(codes):
        bits += f"{code:0{width}b}"
        width = max(9, (258 + number).bit_length())
    bits += "0" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8)
    assert found_in(embedded(packed, b"/LZWDecode")) == [Member(NAME, b"a" * sum(range(1, 444)))]


def test_every_name_of_an_embedded_file_is_told() -> None:
    spec = b"<< /F (a.txt) /UF <FEFF0062002E006A0073> /EF << /F 3 0 R >> >>"
    found = found_in(pdf(CATALOG, spec, pdf_stream(PAYLOAD)))
    assert found == [Member("b.js", PAYLOAD), Member("a.txt", PAYLOAD)]


def test_a_file_whose_length_lies_or_stands_elsewhere_comes_out_whole() -> None:
    spec = b"<< /F (%s) /EF << /F 3 0 R >> >>" % NAME.encode()
    for length in (b"/Length 7", b"/Length -200", b"/Length 4 0 R", b"/Length 99999", b""):
        stream = b"<< /Filter /FlateDecode " + length + b" >> stream\r\n"
        stream += zlib.compress(PAYLOAD) + b"\nendstream"
        assert found_in(pdf(CATALOG, spec, stream, b"9")) == [THE_FILE]


def test_a_file_specified_in_an_object_stream_has_its_name() -> None:
    hidden = object_stream((9, b"<< /F (%s) /EF << /F 3 0 R >> >>" % NAME.encode()))
    found = found_in(pdf(CATALOG, hidden, pdf_stream(PAYLOAD)))
    assert THE_FILE in found


def test_a_program_in_any_stream_is_found_by_its_content() -> None:
    stream = pdf_stream(zlib.compress(PAYLOAD), b"/Type /Page /Filter /FlateDecode")
    assert found_in(pdf(CATALOG, stream)) == [Member("", PAYLOAD)]


def test_an_embedded_file_behind_a_filter_of_pictures_is_a_doubt() -> None:
    assert causes(embedded(PAYLOAD, b"/DCTDecode")) == {Cause.UNREADABLE}


def test_an_ordinary_page_is_nothing() -> None:
    page = b"<< /Type /Page /Contents 3 0 R /MediaBox [ 0 0 595 842 ] >>"
    text = pdf_stream(zlib.compress(b"BT /F1 12 Tf (Hello) Tj ET" * 99), b"/Filter /FlateDecode")
    assert found_in(pdf(CATALOG, page, text)) == []


def test_an_embedded_file_that_breaks_off_is_a_doubt() -> None:
    assert causes(embedded(zlib.compress(PAYLOAD)[:-30], b"/FlateDecode")) == {Cause.UNREADABLE}


def encrypted(revision: int, word: bytes = b"") -> bytes:
    """By RC4 of 40 or 128 bits; a string is encrypted too."""
    owner, identity, size = bytes(range(32)), b"0123456789abcdef", 5 if revision == 2 else 16
    padding = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
    key = md5((word + padding)[:32] + owner + b"\xfc\xff\xff\xff" + identity)
    for _ in range(0 if revision == 2 else 50):
        key = md5(key[:size])
    key = key[:size]
    check = rc4(key, padding if revision == 2 else md5(padding + identity))
    for turn in range(1, 1 if revision == 2 else 20):
        check = rc4(bytes(byte ^ turn for byte in key), check)

    def locked(number: int, data: bytes) -> bytes:
        return rc4(md5(key + bytes([number, 0, 0, 0, 0]))[: min(16, size + 5)], data)

    about = b"<< /Filter /Standard /V %d /R %d /Length %d /P -4 /O <%s> /U <%s> >>" % (
        *(revision - 1, revision, size * 8),
        *(owner.hex().encode(), check.ljust(32, b"\0").hex().encode()),
    )
    spec = b"<< /F <%s> /EF << /F 3 0 R >> >>" % locked(2, NAME.encode()).hex().encode()
    trailer = b"/Root 1 0 R /Encrypt 4 0 R /ID [ (%s) (x) ]" % identity
    return pdf(CATALOG, spec, pdf_stream(locked(3, PAYLOAD)), about, trailer=trailer)


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


@pytest.mark.parametrize("revision", [2, 3])
def test_what_is_encrypted_without_a_password_is_open_to_everybody(revision: int) -> None:
    assert found_in(encrypted(revision)) == [THE_FILE]


@pytest.mark.parametrize("revision", [2, 3])
def test_what_is_encrypted_with_a_password_is_opened_by_it(revision: int) -> None:
    data = encrypted(revision, b"secret")
    assert found_in(data) == [Doubt(Cause.ENCRYPTED, "PDF is encrypted")]
    keys = Keys(("wrong", "secret"), most=9, seconds=60)
    found = list(unpack(data, Budget(Bounds(), keys=keys)))
    assert THE_FILE in found
    assert [item.cause for item in found if isinstance(item, Doubt)] == [Cause.UNLOCKED]


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256-R5", "AES-256"])
@pytest.mark.parametrize("word", ["", "secret"])
def test_what_others_encrypt_is_opened(algorithm: str, word: str) -> None:
    pypdf = pytest.importorskip("pypdf")
    pytest.importorskip("cryptography")
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.add_attachment(NAME, PAYLOAD)
    writer.encrypt(word, "the owner's", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    keys = Keys(("wrong", "secret"), most=9, seconds=60)
    assert THE_FILE in list(unpack(out.getvalue(), Budget(Bounds(), keys=keys)))
    assert (causes(out.getvalue()) == {Cause.ENCRYPTED}) is (word != "")


def test_a_trailer_that_says_otherwise_makes_an_encrypted_document_a_doubt() -> None:
    assert causes(encrypted(3) + b"trailer << /Root 1 0 R >>") == {Cause.ENCRYPTED}


def test_what_is_encrypted_in_a_strange_way_is_a_doubt() -> None:
    trailer = b"/Root 1 0 R /Encrypt 2 0 R"
    protected = pdf(CATALOG, b"<< /Filter /Strange /V 9 >>", trailer=trailer)
    assert causes(protected) == {Cause.ENCRYPTED}


# --- scripts and actions


def yara_of(data: bytes) -> set[str]:
    """What the shipped rules say of a document and of its members."""
    [engine] = build([YaraSettings(rules=share.folder("etc") / "rules")])
    members = [item.data for item in found_in(data) if isinstance(item, Member)]
    samples = [Sample((str(number),), item) for number, item in enumerate([data, *members])]
    return {finding.name for finding in engine.scan(samples)}


def test_a_script_is_a_member_from_a_string_and_from_a_stream() -> None:
    strings = pdf(b"<< /OpenAction << /S /JavaScript /J#53 (app.alert\\(1\\)) >> >>")
    assert Member("JavaScript", b"app.alert(1)") in found_in(strings)
    code = pdf_stream(zlib.compress(b"app.alert(2)"), b"/Filter /FlateDecode")
    assert Member("JavaScript", b"app.alert(2)") in found_in(pdf(b"<< /S /X /JS 2 0 R >>", code))


def test_what_object_streams_hide_is_seen_by_the_rules() -> None:
    launch = (9, b"<< /#4caunch 1 /S /La#75nch /F (cmd.exe) >>")
    hidden = pdf(b"<< /OpenAction 9 0 R >>", object_stream(launch))
    assert "PDF.Launch" in yara_of(hidden)
    script = (9, b"<< /S /JavaScript /JS (eval\\(x\\)) >>")
    assert "PDF.JavaScript" in yara_of(pdf(b"<< /OpenAction 9 0 R >>", object_stream(script)))


def test_a_document_that_only_prints_itself_is_no_harm() -> None:
    script = (9, b"<< /S /JavaScript /JS (this.print\\({bUI:true}\\);) >>")
    assert yara_of(pdf(b"<< /OpenAction 9 0 R >>", object_stream(script))) == set()


def test_an_object_stream_with_a_predictor_is_read() -> None:
    places = b"9 0 "
    body = places + b"<< /S /Launch >>"
    rows = b""
    above = bytes(4)
    for at in range(0, len(body), 4):
        row = body[at : at + 4].ljust(4)
        rows += b"\2" + bytes((one - two) & 0xFF for one, two in zip(row, above, strict=True))
        above = row
    about = b"/Type /ObjStm /N 1 /First 4 /Filter /FlateDecode"
    about += b" /DecodeParms << /Predictor 12 /Columns 4 >>"
    (member,) = found_in(pdf(CATALOG, pdf_stream(zlib.compress(rows), about)))
    assert isinstance(member, Member)
    assert b"/S /Launch" in member.data


# --- what readers of PDF take, and what they do not read alike

SCRIPT = b"@echo off\r\nrem nothing that is a file by its content\r\n" * 4
PACKED = pdf_stream(zlib.compress(SCRIPT), b"/Filter /FlateDecode")
SPEC = b"<< /F (a.bat) /EF << /F 3 0 R >> >>"
IN_85 = base64.a85encode(SCRIPT) + b"~>"
PLAIN = pdf(CATALOG, SPEC, PACKED)


def differences(data: bytes) -> bytes:
    """TIFF's predictor."""
    return data[:1] + bytes(two - one & 0xFF for one, two in itertools.pairwise(data))


def predicted(packed: bytes, parameters: bytes, *more: bytes) -> bytes:
    about = b"/Filter [ /FlateDecode ] /DecodeParms " + parameters
    return pdf(CATALOG, SPEC, pdf_stream(zlib.compress(packed), about), *more)


LENGTH = b"%d" % len(SCRIPT)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.replace(b"3 0 obj", b"3 000000 obj").replace(b"3 0 R", b"000000000003 000000 R"),
        PLAIN.replace(b"3 0 obj", b"3 % 3 0 obj\n0 obj"),
        PLAIN.replace(b"3 0 obj", b"3 0 %\robj"),
        PLAIN.replace(b"3 0 R", b"3 %\n0 R"),
        PLAIN.replace(b"3 0 obj", b"9 0 obj3 0 obj"),
        pdf(CATALOG, b"<< /F (a.bat) /EF << /F 4 0 R >> >>", PACKED, b"5 0 R", b"3 0 R"),
        pdf(CATALOG, b"<< /S /JavaScript /JS 4 0 R >>", PACKED, b"3 0 R"),
        pdf(CATALOG, b"<< /XFA 4 0 R >>", PACKED, b"[ (form) 3 0 R ]"),
        pdf(CATALOG, SPEC, pdf_stream(IN_85, b"/F /ASCII85Decode")),
        pdf(CATALOG, SPEC, pdf_stream(IN_85, b"/Filter 4 0 R"), b"5 0 R", b"/ASCII85Decode"),
        pdf(CATALOG, SPEC, pdf_stream(IN_85, b"/Filter /A85 /DecodeParms << /Predictor 12 >>")),
        predicted(differences(SCRIPT), b"<< /Predictor 2 /Columns %b >>" % LENGTH),
        predicted(
            b"\1" + differences(SCRIPT).ljust(70000, b" "), b"<</Predictor 11/Columns 70000>>"
        ),
        predicted(b"\2" + SCRIPT, b"[ 4 0 R ]", b"<</Predictor 5 0 R/Columns %b>>" % LENGTH, b"12"),
        PLAIN.replace(b"%PDF-1.7", b"%FDF-1.2"),
        PLAIN.replace(b"%PDF-1.7", b""),
        bytes(2000) + PLAIN,
    ],
    ids=[
        *("noughts", "comment in a number", "comment before obj", "comment in a reference"),
        *("obj and number in one", "a long way to a file", "to a script", "to a form"),
        *("short for Filter", "a long way to a filter", "predictor of what has none"),
        *("TIFF predictor", "wide rows", "a long way to the predictor"),
        *("FDF", "no beginning", "beginning far on"),
    ],
)
def test_what_some_reader_takes_is_found(data: bytes) -> None:
    assert any(SCRIPT in item.data for item in found_in(data) if isinstance(item, Member))


@pytest.mark.parametrize(
    "data",
    [
        pdf(CATALOG, SPEC, pdf_stream(IN_85, b"/Filter /Crypt /Filter /ASCII85Decode")),
        pdf(CATALOG, SPEC, pdf_stream(IN_85, b"/Filter /Crypt /F /ASCII85Decode")),
        pdf(CATALOG, b"<< /F (a.bat) /EF null /EF << /F 3 0 R >> >>", PACKED),
        pdf(CATALOG, SPEC, PACKED.replace(b"\nstream", b" " * 300 + b"\nstream")),
        pdf(CATALOG, SPEC, PACKED.replace(b"<<", b"<< /Pad (" + b"x" * (1 << 20) + b")")),
        pdf(CATALOG, SPEC, PACKED.replace(b"<<", b"<< /Pad " + b"[" * 70 + b"]" * 70)),
        predicted(differences(SCRIPT), b"<< /Predictor 2 /BitsPerComponent 4 >>"),
        predicted(b"\2" + SCRIPT, b"<< /Predictor 12 /Columns %d >>" % (1 << 30)),
    ],
    ids=[
        *("two filters", "two kinds of filter", "two sets of files", "stream far behind"),
        *("a long object", "a deep one", "TIFF predictor of bits", "endless rows"),
    ],
)
def test_what_is_not_read_alike_is_not_clean(data: bytes) -> None:
    assert Cause.UNREADABLE in causes(data)


# --- bounds


@pytest.mark.parametrize(
    "bomb",
    [
        embedded(zlib.compress(zlib.compress(bytes(1 << 22))), b"[ /Fl /Fl ]"),
        embedded(b"\x81\0" * 99999, b"/RunLengthDecode"),
        b"%PDF-" + b"1 0 obj (" * 20000,
        pdf(*[pdf_stream(zlib.compress(PAYLOAD), b"/Filter /Fl /Type /EmbeddedFile")] * 200),
    ],
    ids=["two filters", "run length", "strings", "many"],
)
def test_a_bomb_ends_at_the_bounds(bomb: bytes) -> None:
    with pytest.raises(LimitReached):
        found_in(bomb, Bounds(decoded_bytes=1 << 16, seconds=5))


def test_comments_cost_no_time() -> None:
    for comments in (b"1 0 obj<<>>%" * 9999, b"1 0 obj<<>>" + b"%" * 99999, b"1%x\n0%\nobj" * 999):
        assert not [it for it in found_in(b"%PDF-1.7\n" + comments) if isinstance(it, Member)]


def test_deep_nesting_costs_no_stack() -> None:
    assert causes(pdf(b"[" * 99999 + b"]" * 99999, b"<< /A " * 9999)) == {Cause.UNREADABLE}


# --- OneNote


def test_every_file_in_a_section_is_found() -> None:
    assert found_in(onenote(PAYLOAD, b"two")) == [Member("", PAYLOAD), Member("", b"two")]


def test_a_section_cut_short_is_a_doubt() -> None:
    assert causes(onenote()[:-200]) == {Cause.UNREADABLE}


def test_a_section_as_a_server_packs_it_is_not_opened() -> None:
    assert causes(onenote()[:48] + bytes(16) + onenote()[64:]) == {Cause.UNOPENED}
