"""Sockets that others opened: systemd's, inetd's, and the pipe of a program of this host."""

from __future__ import annotations

import os
import smtplib
import socket
import subprocess
import sys

from gateway import Gateway
from loopback import answers
from reception import MESSAGE


def smtpd(gateway: Gateway, *options: str) -> list[str]:
    return [sys.executable, "-m", "spoolscan", "--spool", str(gateway.root), "smtpd", *options]


AS_SYSTEMD = """
import fcntl, os, sys
spare = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 20) for word in sys.argv[1:3]]
for number, descriptor in enumerate(spare, 3):
    os.dup2(descriptor, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="mail:lmtp")
os.execv(sys.argv[3], sys.argv[3:])
"""


def test_sockets_that_systemd_opened_are_listened_on_and_no_others(gateway: Gateway) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", AS_SYSTEMD, str(one.fileno()), str(two.fileno())),
                *smtpd(gateway),
            ],
            pass_fds=(one.fileno(), two.fileno()),
            stderr=subprocess.PIPE,
        )
        try:
            for listener, greeting in ((one, b"EHLO"), (two, b"LHLO")):
                with socket.create_connection(listener.getsockname(), 60) as sock:
                    said = sock.makefile("rb")
                    assert said.readline().startswith(b"220 ")
                    sock.sendall(greeting + b" x\r\n")
                    assert said.readline().startswith(b"250-")
                    said.close()
            assert not answers(gateway.port), "the settings' own address"
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_variables_meant_for_another_process_are_not_ours(gateway: Gateway) -> None:
    os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = "1", "1"
    try:
        gateway.start_receiver()
        assert answers(gateway.port)
    finally:
        del os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"]
        gateway.stop()


def test_inetd_hands_over_a_peer_and_our_log_is_not_for_it(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with smtplib.SMTP(timeout=60) as client:
            client._host = "127.0.0.1"  # type: ignore[attr-defined] # what connect() would set
            client.sock = socket.create_connection(listener.getsockname(), 60)
            accepted, _ = listener.accept()
            with accepted:
                process = subprocess.Popen(
                    smtpd(gateway, "--stdio"), stdin=accepted, stdout=accepted, stderr=accepted
                )
            assert client.getreply()[0] == 220
            assert client.rcpt("x@y.example")[0] == 503
            client.ehlo("client.example")
            client.mail("a@b.example")
            assert client.rcpt("eve@elsewhere.example")[0] == 550, "from outside"
            assert client.rcpt("bob@example.com")[0] == 250
            assert client.data(MESSAGE)[0] == 250
            assert client.quit()[0] == 221
        assert process.wait(60) == 0
    (queue_id,) = gateway.messages("incoming")
    head = (gateway.root / "incoming" / queue_id).read_bytes()
    assert b"\nPEER 127.0.0.1 -\n" in head


def test_a_peer_of_inetd_is_told_421_where_we_cannot_take_mail(gateway: Gateway) -> None:
    gateway.configure("receiver", hops="-1")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            smtpd(gateway, "--stdio"), stdin=theirs, stdout=theirs, stderr=theirs
        )
        theirs.close()
        said = ours.makefile("rb")
        assert said.read() == b"421 4.3.0 cannot take mail now, try again later\r\n"
        said.close()
    assert process.wait(60) == 78


def test_a_program_of_this_host_may_send_to_anywhere(gateway: Gateway) -> None:
    process = subprocess.Popen(
        smtpd(gateway, "--stdio"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"220 ")
    for line, code in (
        (b"HELO me", b"250"),
        (b"MAIL FROM:<a@b.example>", b"250"),
        (b"RCPT TO:<eve@elsewhere.example>", b"250"),
        (b"DATA", b"354"),
        (b"Subject: x\r\n\r\nx\r\n.", b"250"),
        (b"QUIT", b"221"),
    ):
        process.stdin.write(line + b"\r\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(code), line
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert b"event=received" in errors
    assert len(gateway.messages("incoming")) == 1
