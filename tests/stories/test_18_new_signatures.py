"""New signatures come while mail flows: none is lost, and what was clean before is found."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gateway import Gateway

BAD = b"a macro that nobody knew of until today\r\n"
MESSAGE = (
    b"From: <alice@example.net>\r\nSubject: May\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: application/msword\r\n"
    b'Content-Disposition: attachment; filename="may.doc"\r\n\r\n' + BAD
)


def test_new_signatures_come_while_mail_flows(tmp_path: Path) -> None:
    lists = tmp_path / "new.sha256"
    with Gateway(tmp_path / "spool", f"maildir:{tmp_path / 'maildir'}") as gateway:
        with (gateway.root / "etc" / "spoolscan.toml").open("a") as settings:
            settings.write(
                f'\n[[signatures.source]]\nname = "new"\nformat = "hashes"\nurl = "file:{lists}"\n'
                'signed_by = "nobody"\n'
            )
        gateway.start()
        gateway.wait_until_done(gateway.send(MESSAGE))
        good = MESSAGE.replace(BAD, b"the figures of May\r\n")
        sent = [gateway.send(good) for _ in range(20)]
        lists.write_text(f"# serial: 1\n{hashlib.sha256(BAD).hexdigest()}  Macro.New\n")
        line = f"{hashlib.sha256(lists.read_bytes()).hexdigest()}  new.sha256\n"
        lists.with_name("new.sha256.sha256").write_text(line)
        updated = gateway.script("sigupdate")
        assert (updated.returncode, updated.stdout) == (0, "new: new\n"), updated.stderr
        gateway.edited()
        bad = gateway.send(MESSAGE)
        sent += [gateway.send(good) for _ in range(20)]
        assert (
            b"Macro.New"
            in gateway.wait_in("quarantine", bad).with_name(f"{bad}.why.txt").read_bytes()
        )
        gateway.wait_until_done(*sent)
    mails = [path.read_bytes() for path in (tmp_path / "maildir" / "new").iterdir()]
    assert sum(b"the figures of May" in mail for mail in mails) == 40
    assert sum(b"nobody knew of" in mail for mail in mails) == 1
