"""A real Postfix for tests: own configuration, queue and mailboxes, touching nobody else's.

It takes mail for the mailboxes it is given into one Maildir each, refuses others of their domains
as it does by default (550 5.1.1), and hands mail to all other domains to the port ``outside``, if
there is one.  It can be stopped and started again on the same port, and is ended by its own process
id.  Root is needed, because Postfix changes to users of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from loopback import answers, free_port, until

_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/log
maillog_file_prefixes = {root}
myhostname = {hostname}
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
local_header_rewrite_clients =
message_drop_headers =
notify_classes =
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtpd_recipient_restrictions = check_recipient_access inline:{{ {answers} }}, {others}
virtual_mailbox_domains = {domains}
virtual_mailbox_maps = inline:{{ {mailboxes} }}
virtual_mailbox_base = {root}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
default_transport = {outside}
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
tlsmgr    unix - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
"""

_NOBODY = 65534  # owns the mailboxes
_PATH = os.environ.get("PATH", "") + ":/usr/sbin"
_FIELD = re.compile(
    rb"(?P<name>Return-Path|X-Original-To|Delivered-To|Received):.*\n(?:[ \t].*\n)*"
)


class PostfixServer:
    """One Postfix.  ``answers`` maps an address to what RCPT is told, such as "452 4.2.2 full"."""

    def __init__(
        self,
        mailboxes: Sequence[str],
        *,
        hostname: str = "inside.example.com",
        answers: Mapping[str, str] | None = None,
        outside: int | None = None,
        folder: Path | None = None,
    ) -> None:
        # Not pytest's directory: Postfix's own users must be able to walk to their files.
        self._folder = tempfile.TemporaryDirectory(prefix="spoolscan-postfix-", dir=folder)
        self.root = Path(self._folder.name)
        self.root.chmod(0o755)
        self.port = free_port()
        self.mailboxes = tuple(mailboxes)
        self._process: subprocess.Popen[bytes] | None = None
        self._lay_out(hostname, answers or {}, outside)

    @staticmethod
    def absent() -> str | None:
        """Why there can be no Postfix here; None where there can."""
        if shutil.which("postfix", path=_PATH) is None:
            return "no Postfix here: install postfix to run this test"
        return None if os.geteuid() == 0 else "Postfix needs root: run this test as root"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """Itself as a next hop."""
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the master."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it greets; does nothing where it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        # A session of its own: Postfix ends its process group when it ends.
        self._process = subprocess.Popen(
            [_setting("daemon_directory") + "/master", "-c", str(self.root / "etc"), "-s"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: answers(self.port), "Postfix starts", tell=self.log)

    def stop(self) -> None:
        """End it and all its processes; the mailboxes stay."""
        if self._process is not None:
            group = self._process.pid
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()
            self._process = None
            until(lambda: not _exists(group), "the last process of Postfix ends")

    def log(self) -> str:
        path = self.root / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def delivered(self, address: str) -> list[bytes]:
        """What lies in a mailbox, as it came but for Postfix's lines on top; lines end CRLF."""
        new = self.root / "mail" / address / "new"
        files = sorted(new.iterdir()) if new.is_dir() else []
        return [_without_postfix(file.read_bytes()).replace(b"\n", b"\r\n") for file in files]

    def wait_for(self, address: str, count: int = 1) -> list[bytes]:
        """The same, once there is as much as that."""
        return until(
            lambda: found if len(found := self.delivered(address)) >= count else [],
            f"{count} in the mailbox of {address}",
            tell=self.log,
        )

    def empty(self) -> None:
        """Clear the mailboxes and the log, once nothing is on its way any more."""
        queues = [self.root / "queue" / name for name in ("incoming", "active", "deferred")]
        until(
            lambda: not any(path.is_file() for queue in queues for path in queue.rglob("*")),
            "Postfix delivers what it has",
            tell=self.log,
        )
        for address in self.mailboxes:
            shutil.rmtree(self.root / "mail" / address, ignore_errors=True)
        (self.root / "log").write_bytes(b"")

    def _lay_out(self, hostname: str, answers: Mapping[str, str], outside: int | None) -> None:
        for name in ("etc", "queue", "data", "mail"):
            (self.root / name).mkdir(mode=0o755)
        shutil.chown(self.root / "data", _setting("mail_owner"))
        os.chown(self.root / "mail", _NOBODY, _NOBODY)
        domains = dict.fromkeys(address.rpartition("@")[2] for address in self.mailboxes)
        settings = _MAIN.format(
            root=self.root,
            hostname=hostname,
            domains=", ".join(domains),
            mailboxes=", ".join(f"{{ {address} = {address}/ }}" for address in self.mailboxes),
            answers=", ".join(f"{{ {address} = {text} }}" for address, text in answers.items())
            or "{ nobody@invalid = OK }",
            others="permit_mynetworks, reject" if outside else "reject_unauth_destination",
            outside=f"smtp:[127.0.0.1]:{outside}" if outside else "error:5.4.4 no way out",
            uid=_NOBODY,
            gid=_NOBODY,
        )
        (self.root / "etc" / "main.cf").write_text(settings)
        (self.root / "etc" / "master.cf").write_text(_MASTER.format(port=self.port))
        # Makes the queue's directories, with the owners they need.
        subprocess.run(
            ["postfix", "-c", str(self.root / "etc"), "check"],
            env={**os.environ, "PATH": _PATH},
            check=True,
            capture_output=True,
        )


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _setting(name: str) -> str:
    """One of Postfix's settings as it was built."""
    done = subprocess.run(
        ["postconf", "-dhx", name],
        env={**os.environ, "PATH": _PATH},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _without_postfix(message: bytes) -> bytes:
    """Without the fields that Postfix, once or twice, put on top."""
    while field := _FIELD.match(message):
        if field["name"] == b"Received" and b"(Postfix)" not in field[0]:
            break
        message = message[field.end() :]
    return message
