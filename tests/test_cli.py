"""The command line as people meet it: every command a process, its exit status, and its words.

The full runs with real servers are in stories/; here is what goes wrong before them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import message, put, spool_in
from gateway import Gateway
from letters import PROGRAM, with_attachment
from loopback import until

import spoolscan
from spoolscan.cli import COMMANDS
from spoolscan.cli.samples import EICAR

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": str(Path(spoolscan.__file__).parent.parent),
}
NOBODY = 65534


def call(
    *arguments: str, stdin: bytes = b"", redirected: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``spoolscan ...`` with a bare environment; ``redirected`` as a shell would do it."""
    command = [sys.executable, "-m", "spoolscan", *arguments]
    if redirected:
        command = ["/bin/bash", "-c", f'"$0" "$@" {redirected}', *command]
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=100,
        cwd="/",
        env=ENVIRONMENT | environment,
    )
    said = subprocess.CompletedProcess(
        command, done.returncode, done.stdout.decode(), done.stderr.decode()
    )
    assert "Traceback" not in said.stderr
    return said


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Gateway]:
    """Laid out, with a maildir as its next hop; nothing runs."""
    with Gateway(tmp_path / "spool", f"maildir:{tmp_path / 'maildir'}") as place:
        yield place


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    """A directory with one mail of each verdict."""
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "clean.eml").write_bytes(message())
    (folder / "infected.eml").write_bytes(with_attachment("Offer", "offer.doc", EICAR))
    (folder / "banned.eml").write_bytes(with_attachment("Game", "game.exe", PROGRAM))
    return folder


# ---- help and mistakes in the command line


def test_help_names_every_command_in_a_line_of_a_terminal() -> None:
    said = call("--help")
    assert said.returncode == 0
    assert re.findall(r"(?m)^  ([a-z]+)  ", said.stdout) == list(COMMANDS)
    assert max(map(len, said.stdout.splitlines())) <= 80
    assert "..." not in said.stdout.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["init"], "Missing argument 'DIR'"),
        (["inspect"], "Missing argument 'FILE...'"),
        (["scanmail", "--twice"], "No such option"),
    ],
)
def test_a_wrong_command_line_is_told_with_status_64(arguments: list[str], words: str) -> None:
    said = call(*arguments)
    assert (said.returncode, said.stdout) == (64, "")
    assert words in said.stderr


# ---- where the spool is


@pytest.mark.parametrize("command", ["check", "run", "smtpd", "scanmail", "smtpfwdd"])
def test_without_a_spool_each_command_says_where_it_looked_and_how_to_get_one(
    command: str, tmp_path: Path
) -> None:
    said = call("--spool", str(tmp_path), command)
    assert (said.returncode, said.stdout) == (78, "")
    assert said.stderr == (
        f"spoolscan: {tmp_path}/etc/spoolscan.toml: No such file or directory;"
        " `spoolscan init DIR` lays out a spool, --spool names one\n"
    )


def test_the_option_after_the_command_comes_first_then_the_one_before_then_the_environment(
    spool: Gateway,
) -> None:
    good = str(spool.root)
    assert call("--spool", "/a", "check", "--spool", good, SPOOLSCAN_SPOOL="/b").returncode == 0
    assert call("--spool", good, "check", SPOOLSCAN_SPOOL="/b").returncode == 0
    assert "spoolscan: /b/etc/" in call("check", SPOOLSCAN_SPOOL="/b").stderr


def test_a_named_spool_that_is_not_there_is_no_reason_to_inspect_by_other_settings(
    mails: Path,
) -> None:
    said = call("inspect", str(mails / "clean.eml"), SPOOLSCAN_SPOOL="/nowhere")
    assert (said.returncode, said.stdout) == (78, "")


# ---- init


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--domain", "a b", "a domain name such as example.com; found 'a b'"),
        ("--network", "300.1.1.1/8", "address/bits such as 192.0.2.0/24"),
        ("--listen", "25", "HOST:PORT such as 127.0.0.1:2525"),
        ("--admin", "nobody", "an address such as postmaster@example.com"),
        ("--next-hop", "mail.example.com", "smtp://HOST:PORT, lmtp://HOST:PORT"),
        ("--next-hop", "smtp://h\x1b[2J:25", "not printable"),
    ],
)
def test_init_refuses_a_value_that_is_not_allowed_and_writes_nothing(
    option: str, value: str, words: str, tmp_path: Path
) -> None:
    said = call("init", str(tmp_path / "spool"), option, value)
    assert (said.returncode, said.stdout) == (78, "")
    assert words in said.stderr
    assert "\x1b" not in said.stderr
    assert not (tmp_path / "spool").exists()


def test_init_does_not_take_a_file_for_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "not a directory" in call("init", str(tmp_path / "file")).stderr
    said = call("init", str(tmp_path / "file" / "spool"))
    assert said.returncode == 75
    assert "Not a directory (ENOTDIR)" in said.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may limit the size of a file system")
def test_init_on_a_full_disk_says_so_and_what_to_do(tmp_path: Path) -> None:
    mount = ["unshare", "--mount", "sh", "-c"]
    script = f'mount -t tmpfs -o size=64k none {tmp_path} && exec "$0" "$@"'
    if subprocess.run([*mount, script, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no private mounts here")
    done = subprocess.run(
        [*mount, script, sys.executable, "-m", "spoolscan", "init", f"{tmp_path}/spool"],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout) == (75, "")
    assert "No space left on device" in done.stderr
    assert f"remove {tmp_path}/spool" in done.stderr


# ---- check


def test_check_lists_what_it_read(spool: Gateway) -> None:
    said = call("--spool", str(spool.root), "check")
    assert (said.returncode, said.stderr) == (0, "")
    assert [line.split()[0] for line in said.stdout.splitlines()] == [
        *["settings", "spool", "patterns", "patterns", "ignored", "engine"],
        *["rules", "access", "dnsbl", "templates", "routes", "next"],
    ]
    assert re.search(r"matches\.bad: \d+ lines\n", said.stdout)


def test_check_takes_an_engine_that_is_down_for_no_error(spool: Gateway) -> None:
    nowhere = spool.root / "clamd.ctl"
    spool.configure("[engine]", kind='"clamd"', name='"clamd"', address=f'"unix:{nowhere}"')
    said = call("--spool", str(spool.root), "check")
    assert said.returncode == 0
    assert "engine     clamd: not now: " in said.stdout
    assert str(nowhere) in said.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_nobody_works_on_the_spool_of_another_user_not_even_root(spool: Gateway) -> None:
    os.chown(spool.root, NOBODY, NOBODY)
    for command in ("check", "run", "scanmail"):
        said = call("--spool", str(spool.root), command)
        assert (said.returncode, said.stdout) == (78, "")
        assert "belongs to nobody, and this is root; run it as nobody" in said.stderr
    assert sorted(path.name for path in (spool.root / "var").iterdir()) == ["README.txt"]


# ---- inspect


def test_inspect_exits_like_a_virus_scanner(mails: Path) -> None:
    clean, infected, banned = (
        str(mails / f"{name}.eml") for name in ("clean", "infected", "banned")
    )
    assert call("inspect", clean).returncode == 0
    assert call("inspect", clean, infected).returncode == 1
    assert call("inspect", banned, f"{mails}/missing").returncode == 1
    assert call("inspect", clean, f"{mails}/missing").returncode == 2


def test_inspect_says_what_was_found_where_and_by_whom(mails: Path) -> None:
    said = call("inspect", str(mails / "infected.eml"))
    assert said.stdout.startswith(f"{mails}/infected.eml: infected\n")
    assert "\n  infected: EICAR-Test-File in offer.doc (yara)\n" in said.stdout


def test_inspect_writes_one_json_list_with_an_object_for_each_file(mails: Path) -> None:
    files = [str(mails / "clean.eml"), str(mails / "banned.eml"), str(mails / "missing")]
    said = call("inspect", "--json", *files)
    told = json.loads(said.stdout)
    assert [one["id"] for one in told] == files
    assert [one["verdict"] for one in told] == ["clean", "banned", "unscannable"]
    assert all(set(one) == {"id", "verdict", "parts", "findings"} for one in told)


def test_inspect_reads_standard_input(mails: Path) -> None:
    said = call("inspect", "-", stdin=(mails / "infected.eml").read_bytes())
    assert (said.returncode, said.stdout.split("\n")[0]) == (1, "-: infected")


def test_what_inspect_cannot_read_is_never_clean_and_stops_no_other_file(mails: Path) -> None:
    said = call("inspect", f"{mails}/missing", str(mails), "/dev/zero", f"{mails}/clean.eml")
    assert said.returncode == 2
    assert said.stdout.split("\n  no ")[0].splitlines() == [
        f"{mails}/missing: unscannable",
        "  unscannable: unreadable: No such file or directory (reader)",
        f"{mails}: unscannable",
        "  unscannable: unreadable: Is a directory (reader)",
        "/dev/zero: unscannable",
        "  unscannable: limit: more than 268435456 bytes, twice [bounds] decoded_bytes (reader)",
        f"{mails}/clean.eml: clean",
    ]
    assert call("inspect", "-", redirected="<&-").returncode == 2


def test_inspect_reads_a_spool_file_and_holds_it_to_its_size(mails: Path, tmp_path: Path) -> None:
    place = spool_in(tmp_path / "place")
    whole = Path(place.path("incoming", put(place, (mails / "infected.eml").read_bytes())))
    assert call("inspect", str(whole)).returncode == 1
    data = whole.read_bytes()
    for name, content in {"cut": data[:-400], "long": data + b"more", "head": data[:60]}.items():
        (mails / name).write_bytes(content)
        said = call("inspect", str(mails / name))
        assert (said.returncode, said.stdout.split("\n")[0]) == (2, f"{mails}/{name}: unscannable")


def test_a_name_reaches_the_terminal_only_escaped(mails: Path) -> None:
    name = "\x1b]0;owned\x07\u202efdp.caf\u00e9.exe"
    (mails / "x\x1b[2J.eml").write_bytes(
        f'Content-Type: a/b; name="{name}"\r\n\r\nx'.encode(),
    )
    for encoding in ("utf-8", "ascii"):
        said = call("inspect", f"{mails}/x\x1b[2J.eml", PYTHONIOENCODING=encoding)
        assert said.returncode == 1
        assert all(line.isprintable() for line in said.stdout.splitlines())


# ---- streams that are not as usual


def test_a_reader_that_goes_away_is_no_verdict_and_no_noise(mails: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "spoolscan", "inspect", f"{mails}/clean.eml"]
    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(
            command, env=ENVIRONMENT, stdout=stdout, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_output_that_cannot_be_written_is_told(mails: Path) -> None:
    said = call("inspect", f"{mails}/clean.eml", redirected=">/dev/full")
    assert said.returncode == 75
    assert said.stderr == "spoolscan: writing the output: No space left on device (ENOSPC)\n"


def test_closed_streams_change_no_verdict(mails: Path) -> None:
    assert call("inspect", f"{mails}/clean.eml", redirected="<&- >&- 2>&-").returncode == 0
    assert call("inspect", f"{mails}/infected.eml", redirected="<&- >&- 2>&-").returncode == 1


# ---- run, and the stages


def test_a_second_run_on_the_same_spool_ends_and_says_why(spool: Gateway) -> None:
    spool.start()
    said = call("--spool", str(spool.root), "run")
    assert (said.returncode, said.stdout) == (75, "")
    assert re.search(r"var/[a-z]+\.lock: another [a-z]+ is running on this spool", said.stderr)
    assert said.stderr.endswith("cannot start; its reason stands above\n")
    assert spool.stop() == 0


def test_a_port_that_is_taken_ends_run_and_says_which(spool: Gateway) -> None:
    with socket.create_server(("127.0.0.1", spool.port)):
        said = call("--spool", str(spool.root), "run")
    assert (said.returncode, said.stdout) == (75, "")
    assert f"127.0.0.1:{spool.port}: Address already in use" in said.stderr


@pytest.mark.parametrize(
    ("section", "settings", "words"),
    [
        ("forwarder", {"next_hop": '"mail.example.com"'}, "next hop 'mail.example.com'"),
        ("[engine]", {"kind": '"yara"', "rules": '"nowhere"'}, "nowhere: No such file"),
    ],
)
def test_settings_with_which_a_stage_cannot_begin_leave_the_old_ones_in_force(
    spool: Gateway, section: str, settings: dict[str, str], words: str
) -> None:
    spool.start()
    before = [spool.process(stage) for stage in ("smtpd", "scanmail", "smtpfwdd")]
    good = (spool.root / "etc" / "spoolscan.toml").read_text()
    spool.configure(section, **settings)
    spool.reload()
    assert words in spool.wait_for_log("event=not-reloaded")[0]
    (spool.root / "etc" / "spoolscan.toml").write_text(good)
    spool.wait_until_done(spool.send(message()))
    assert [spool.process(stage) for stage in ("smtpd", "scanmail", "smtpfwdd")] == before
    assert spool.stop() == 0


def test_the_scripts_know_their_spool_from_anywhere_and_through_a_link(
    spool: Gateway, tmp_path: Path
) -> None:
    queue_id = put(spool_in(spool.root), message())
    link = tmp_path / "link"
    link.symlink_to(spool.root / "bin" / "scanmail")
    for script in (link, spool.root / "bin" / "smtpfwdd"):
        done = subprocess.run(
            [str(script), "--once"], env=ENVIRONMENT, cwd="/", capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert not list(spool.root.glob(f"*/{queue_id}"))
    assert len(list((tmp_path / "maildir" / "new").iterdir())) == 1


# ---- demo


def test_the_demo_shows_each_message_within_a_terminal_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    said = call("demo", TMPDIR=str(tmp_path))
    assert (said.returncode, said.stderr) == (0, "")
    assert max(map(len, said.stdout.splitlines()[1:])) <= 80
    assert "expected" not in said.stdout
    assert re.search(r"(?m)^EICAR as a \.doc +quarantine +\d+ ms  infected: EICAR", said.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_stopped_leaves_nothing_behind(
    number: signal.Signals, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "spoolscan", "demo"],
        env=ENVIRONMENT | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        until(lambda: list(tmp_path.glob("*/spool/var/smtpd.lock")), "the demo runs")
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 128 + number
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
