"""smtpd_check_rules: what each word fits, and what lists of them do."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from cases import NAMELESS, OWN, UNSURE, USER, V6, allows, case, client, decide, parse
from hypothesis import given
from hypothesis import strategies as st

from spoolscan.receiver.case import Answer
from spoolscan.receiver.client import Client
from spoolscan.receiver.rules import CANNOT_TELL

# -- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "peer", "fits"),
    [
        ("ALL", client(), True),
        ("ALL", client("", ""), True),
        ("KNOWN", client(), True),
        ("KNOWN", NAMELESS, False),
        ("UNKNOWN", NAMELESS, True),
        ("UNKNOWN", client(), False),
        ("UNKNOWN", UNSURE, False),
        ("KNOWN", UNSURE, False),
        ("TRUSTED", OWN, True),
        ("TRUSTED", USER, True),
        ("TRUSTED", client(), False),
        ("UNTRUSTED", client(), True),
        ("UNTRUSTED", OWN, False),
        ("192.0.2.7", client(), True),
        ("192.0.2.8", client(), False),
        ("192.0.2.0/24", client(), True),
        ("192.0.3.0/24", client(), False),
        ("0.0.0.0/0", client(), True),
        ("0.0.0.0/0", V6, False),
        ("192.0.2.*", client(), True),
        ("192.0.*", client("192.1.2.7"), False),
        ("*", client(), True),
        ("*", client("", ""), True),
        ("[2001:db8::/32]", V6, True),
        ("[2001:db8::7]", V6, True),
        ("[2001:db9::/32]", V6, False),
        ("[192.0.2.0/24]", client(), True),
        ("192.0.2.0/24", client("", ""), False),
        ("mail.b.example", client(), True),
        ("MAIL.B.example", client(), True),
        ("b.example", client(), False),
        ("*.b.example", client(), True),
        ("*.b.example", NAMELESS, False),
        ("mail*", client(), True),
        ("192.0.2.7", client("198.51.100.1", "192.0.2.7"), False),
        ("192.0.2.*", client("198.51.100.1", "192.0.2.7"), False),
        ("/^mail\\./", client(), True),
        ("/(dsl|dyn):?/", client(name="dyn.isp.example"), True),
        ("/^192\\.0\\./", client(), True),
        ("/^MAIL/", client(), True),
        ("/x/", NAMELESS, False),
        ("b\u00fccher.example", client(name="xn--bcher-kva.example"), True),
        ("alice@ALL", USER, False),
        ("alice@*@ALL", USER, True),
        ("KNOWN@ALL", USER, True),
        ("KNOWN@ALL", client(), False),
        ("UNKNOWN@ALL", client(), True),
        ("*@192.0.2.0/24", USER, True),
        ("*@192.0.2.0/24", client(), False),
        ("ALL EXCEPT TRUSTED", OWN, False),
        ("A.example,\tmail.b.example", client(), True),
    ],
)
def test_a_word_of_src(word: str, peer: Client, fits: bool) -> None:
    assert allows(f"allow:{word}:ALL:ALL", case(peer)) is fits


@pytest.mark.parametrize(
    ("word", "address", "fits"),
    [
        ("ALL", "a@b.example", True),
        ("a@b.example", "a@b.example", True),
        ("A@B.Example", "a@b.example", True),
        ("a@b.example", "A@b.EXAMPLE", True),
        ("a@b.example", "a@sub.b.example", False),
        ("a@b.example", "xa@b.example", False),
        ("*@b.example", "a@b.example", True),
        ("*@*.b.example", "a@b.example", False),
        ("*@*.b.example", "a@x.y.b.example", True),
        ("a@*", "a@anywhere.example", True),
        ("ALL@b.example", "a@b.example", True),
        ("*b.example", "a@b.example", True),
        ("*%*@*", '"x%y"@b.example', True),
        ("/^[0-9]+@/", "12345@b.example", True),
        ("/^[0-9]+@/", "a12345@b.example", False),
        ("/^x|y$/@b.example", "xx@b.example", True),
        ("a@/^b\\./", "a@b.example", True),
        ("/a/@/b@?/", "a@b.example", True),
        ("/a:b/", '"a:b"@b.example', True),
        ("/b.example$/", "a@b.example", True),
        ("OURS", "bob@site.example", True),
        ("OURS", "bob@SITE.example", True),
        ("OURS", "bob@site.example.", True),
        ("OURS", "bob@sub.site.example", False),
        ("OURS", "bob@site.example.evil.example", False),
        ("*@OURS", "bob@site.example", True),
        ("bob@OURS", "eve@site.example", False),
        ("*@b\u00fccher.example", "a@xn--bcher-kva.example", True),
        ("*@[*]", "a@[192.0.2.1]", True),
        ("*@[IPv6:*]", "a@[IPv6:2001:db8::1]", True),
        ("*@[IPv6:*]", "a@b.example", False),
    ],
)
def test_a_word_of_from(word: str, address: str, fits: bool) -> None:
    assert allows(f"allow:ALL:{word}:ALL", case(sender=address)) is fits


@pytest.mark.parametrize(
    ("word", "fits"),
    [("<>", True), ("ALL", True), ("*@*", False), ("OURS", False), ("/^$/", True), ("*", True)],
)
def test_the_null_reverse_path(word: str, fits: bool) -> None:
    assert allows(f"allow:ALL:{word}:ALL", case(sender="")) is fits
    assert not allows("allow:ALL:<>:ALL", case())


@pytest.mark.parametrize(
    ("word", "fits"),
    [("OURS", True), ("postmaster@*", True), ("postmaster@site.example", True), ("a@*", False)],
)
def test_postmaster_without_a_domain_is_that_of_our_first_domain(word: str, fits: bool) -> None:
    assert allows(f"allow:ALL:ALL:{word}", case(recipient="Postmaster")) is fits


@pytest.mark.parametrize(
    ("user", "sender", "fits"),
    [
        ("alice", "Alice@site.example", True),
        ("ALICE@site.example", "alice@site.example", True),
        ("mallory", "alice@site.example", False),
        ("", "alice@site.example", False),
        ("alice", "alice@b.example", False),
        ("", "", False),
    ],
)
def test_user_is_the_local_part_of_whoever_authenticated(
    user: str, sender: str, fits: bool
) -> None:
    about = case(client(user=user), sender=sender)
    assert allows("allow:KNOWN@ALL:USER@site.example:ALL", about) is fits


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("local", "fits"), [("a", True), ("b", True), ("c", False), ("d", True)])
def test_except_is_recursive(local: str, fits: bool) -> None:
    line = "allow:ALL:/^[a-d]@/ EXCEPT c@* d@* EXCEPT d@* e@*:ALL"
    assert allows(line, case(sender=f"{local}@b.example")) is fits


Groups = st.lists(st.sets(st.sampled_from("abcde"), min_size=1), min_size=1, max_size=6)


@given(Groups, st.sampled_from("abcdef"))
def test_except_means_what_sets_say(groups: list[set[str]], local: str) -> None:
    wanted: set[str] = set()
    for group in reversed(groups):
        wanted = group - wanted
    words = " EXCEPT ".join(" ".join(f"{one}@*" for one in sorted(group)) for group in groups)
    assert allows(f"allow:ALL:{words}:ALL", case(sender=f"{local}@b.example")) is (local in wanted)


Known = st.sampled_from([True, False, None])


@given(st.lists(st.lists(Known, min_size=1, max_size=3), min_size=1, max_size=5))
def test_a_list_fits_surely_only_where_every_answer_that_lacks_could_not_matter(
    groups: list[list[bool | None]],
) -> None:
    """Against trying all answers that the lookups without one could have given."""
    words: list[str] = []
    answers: dict[str, Answer] = {}
    for number, group in enumerate(groups):
        if number:
            words.append("EXCEPT")
        for place, found in enumerate(group):
            zone = f"z{number}-{place}.example"
            words.append(f"RBL.{zone}")
            fact = f"listed 192.0.2.7 in {zone}"
            answers[fact] = None if found is None else ("127.0.0.2",) if found else ()
    rules = parse(f"allow:{' '.join(words)}:ALL:ALL")

    def outcome(said: Mapping[str, Answer]) -> bool:
        return decide(rules, case(), said)[0].refusal is None

    open_facts = [fact for fact, answer in answers.items() if answer is None]
    chance = random.Random(0)  # noqa: S311 - no secret
    worlds = [
        answers | {fact: chance.choice(((), ("127.0.0.2",))) for fact in open_facts}
        for _ in range(20)
    ]
    decision, _ = decide(rules, case(), answers)
    if decision.refusal is None:
        assert all(map(outcome, worlds))
    elif decision.refusal is not CANNOT_TELL:
        assert not any(map(outcome, worlds))
