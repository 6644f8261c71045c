"""smtpd_check_rules: what decides, what is replied, and how a mistake is told."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from cases import OURS, OWN, UNSURE, USER, case, client, decide, parse
from hypothesis import given
from hypothesis import strategies as st

from spoolscan import share
from spoolscan.errors import ConfigError
from spoolscan.receiver.case import Answer, Case, Mailbox
from spoolscan.receiver.client import Client
from spoolscan.receiver.rules import CANNOT_TELL, Rules

# -- decisions -------------------------------------------------------------------------------------


def test_the_first_rule_that_fits_decides() -> None:
    rules = parse(
        "# a comment",
        "",
        "debug:ALL:ALL:ALL",
        "noto:ALL:*@spam.example:ALL:551 no %F for %T",
        "deny:*.evil.example:ALL:ALL",
        "allow:ALL:ALL:OURS  :  # said at the end",
    )
    decision, _ = decide(rules, case())
    assert (decision.refusal, decision.debugged) == (None, (3,))
    assert decision.rule is not None
    assert decision.rule.line == 6
    decision, _ = decide(rules, case(sender="x@spam.example"))
    assert decision.refusal is not None
    assert decision.refusal.wire() == b"551 5.7.1 no x@spam.example for bob@site.example\r\n"
    assert not decision.hangs_up
    decision, _ = decide(rules, case(client(name="a.evil.example")))
    assert decision.refusal is not None
    assert decision.refusal.wire() == b"550 5.7.1 access denied\r\n"
    assert decision.hangs_up


def test_without_a_rule_that_fits_all_is_refused() -> None:
    for rules in (parse(), parse("allow:ALL:ALL:OURS")):
        decision, _ = decide(rules, case(recipient="eve@elsewhere.example"))
        assert decision.refusal is not None
        assert decision.refusal.wire() == b"550 5.7.1 relaying denied\r\n"
        assert decision.rule is None


def test_what_waits_and_what_hangs_up() -> None:
    for action, waits, ends in (
        ("deny", False, True),
        ("noto", False, False),
        ("deny_delay", True, True),
        ("noto_delay", True, False),
    ):
        decision, _ = decide(parse(f"{action}:ALL:ALL:ALL"), case())
        assert (decision.delays, decision.hangs_up) == (waits, ends)


def test_a_fact_is_asked_for_only_where_all_else_fits() -> None:
    rules = parse("noto:RBL.list.example:ALL:x@*", "allow:ALL EXCEPT RBL.list.example:ALL:OURS")
    assert decide(rules, case(), {"listed 192.0.2.7 in list.example": ()})[1] == [
        "listed 192.0.2.7 in list.example"
    ]
    assert decide(rules, case(recipient="a@b.example"))[1] == []


def test_own_networks_are_never_asked_about() -> None:
    for peer in (OWN, USER):
        assert decide(parse("deny:RBL.list.example:ALL:ALL"), case(peer))[1] == []


LISTED = "listed 192.0.2.7 in list.example"


@pytest.mark.parametrize(
    ("line", "answers", "fits"),
    [
        ("RBL.list.example:ALL:ALL", {LISTED: ("127.0.0.2",)}, True),
        ("RBL.list.example:ALL:ALL", {LISTED: ()}, False),
        ("ALL:NS=KNOWN:ALL", {"exists b.example": ("MX",)}, True),
        ("ALL:NS=KNOWN:ALL", {"exists b.example": ()}, False),
        ("ALL:NS=UNKNOWN:ALL", {"exists b.example": ()}, True),
        ("ALL:NS=*.spam.example:ALL", {"servers b.example": ("ns.spam.example",)}, True),
        ("ALL:NS=*.spam.example:ALL", {"servers b.example": ("ns.good.example",)}, False),
        ("ALL:NS=192.0.2.0/24:ALL", {"servers b.example": ("ns.x", "192.0.2.9")}, True),
        ("ALL:NS=[2001:db8::/32]:ALL", {"servers b.example": ("2001:db8::1",)}, True),
        ("ALL:a@NS=*.spam.example:ALL", {"servers b.example": ("ns.spam.example",)}, True),
        ("NS=ns.b.example:ALL:ALL", {"servers mail.b.example": ("ns.b.example",)}, True),
        ("ALL:ALL:NS=ns.b.example", {"servers site.example": ("ns.b.example",)}, True),
    ],
)
def test_what_is_looked_up(line: str, answers: Mapping[str, Answer], fits: bool) -> None:
    decision, asked = decide(parse(f"allow:{line}"), case(), answers)
    assert (decision.refusal is None) is fits
    assert asked == list(answers)


def test_a_lookup_without_an_answer_refuses_nobody_for_good() -> None:
    silence: dict[str, Answer] = {LISTED: None}
    open_rules = parse("deny:RBL.list.example:ALL:ALL", "allow:ALL:ALL:OURS")
    assert decide(open_rules, case(), silence)[0].refusal is None
    closed = parse("allow:RBL.list.example:ALL:OURS", "deny_delay:ALL:ALL:ALL")
    decision, _ = decide(closed, case(), silence)
    assert decision.refusal == CANNOT_TELL
    assert decision.unsure == 1
    assert not decision.hangs_up
    assert not decision.delays
    decision, _ = decide(parse("allow:KNOWN:ALL:OURS"), case(UNSURE))
    assert decision.refusal == CANNOT_TELL


# -- replies ---------------------------------------------------------------------------------------


def test_what_a_peer_called_itself_cannot_break_a_reply() -> None:
    rules = parse("noto:ALL:ALL:ALL:450 %H %I %U %F %T %C %%")
    hostile = case(
        Client(ipaddress.ip_address("192.0.2.7"), "n", user="x\r\n250 ok\x1b[2J" + "y" * 999),
        sender='"a b"@b.example',
    )
    decision, _ = decide(rules, hostile)
    assert decision.refusal is not None
    wire = decision.refusal.wire()
    assert wire.startswith(b"450 4.7.1 n 192.0.2.7 x??250 ok?[2Jyyy")
    assert wire.count(b"\n") == 1
    assert len(wire) <= 512


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        ("go away", b"550 5.7.1 go away\r\n"),
        ("554 go away: %I", b"554 5.7.1 go away: 192.0.2.7\r\n"),
        ("450 4.2.1 later", b"450 4.2.1 later\r\n"),
        ("550 see http%C//x.example/", b"550 5.7.1 see http://x.example/\r\n"),
    ],
)
def test_a_reply_has_a_code_and_a_status(reply: str, wire: bytes) -> None:
    decision, _ = decide(parse(f"noto:ALL:ALL:ALL:{reply}"), case())
    assert decision.refusal is not None
    assert decision.refusal.wire() == wire


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason", "column"),
    [
        ("permit:ALL:ALL:ALL", "no such action; allowed: allow, deny, noto,", 0),
        ("allow", "a rule is action:SRC:FROM:TO", 5),
        ("allow:ALL:ALL", "a rule is action:SRC:FROM:TO", 13),
        ("allow::ALL:ALL", "nothing in this field; ALL is everything", 6),
        ("allow deny:ALL:ALL:ALL", "one action, then a colon", 6),
        ("allow:all:ALL:ALL", "write ALL", 6),
        ("allow:OURS:ALL:ALL", "OURS means nothing in this place", 6),
        ("allow:ALL:TRUSTED:ALL", "TRUSTED means nothing in this place", 10),
        ("allow:ALL:ALL:ours", "write OURS", 14),
        ("allow:ALL:b.example:ALL", "not an address: write user@domain", 10),
        ("allow:ALL:@b.example:ALL", "not an address: write user@domain", 10),
        ("allow:ALL:a@b_!:ALL", "not a domain", 12),
        ("allow:@ALL:ALL:ALL", "nobody stands before the @", 6),
        ("allow:192.0.2.0/8:ALL:ALL", "192.0.2.0/8 has host bits set; allowed: 192.0.2.1,", 6),
        ("allow:2001:db8::/32:ALL:ALL", "IPv6 is in brackets", 15),
        ("allow:[2001:db8::/200]:ALL:ALL", "allowed: 192.0.2.1, 192.0.2.0/24, 192.0.2.*", 6),
        ("allow:[2001:db8::1:ALL:ALL", "the bracket is not closed", 6),
        ("allow:ALL:/a:ALL:ALL", "the regular expression has no closing slash", 10),
        ("allow:ALL:/a(/:ALL", "not a regular expression of RE2: missing )", 11),
        ("allow:ALL:/(.)\\1/:ALL", "not a regular expression of RE2: invalid escape", 11),
        ("allow:ALL://:ALL", "an empty regular expression", 10),
        ("allow:ALL:/a/b:ALL", "a blank, @ or : must follow", 13),
        ("allow:RBL.:ALL:ALL", "RBL. and the name of the list's zone", 6),
        ("allow:ALL:NS=:ALL", "NS= and a name server", 10),
        ("allow:EXCEPT a.example:ALL:ALL", "nothing stands before EXCEPT", 6),
        ("allow:ALL EXCEPT:ALL:ALL", "nothing stands behind EXCEPT", 10),
        ("allow:ALL:ALL:ALL:550 no", "allow says nothing to the peer", 18),
        ("deny:ALL:ALL:ALL:250 welcome", "the code of a refusal is 4xx or 5xx", 17),
        ("deny:ALL:ALL:ALL:650 no", "the code of a refusal is 4xx or 5xx", 17),
        ("deny:ALL:ALL:ALL:550 4.1.1 no", "an enhanced status for 550 is such as 5.7.1", 21),
        ("deny:ALL:ALL:ALL:550", "words must follow the code", 17),
        ("deny:ALL:ALL:ALL:no %X", "allowed: %F %T %H %I %U %C %%", 20),
        ("deny:ALL:ALL:ALL:100%", "allowed: %F %T %H", 20),
        ("deny:ALL:ALL:ALL:na\u00efve", "a reply is of printable ASCII", 19),
        ("deny:ALL:ALL:ALL:a\tb", "a reply is of printable ASCII", 18),
    ],
)
def test_a_mistake_is_told_with_line_and_caret(line: str, reason: str, column: int) -> None:
    with pytest.raises(ConfigError) as raised:
        parse("# first", line)
    told, shown, caret = str(raised.value).split("\n")
    assert told.startswith("rules, line 2: ")
    assert reason in told
    assert shown.startswith("    ")
    if "\t" not in line:
        assert caret == " " * (column + 4) + "^"


def test_all_mistakes_are_told_at_once_and_ten_at_most() -> None:
    with pytest.raises(ConfigError) as raised:
        parse(*["x:ALL:ALL:ALL"] * 25)
    lines = str(raised.value).split("\n")
    assert len(lines) == 31
    assert lines[-1] == "rules: and 15 more"


def test_what_is_no_text_is_refused_and_a_terminal_is_safe_from_it() -> None:
    with pytest.raises(ConfigError, match="rules, line 2: not UTF-8"):
        Rules.parse(b"#\n\xff\n", "rules")
    with pytest.raises(ConfigError) as raised:
        parse("allow:\x1b[2J]:ALL:ALL")
    assert "\x1b" not in str(raised.value)


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_a_mistake(text: str) -> None:
    for line in (text, f"allow:{text}:ALL:ALL", f"deny:ALL:{text}:{text}:{text}"):
        with suppress(ConfigError):
            decide(parse(line), case(), _Everything())


class _Everything(dict[str, Answer]):
    def __missing__(self, key: str) -> Answer:
        return None


def test_patterns_that_explode_elsewhere_take_linear_time_here() -> None:
    rules = parse("deny:ALL:/^(a*)*$/ " + "*a" * 50 + "*b:ALL", "allow:ALL:ALL:ALL")
    long = Case(client(), Mailbox("a" * 500, "b.example"), Mailbox("b", "site.example"), OURS)
    began = time.process_time()
    for _ in range(100):
        assert decide(rules, long)[0].refusal is None
    assert time.process_time() - began < 30  # an exponential one takes for ever


def test_the_shipped_rules_are_todays_policy_and_their_examples_are_good() -> None:
    text = (share.folder("etc") / "smtpd_check_rules").read_text()
    rules = Rules.parse(text.encode(), "rules")
    assert [rule.text for rule in rules.rules] == ["allow:TRUSTED:ALL:ALL", "allow:ALL:ALL:OURS"]
    examples = re.findall(r"(?m)^#     ((?:deny|noto)\S*:.*)$", text)
    assert len(parse(*examples).rules) == len(examples) == 5


def test_the_rules_of_the_readme_are_good() -> None:
    text = (Path(__file__).parent.parent / "README.rst").read_text()
    shown = re.findall(r"(?m)^    ((?:allow|deny|noto|debug)\S*:.*)$", text)
    assert len(parse(*shown).rules) == len(shown) == 7


def test_the_lines_that_go_by_names_are_known() -> None:
    rules = parse(
        "allow:TRUSTED ALL 192.0.2.1 [2001:db8::1] RBL.x.example:ALL:ALL",
        "allow:ALL EXCEPT UNKNOWN:ALL:ALL",
        "allow:*.example:ALL:ALL",
        "allow:NS=x.example:ALL:ALL",
        "allow:KNOWN@192.0.2.1:ALL:ALL",
    )
    assert rules.by_name == (2, 3, 4)
