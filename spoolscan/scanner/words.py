"""Text out of bytes: charsets, and the encoded words of RFC 2047 in every misuse seen in the wild.

`readings` answers with every text a mail client could make of the bytes, the likeliest first: words
decoded, decoded twice, and as they stand.  Words are taken without their white space, unclosed,
with bad padding, in unknown charsets, split inside a character, glued to other text, in quotes.

Guarantees: never raises on any bytes; takes time linear in them; looks up no charset that Python
does not ship (the codec registry remembers every name it is asked for, for ever).
Never: normalises, shortens or judges what it decodes; that is `names`.
"""

from __future__ import annotations

import binascii
import codecs
import re
from encodings.aliases import aliases

# Codecs that are no charsets, or that take quadratic time (punycode, idna).
_NO_CHARSET = frozenset(
    (
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "quopri_codec",
        "rot_13",
        "uu_codec",
        "zlib_codec",
        "mbcs",
        "oem",
        "idna",
        "punycode",
    )
)
_CHARSETS = {
    alias: codec
    for alias, codec in [*aliases.items(), *((codec, codec) for codec in aliases.values())]
    if codec not in _NO_CHARSET
} | {
    "x_sjis": "cp932",
    "x_gbk": "gb18030",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "gb_2312_80": "gb18030",
    "ks_c_5601_1987": "cp949",
    "x_unknown": "utf_8",
    "unicode_1_1_utf_7": "utf_7",
    "iso_8859_8_i": "iso8859_8",
    "unicode": "utf_16",
    "ucs_2": "utf_16",
    "ucs2": "utf_16",
}
_CHARSETS |= {label.replace("_", "-"): codec for label, codec in _CHARSETS.items()}
_NOT_LABEL = re.compile(r"[^a-z0-9]+")
# Other codecs a charset is read as: without its mark, or as browsers do.
_ALSO = {
    "latin_1": ("cp1252",),
    "iso8859_1": ("cp1252",),
    "utf_16": ("utf_16_le", "utf_16_be"),
    "utf_32": ("utf_32_le", "utf_32_be"),
}

_SURROGATE = re.compile("[\ud800-\udfff]")  # UTF-7 can spell one; nothing can be written with it

_ASCII = bytes(range(33, 127))
_PRINTABLE = _ASCII.decode("ascii")
_WORD = re.compile(rb"=\?([^?\r\n]{0,80})\?([bBqQ])\?(.*?)(?:\?=|\Z)", re.DOTALL)
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def load() -> None:
    """Have every charset in memory: Python reads each from a file when it is first needed."""
    for codec in sorted(set(_CHARSETS.values()).union(*_ALSO.values())):
        codecs.lookup(codec)


def text(data: bytes) -> str:
    """Bytes of no stated charset: UTF-8 where they are, else one character a byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def decode(data: bytes, charset: str) -> list[str]:
    """Every text the bytes are in the charset; UTF-16 without a mark is read in both orders."""
    label = charset[:80].lower()
    codec = _CHARSETS.get(label) or _CHARSETS.get(_NOT_LABEL.sub("_", label.partition("*")[0]))
    if codec is None:
        return [text(data)]
    found: list[str] = []
    for name in (codec, *_ALSO.get(codec, ())):
        try:
            found.append(data.decode(name))
        except (UnicodeError, ValueError):
            continue
    # A wide charset read in the wrong order is no text: what has ASCII in it comes first.
    found.sort(key=lambda reading: not any("!" <= letter <= "~" for letter in reading[-8:]))
    found = found or [data.decode(codec, "replace"), text(data)]
    return list(dict.fromkeys(_SURROGATE.sub("\ufffd", reading) for reading in found))


def recoded(data: bytes, charset: str) -> list[bytes]:
    """Text in a charset that hides ASCII (UTF-16, UTF-7, EBCDIC ...) as UTF-8; else nothing."""
    label = charset[:80].lower()
    codec = _CHARSETS.get(label) or _CHARSETS.get(_NOT_LABEL.sub("_", label))
    if codec is None or (codec != "utf_7" and _ASCII.decode(codec, "replace") == _PRINTABLE):
        return []
    return [reading.encode("utf-8", "replace") for reading in decode(data, charset)]


def readings(data: bytes, charset: str = "") -> list[str]:
    """Every text a client could show for the bytes, likeliest first; never empty."""
    plain = decode(data, charset) if charset else [text(data)]
    if not plain[0].isascii() and "\ufffd" not in plain[0]:
        plain.append(data.decode("utf-8", "replace"))
    if b"=?" not in data:
        return plain
    once = decode_words(data)
    found = [once, *plain]
    if "=?" in once:
        found.insert(1, decode_words(once.encode("utf-8", "surrogateescape")))
    found.extend(_other_order(data))
    return list(dict.fromkeys(found))


def decode_words(data: bytes) -> str:
    """The text with every encoded word decoded and the space between two of them removed."""
    return _join(data, last=False)


def _other_order(data: bytes) -> list[str]:
    """The same with the less likely text of each word: UTF-16 the other way round."""
    return [_join(data, last=True)] if b"16" in data else []


def _join(data: bytes, *, last: bool) -> str:
    out: list[str] = []
    charset, kind, pieces = "", b"", [b""]
    end = 0
    for match in _WORD.finditer(data):
        gap = data[end : match.start()]
        here, how = match[1].decode("latin-1").lower(), match[2].lower()
        if end and not gap.strip() and (here, how) == (charset, kind):
            pieces.append(match[3])
        else:
            out.append(_word(pieces, charset, kind, last=last))
            if gap.strip() or not end:
                out.append(text(gap))
            charset, kind, pieces = here, how, [match[3]]
        end = match.end()
    out.append(_word(pieces, charset, kind, last=last))
    out.append(text(data[end:]))
    return "".join(out)


def _word(pieces: list[bytes], charset: str, kind: bytes, *, last: bool) -> str:
    if kind == b"b":
        raw = _base64(pieces)
    else:
        raw = b"".join(pieces).replace(b"_", b" ")
        raw = _HEX.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), raw)
    return decode(raw, charset)[-1 if last else 0]


def _base64(pieces: list[bytes]) -> bytes:
    """Pieces without padding run on into the next, as some senders cut anywhere."""
    out: list[bytes] = []
    run = b""
    for piece in pieces:
        run += piece.translate(_URL_SAFE, _NOT_BASE64)
        if piece.rstrip().endswith(b"="):
            out.append(_base64_run(run))
            run = b""
    out.append(_base64_run(run))
    return b"".join(out)


def _base64_run(letters: bytes) -> bytes:
    whole = len(letters) - (len(letters) % 4 == 1)
    return binascii.a2b_base64(letters[:whole] + b"=" * (-whole % 4))
