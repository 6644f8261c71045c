"""The load that tests/bench/gateway.py measures with, in small: what is counted is right."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from load import growth, mails
from load.generator import Order
from load.runs import Sink, run
from load.sink import Account
from load.systems import Ours, Postfix
from postfix_server import PostfixServer


def test_the_mails_are_the_same_from_every_run() -> None:
    assert mails.make("mixed", 20) == mails.make("mixed", 20)
    assert {len(mail.data) for mail in mails.make("text4k", 30)} == {4096}
    kinds = Counter(mail.kind for mail in mails.make("mixed", 100))
    assert kinds == {"text": 70, "html": 20, "office": 8, "eicar": 1, "program": 1}


def test_the_sink_tells_whole_from_damaged_doubled_and_foreign() -> None:
    account = Account()
    whole = b"Received: x\r\nX-Bench-Id: 1\r\nX-Bench-Sent: 5\r\nX-Bench-Sum: ecb57442\r\nabc\r\n"
    for content in (whole, whole, whole.replace(b"Id: 1", b"Id: 2")[:-3], b"Subject: x\r\n\r\n"):
        account.enter(content)
    assert (account.came, account.again, account.damaged, account.others) == (2, 1, 1, 1)


def test_growth_is_from_the_second_tenth_to_the_last() -> None:
    flat = [{"smtpd MiB": 90.0, "accept p99 ms": 400.0}] + 29 * [
        {"smtpd MiB": 50.0, "accept p99 ms": 30.0}
    ]
    leaking = [{"smtpd MiB": 50.0 + minute, "accept p99 ms": 30.0} for minute in range(30)]
    told = growth.tenths(leaking)
    assert {name: figures["smtpd MiB"] for name, figures in told.items()} == {
        "start": 54,
        "middle": 66,
        "end": 78,
    }
    assert growth.grown(told["start"], told["end"]) == ["smtpd MiB grows: 54, 78"]
    assert growth.grown(growth.tenths(flat)["start"], growth.tenths(flat)["end"]) == []


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one by one"])
def test_all_that_is_clean_comes_through_ours_whole(tmp_path: Path, pipelining: bool) -> None:
    with Sink() as sink, Ours(tmp_path, sink.port) as system:
        order = Order(system.port, "mixed", 100, 100, sessions=4, pipelining=pipelining)
        result = run(system, sink, order)
        assert sum(result.replies.values()) == 100
        assert all(what.endswith(" 250") for what in result.replies), result.refused
        assert result.came == 98
        assert result.wrong(system.catches) == ""
        assert result.wrong() == "2 missing"
        assert result.cpu > 0
        assert result.memory > 0
        used = growth.figures(result, system.roots())
        assert all(used[f"{name} MiB"] > 10 for name in ("smtpd", "scanmail", "worker", "smtpfwdd"))
        assert used["smtpd descriptors"] > 3


@pytest.mark.real
def test_the_same_load_goes_through_postfix() -> None:
    if reason := PostfixServer.absent():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="spoolscan-load-") as folder, Sink() as sink:
        Path(folder).chmod(0o755)
        with Postfix(Path(folder) / "postfix", sink.port) as system:
            result = run(system, sink, Order(system.port, count=40, distinct=10, rate=200))
            assert result.replies == {"text 250": 40}
            assert result.came == 40
            assert result.wrong() == ""
