"""Mutational fuzzing of everything that reads hostile bytes: seeds, mutations, targets, rounds.

A target is a function that takes any bytes and must come back, soon, without an exception; it
answers with a few words of what it saw.  An input whose words are new joins the pool it was bred
from, so that the fuzzer walks into code that its seeds do not reach.  Seeds are our own.

The same seed and count give the same inputs.  `rounds` is used by tests/test_fuzz.py for some
thousand inputs and by tests/bench/fuzz.py for millions.
"""

from __future__ import annotations

import base64
import json
import random
import signal
import struct
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import containers
from fuzzing import Crash

from spoolscan import share
from spoolscan.cli import specimens
from spoolscan.cli.samples import examples
from spoolscan.scanner import content, decode, mime, names, params, words
from spoolscan.scanner.bounds import Bounds, Budget, LimitReached
from spoolscan.scanner.headers import Header
from spoolscan.scanner.inspect import Tools, inspect
from spoolscan.scanner.patterns import Patterns
from spoolscan.scanner.unpack import UNPACKERS
from spoolscan.verdict import Doubt, Report

CRASHERS = Path(__file__).parent / "corpus" / "crashers"

BOUNDS = Bounds(parts=100, headers=100, header_bytes=1024, depth=8, decoded_bytes=1 << 20)
LONGEST = 2048  # bytes to which an input may grow: forms are sought here, sizes in bench/linear.py
_LONGEST_SEED = 8192
CPU_SECONDS = 1.0  # of this process, for one input; what takes longer hangs
POOL = 1500  # inputs kept for one target


class Hang(BaseException):
    """An input took too long.  Not an Exception, so that no handler on the way swallows it."""


# --- targets ---------------------------------------------------------------------------------


def _mails() -> list[bytes]:
    nested = (
        b"From: a@example.org\nSubject: =?utf-8?Q?x=20y?=\nMIME-Version: 1.0\n"
        b"Content-Type: multipart/mixed; boundary=o\n\npreamble\n--o\n"
        b'Content-Type: multipart/digest; boundary="i"\n\n--i\n\nFrom: b@example.org\n'
        b"Subject: inner\n\nhello\n--i\nContent-Type: message/rfc822\n"
        b"Content-Transfer-Encoding: base64\n\nU3ViamVjdDogeA0KDQpoZWxsbw0K\n--i--\n"
        b"--o\nContent-Type: message/partial; id=x; number=1; total=2\n\nSubject: y\n\nz\n"
        b"--o\nContent-Type: message/external-body; access-type=url\n\nContent-Type: a/b\n\n"
        b"--o--\nepilogue\n--o\n\nlate\n"
    )
    odd = (
        b"From mbox line\nFrom: a@example.org\rTo: b@example.org\nContent-Type(x): text/plain;\n"
        b" charset=\"utf-8\"; name*0*=utf-8''a%2E; name*1=exe\nContent-Transfer-Encoding: =?utf-8?"
        b'q?base64?=\nContent-Disposition: attachment; filename="=?utf-16?B?YQAuAGUAeABlAA==?="\n'
        b"no colon here\n \nX:\0y\n\nbody\r\r\n--b\nContent-Type: application/zip\n\nPK\3\4\n"
    )
    armoured = b"Subject: x\n\n" + containers.PLAIN + specimens.uuencoded() + containers.PLAIN
    return [nested, odd, armoured, *(one.content for one in examples() if len(one.content) < 6000)]


def _fields() -> list[bytes]:
    return [
        b'attachment; filename="a.exe"; size=12',
        b"attachment; filename*0*=utf-8'en'a%2E; filename*1=ex; filename*2*=%65",
        b'inline; name=(c(d)e)a\\;.exe; filename="=?utf-8?B?YS5leGU=?= =?utf-16?Q?=00a?="',
        b"text/plain; charset=x; boundary=\"--b\"; name='a b.txt'; name*=utf-7''a+AC4-exe",
        b"=?iso-2022-jp?B?GyRCMSQbKEI=?=; filename=C:\\x\\a.exe::$DATA",
    ]


def _words() -> list[bytes]:
    return [
        b"=?utf-8?B?w6QuZXhl?= =?utf-8?Q?=C3=A4=2Eexe?=",
        b"=?utf-16?B?AGEALgBlAHgAZQ==?=",
        b"=?utf-8*en?q?=3D=3Futf-8=3FB=3FYQ=3D=3D=3F=3D?=",
        b"=?hz?B?fns8OjpH?= =?utf-7?Q?+AC4-?= =?iso-2022-kr?B?GyQpQw4?=",
        "a\u202eexe.txt \uff0e\u200b/..\\a:b\0".encode(),
    ]


def _encoded() -> list[bytes]:
    plain = specimens.PAYLOAD[:300]
    return [
        base64.encodebytes(plain),
        base64.b64encode(plain)[:50] + b"=" + base64.b64encode(plain) + b"-_ !",
        b"begin-base64 644 a\n" + base64.encodebytes(plain) + b"====\n",
        b"a=20b=\r\nc=C3=A4 \t\r\n=3D=\n==\r\n",
        specimens.uuencoded(plain),
        specimens.yencoded(plain),
        specimens.binhexed(plain),
    ]


def _contained() -> list[bytes]:
    """Every container, its payload short, so that mutations meet the form and not the content."""
    short = [data for data in containers.SPECIMENS.values() if len(data) <= _LONGEST_SEED]
    return [
        *short,
        specimens.zipped(("a.txt", b"x"), ("b.zip", specimens.zipped(("c.exe", b"MZ")))),
        specimens.without_directory(specimens.zipped()),
        specimens.gzipped(specimens.tarred(data=b"x" * 100)),
        specimens.tarred("x" * 150),
        specimens.rtf(b"\1\5\0\0" + specimens.ole_object(b"x", b"Equation.3")),
        b"<script>var b = new Blob([atob('TVqQAAMAAAAEAAAA//8AALg=')]);</script>",
        b"<img src='data:image/svg+xml,%3Csvg%3E'><a href=data:;base64,UEsDBA==>",
        b"%PDF-1.4\n1 0 obj<</Encrypt 2 0 R>>\nstream\nx\nendstream\n",
    ]


def _structure(data: bytes) -> object:
    budget = Budget(BOUNDS)
    structure = mime.read(data, budget)
    seen: list[object] = [doubt.reason for doubt in structure.doubts]
    for index, part in enumerate(structure.parts[:40]):
        assert 0 <= part.start <= part.end <= len(data)
        assert part.parent is None or part.parent < index
        found = names.of_part(part.headers, budget)
        seen.append((part.kind, part.encodings[:2], len(found.readings)))
    return seen


def _field(data: bytes) -> object:
    budget = Budget(BOUNDS)
    value = data.replace(b"\r", b"").replace(b"\n", b"")
    headers = [Header("content-disposition", b"Content-Disposition: " + data, value)]
    found = names.of_part(headers, budget)
    assert all(found.readings)
    assert not any(b"\n" in line or b"\r" in line for line in found.lines)
    boundary, doubts = params.readings([value], params.BOUNDARY, Budget(BOUNDS))
    return len(found.readings), len(boundary), [one.reason for one in (*found.doubts, *doubts)]


def _word(data: bytes) -> object:
    found = words.readings(data)
    member = names.of_member(data, Budget(BOUNDS))
    assert found
    return len(found), len(member.readings), [one.reason for one in member.doubts]


_ENCODINGS = ("base64", "quoted-printable", "x-uuencode", "x-yenc", "binhex", "7bit", "x-odd")


def _transfer(data: bytes) -> object:
    seen: list[object] = []
    for encoding in _ENCODINGS:
        budget = Budget(BOUNDS)
        try:
            decoded, doubts = decode.transfer(data, (encoding,), budget)
        except LimitReached as limit:
            seen.append(str(limit))
            continue
        assert decoded
        seen.append(([one.how for one in decoded], [one.reason for one in doubts]))
    return seen


# Borrowed tools are programs of their own, and starting one takes longer than a hundred inputs.
_OURS = tuple(unpacker for unpacker in UNPACKERS if unpacker.name not in ("borrowed", "buried"))


def _unpacked(data: bytes) -> object:
    seen: list[object] = [content.sniff(data), content.is_plain_text(data)]
    try:
        for unpacker in filter(lambda one: one.recognises(data), _OURS):
            seen.extend(
                found.reason if isinstance(found, Doubt) else len(found.data) > 64
                for found in unpacker.members(data, Budget(BOUNDS))
            )
    except LimitReached as limit:
        seen.append(str(limit))
    return seen[:12]


def _tools() -> Tools:
    def shipped(name: str) -> Patterns:
        return Patterns.parse((share.folder("etc") / name).read_bytes(), name)

    bad, doc = shipped("matches.bad"), shipped("matches.doc")
    return Tools(bad=bad, doc=doc, engines=(), bounds=BOUNDS, describe=True)


def _message() -> Callable[[bytes], object]:
    tools = _tools()

    def target(data: bytes) -> object:
        report = inspect(data, tools).report
        assert Report.from_dict(json.loads(json.dumps(report.as_dict()))) == report
        kinds = [part.media_type for part in report.parts[:12]]
        return kinds, [finding.name[:60] for finding in report.findings[:8]]

    return target


@dataclass(frozen=True, slots=True)
class Target:
    """``share`` is how many inputs it gets, in proportion: the cheap ones get more."""

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    share: int


def targets() -> tuple[Target, ...]:
    return (
        Target("message", _message(), tuple(_mails()), 1),
        Target("structure", _structure, tuple(_mails()), 2),
        Target("field", _field, tuple(_fields()), 1),
        Target("words", _word, tuple(_words()), 2),
        Target("transfer", _transfer, tuple(_encoded()), 6),
        Target("unpack", _unpacked, tuple(_contained()), 6),
    )


# --- mutations -------------------------------------------------------------------------------

_TOKENS = (
    b"\n", b"\r\n", b"\r", b"\0", b" ", b"\t", b":", b";", b'"', b"\\", b"=", b"*", b"(", b")",
    b"'", b"--", b"--o\n", b"--o--\n", b"\n\n", b"Content-Type: ",
    b"Content-Disposition: attachment",
    b"Content-Transfer-Encoding: base64\n", b"multipart/mixed", b"message/rfc822", b"boundary=",
    b"filename=", b"name*0*=", b"filename*1=", b"utf-8''", b"=?utf-8?B?", b"=?utf-16?q?", b"?=",
    b"%00", b"%2E", b".exe", b"From x\n", b"begin 644 a\n", b"`\nend\n", b"=ybegin line=9 name=a\n",
    b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"PK\3\4",
    b"PK\1\2", b"PK\5\6", b"\x1f\x8b", b"<script>", b"data:;base64,", b"{\\object", b"\xe2\x80\xae",
    b"hz", b"utf-7", b"iso-2022-kr", b"%", b"+AC4-", b"\x90", b"ustar", b"=\n", b"=3D", b"====",
)  # fmt: skip
_NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """One to six changes; ``other`` is another input, for splicing."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 2, 3, 4, 6))):
        size = len(out)
        at = chance.randrange(size + 1)
        length = min(chance.choice((1, 1, 2, 4, 8, 16, 64, 256)), size - at)
        match chance.randrange(9):
            case 0 if at < size:
                out[at] ^= 1 << chance.randrange(8)
            case 1 if at < size:
                out[at] = chance.randrange(256)
            case 2:
                del out[at : at + length]
            case 3 | 4:
                out[at:at] = chance.choice(_TOKENS)
            case 5:
                out[at:at] = bytes(out[at : at + length]) * chance.choice((1, 2, 3, 20))
            case 6:
                number, form = chance.choice(_NUMBERS), chance.choice("<>") + chance.choice("BHI")
                piece = struct.pack(form, number & ((1 << 8 * struct.calcsize(form)) - 1))
                out[at : at + len(piece)] = piece
            case 7 if other:
                start = chance.randrange(len(other))
                out[at : at + length] = other[start : start + chance.choice((4, 16, 64, 512))]
            case _:
                if chance.random() < 0.2:
                    del out[at:]
                else:
                    start = chance.randrange(size + 1)
                    out[at : at + length], piece = (
                        out[start : start + length],
                        out[at : at + length],
                    )
                    out[start : start + length] = piece
    return bytes(out[: max(LONGEST, len(data))])


# --- rounds ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    inputs: int = 0
    kept: int = 0  # inputs that made a target say something new
    crashes: dict[tuple[str, str], Crash] = field(default_factory=dict)


@contextmanager
def alarm() -> Iterator[Callable[[float], None]]:
    """Raise Hang where an input takes more of this process's time than it may."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, ring)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_PROF, seconds) and None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def tried(target: Target, data: bytes, alarm: Callable[[float], None]) -> Crash | object:
    """What the target says of the input, or the Crash it is."""
    try:
        alarm(CPU_SECONDS)
        seen = target.run(data)
        alarm(0)
    except (Exception, Hang) as error:
        alarm(0)
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
        if isinstance(error, Hang):
            place = "hang"
        return Crash(target.name, place, data, traceback.format_exc())
    return seen


def replayed(name: str, data: bytes) -> Crash | object:
    """One input again, by the name of its target."""
    [target] = [one for one in targets() if one.name == name]
    with alarm() as ring:
        return tried(target, data, ring)


def rounds(count: int, seed: int, report: Callable[[Tally], None] = lambda _: None) -> Tally:
    """Try that many inputs; ``report`` is called with the tally every thousand."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    tally = Tally()
    all_targets = targets()
    turns = [target for target in all_targets for _ in range(target.share)]
    pools = {target.name: list(target.seeds) for target in all_targets}
    seen: dict[str, set[int]] = {target.name: set() for target in all_targets}
    with alarm() as ring:
        while tally.inputs < count:
            target = chance.choice(turns)
            pool = pools[target.name]
            data = mutated(chance.choice(pool), chance.choice(pool), chance)
            result = tried(target, data, ring)
            tally.inputs += 1
            if isinstance(result, Crash):
                tally.crashes.setdefault((result.target, result.place), result)
            elif (words_said := hash(repr(result))) not in seen[target.name]:
                seen[target.name].add(words_said)
                tally.kept += 1
                if len(pool) < POOL:
                    pool.append(data)
                else:
                    pool[chance.randrange(len(target.seeds), POOL)] = data
            if tally.inputs % 1000 == 0:
                report(tally)
    report(tally)
    return tally
