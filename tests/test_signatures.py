"""Signatures kept new: what is put in force, and six ways in which an update is spoiled.

The sources are files and a real HTTPS server; minisign's signatures are made by Ed25519, and gpg's
by gpg(1).
"""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from signing import NOW, Site, laid_out, minisig, rules

from spoolscan import cli, config
from spoolscan.errors import ConfigError, Corrupt, TemporaryFailure
from spoolscan.jobs.summary import report
from spoolscan.scanner.engines import Sample, build
from spoolscan.scanner.engines.hashes import parse
from spoolscan.scanner.engines.proof import EICAR
from spoolscan.signatures import known
from spoolscan.signatures.fetch import fetch
from spoolscan.signatures.trial import harmless


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return laid_out(tmp_path)


@pytest.fixture
def in_force(site: Site) -> Site:
    """With version 5 in force, and nothing in outgoing/."""
    site.publish(rules("first", 5))
    assert site.update() == "partner: new"
    for entry in site.spool.entries("outgoing"):
        site.spool.remove("outgoing", entry.queue_id)
    return site


def test_a_new_version_is_put_in_force_and_told(site: Site) -> None:
    site.publish(rules("first", 5))
    assert site.update() == "partner: new"
    assert site.finds(b"the first word") == ["found"]
    assert site.finds(EICAR) == ["EICAR-Test-File"]
    (notice,) = site.notices()
    assert "Subject: spoolscan at" in notice
    assert "new, and in force: version 5" in notice
    assert site.update() == "partner: as it was"
    assert len(site.notices()) == 1


def test_an_engine_at_work_takes_it_up_without_a_break(in_force: Site) -> None:
    [engine] = build(config.load(in_force.root).engines())
    assert engine.scan([Sample(("1",), b"a second word")]) == []
    in_force.publish(rules("second", 6))
    in_force.update()
    assert [it.name for it in engine.scan([Sample(("1",), b"a second word")])] == ["found"]
    assert engine.scan([Sample(("1",), b"the first word")]) == []


def spoilt_truncated(site: Site) -> None:
    data = rules("second", 6)
    site.publish(data[:-8], minisig(data))


def spoilt_wrong_hash(site: Site) -> None:
    site.use("nobody")
    site.publish(rules("second", 6))
    site.sign(f"{hashlib.sha256(b'another').hexdigest()}  partner.yar\n".encode(), ".sha256")


def spoilt_older(site: Site) -> None:
    site.publish(rules("second", 4))


def spoilt_unsigned(site: Site) -> None:
    site.publish(rules("second", 6))
    site.published.with_name("partner.yar.minisig").unlink()


def spoilt_another_key(site: Site) -> None:
    data = rules("second", 6)
    site.publish(data, minisig(data, secret=Ed25519PrivateKey.from_private_bytes(bytes(32))))


def spoilt_garbled_signature(site: Site) -> None:
    site.publish(rules("second", 6), b"\xff\0 not one of minisign's\n")


def spoilt_uncompilable(site: Site) -> None:
    site.publish(b'// serial: 6\nrule second { strings: $a = "x" condition: $b }\n')


def spoilt_swallows_the_canary(site: Site) -> None:
    site.publish(b"// serial: 6\nrule everything { condition: true }\n")


def spoilt_finds_what_is_harmless(site: Site) -> None:
    site.publish(b'// serial: 6\nrule second { strings: $a = "<!DOCTYPE html>" condition: $a }\n')


def spoilt_bans_nothing_at_all(site: Site) -> None:
    site.publish(b"// serial: 6\nrule second { condition: filesize == 0 }\n")


def spoilt_without_a_version(site: Site) -> None:
    site.use("nobody")
    data = rules("second", None)
    site.publish(data)
    site.sign(hashlib.sha256(data).hexdigest().encode(), ".sha256")


def spoilt_too_large(site: Site) -> None:
    text = (site.root / config.FILE).read_text()
    (site.root / config.FILE).write_text(text.replace('#max_size = "64M"', 'max_size = "1K"'))
    site.publish(rules("second", 6) + b"/" * 2000)


SPOILT = {
    spoilt_truncated: "signature is wrong",
    spoilt_wrong_hash: "its SHA-256 is another one",
    spoilt_older: "older than 5",
    spoilt_unsigned: "No such file",
    spoilt_another_key: "signature is wrong",
    spoilt_garbled_signature: "not four lines of minisign's",
    spoilt_uncompilable: "does not load: ",
    spoilt_swallows_the_canary: "plain words infected",
    spoilt_finds_what_is_harmless: "in a web page, which is harmless",
    spoilt_bans_nothing_at_all: "in nothing at all, which is harmless",
    spoilt_without_a_version: "does not say how new it is",
    spoilt_too_large: "more than 1024 bytes",
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_after_a_spoilt_update_the_old_set_is_in_force_and_a_notice_tells(
    in_force: Site, spoil: object
) -> None:
    before = in_force.target.read_bytes()
    assert callable(spoil)
    spoil(in_force)
    assert in_force.update().startswith("partner: trouble: ")
    assert in_force.target.read_bytes() == before
    assert not in_force.target.with_name("fetched-partner.yar.last").exists()
    assert in_force.finds(b"the first word") == ["found"]
    assert in_force.finds(b"a second word") == []
    (notice,) = in_force.notices()
    assert SPOILT[spoil] in notice  # type: ignore[index] # a key of it
    assert "What was in force before stays in force." in notice
    assert not list((in_force.root / "var").glob("signatures-*"))
    in_force.update(NOW + 3600)
    assert len(in_force.notices()) == 1  # told once a day
    in_force.update(NOW + 90_000)
    assert len(in_force.notices()) == 2


def test_a_set_that_no_longer_finds_eicar_is_refused(in_force: Site) -> None:
    """Its own rules are gone from the site, and those of the source are all there is."""
    (in_force.root / "etc" / "rules" / "eicar.yar").unlink()
    in_force.publish(rules("second", 6))
    assert "does not find EICAR" in in_force.update()


def test_after_trouble_it_is_told_that_all_is_well(in_force: Site) -> None:
    spoilt_truncated(in_force)
    in_force.update()
    in_force.publish(rules("first", 5))
    assert in_force.update(NOW + 60) == "partner: as it was"
    assert len(in_force.notices()) == 2


def test_the_one_before_is_put_in_force_again_and_stays(in_force: Site) -> None:
    in_force.publish(rules("second", 6))
    in_force.update()
    root = str(in_force.root)
    assert cli.main(["--spool", root, "sigupdate", "rollback", "partner"]) == 0
    assert in_force.finds(b"the first word") == ["found"]
    assert in_force.update() == "partner: as it was"
    assert in_force.finds(b"the first word") == ["found"]
    assert cli.main(["--spool", root, "sigupdate", "rollback", "partner"]) == 0
    assert in_force.finds(b"a second word") == ["found"]
    assert cli.main(["--spool", root, "sigupdate", "rollback", "nobody"]) == 78


def test_a_file_that_was_taken_away_by_hand_comes_again(in_force: Site) -> None:
    in_force.target.unlink()
    assert in_force.update(NOW + 60) == "partner: new"
    assert in_force.finds(b"the first word") == ["found"]


def test_of_a_file_without_a_serial_the_time_of_the_signature_counts(site: Site) -> None:
    first, second = rules("first", None), rules("second", None)
    site.publish(first, minisig(first, at=2000))
    assert site.update() == "partner: new"
    site.publish(second, minisig(second, at=1999))
    assert "1999 is older than 2000" in site.update()
    site.publish(second, minisig(second, at=2001, way=b"Ed"))
    assert site.update(NOW + 60) == "partner: new"


def test_a_changed_time_of_a_signature_is_found_out(site: Site) -> None:
    data = rules("first", None)
    site.publish(data, minisig(data, at=2000).replace(b":2000", b":3000"))
    assert "signature is wrong" in site.update()


def test_what_was_forged_is_as_wrong_by_gpg(site: Site, tmp_path: Path) -> None:
    if not (shutil.which("gpg") and shutil.which("gpgv")):
        pytest.skip("no gpg here: install gpg and gpgv to run this test")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--yes"]
    new_key = ["--passphrase", "", "--quick-gen-key", "a@example.org", "ed25519", "sign", "never"]
    subprocess.run([*gpg, *new_key], check=True, capture_output=True)
    keyring = site.root / "etc" / "partner.gpg"
    subprocess.run([*gpg, "--output", str(keyring), "--export"], check=True)
    site.use("gpg:etc/partner.gpg")
    site.publish(rules("first", None))
    sign = [*gpg, "--output", f"{site.published}.sig", "--detach-sign", str(site.published)]
    subprocess.run(sign, check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    assert site.update() == "partner: new"
    site.published.write_bytes(rules("second", None))
    site.target.unlink()
    assert "signature is wrong" in site.update()
    keyring.unlink()
    assert "no such keyring" in site.update()


def test_hashes_are_found_and_named(site: Site) -> None:
    bad = b"a file that somebody knows"
    lines = f"# serial: 7\n{hashlib.sha256(bad).hexdigest()}  Known-Bad.A\n{'0' * 64}\n"
    site.use(more='format = "hashes"\n')
    site.publish(lines.encode())
    assert site.update() == "partner: new"
    assert site.finds(bad) == ["Known-Bad.A"]
    assert site.finds(bad + b".") == []
    site.publish(lines.encode().replace(b"serial: 7", b"serial: 8") + b"not a hash\n")
    assert "fetched-partner.sha256:4: not a SHA-256" in site.update()
    empty = hashlib.sha256(b"").hexdigest()
    site.publish(f"# serial: 8\n{empty}  Nothing\n".encode())
    assert "Nothing in nothing at all, which is harmless" in site.update()
    assert site.finds(bad) == ["Known-Bad.A"]


@pytest.mark.parametrize("line", ["x", "ab  name", "0" * 63, "0" * 65, "0" * 64 + " \x1b[2J"])
def test_a_line_that_is_no_hash_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(ConfigError, match=r"^list:2: not a SHA-256"):
        parse(b"# serial: 1\n" + line.encode(), "list")


def test_what_is_harmless_is_no_finding_of_the_rules_as_they_are_shipped(site: Site) -> None:
    [engine] = build(config.load(site.root).engines())
    assert engine.scan(harmless()) == []


def test_a_source_without_news_is_told_of(in_force: Site) -> None:
    assert in_force.update(NOW + 29 * 86_400) == "partner: as it was"
    assert "nothing new since" in in_force.update(NOW + 31 * 86_400)
    (notice,) = in_force.notices()
    assert "is file:" in notice


def test_the_summary_and_the_list_show_the_ages(
    in_force: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config.load(in_force.root)
    (in_force.root / "var" / "journal.db").unlink(missing_ok=True)
    assert cli.main(["--spool", str(in_force.root), "sigupdate"]) == 0  # a row for the journal
    assert capsys.readouterr().out == "partner: as it was\n"
    mail = report.build(settings, in_force.spool, report.last_day())
    text, page = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert "SIGNATURES\n  partner: " in text.get_content()
    assert page is not None
    assert "<td>partner</td>" in page.get_content()
    assert cli.main(["--spool", str(in_force.root), "sigupdate", "list", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["id"], told["serial"], told["trouble"]) == ("partner", 5, "")
    assert cli.main(["--spool", str(in_force.root), "sigupdate", "list"]) == 0
    assert "days old" in capsys.readouterr().out


# -- from the network --------------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes]
    leads_to = ""

    def do_GET(self) -> None:
        if self.leads_to:
            self.send_response(302)
            self.send_header("Location", self.leads_to)
            self.end_headers()
            return
        data = self.files.get(self.path)
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        cut = -1 if self.path.endswith("cut") else None
        self.wfile.write((data or b"")[:cut])

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[_Handler]]]:
    """A server whose authority we trust; its URL and its files."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    handler = type("Handler", (_Handler,), {"files": {}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.server_address[1]}", handler
        server.shutdown()
        thread.join()


def test_by_https_as_by_file(site: Site, https: tuple[str, type[_Handler]]) -> None:
    url, handler = https
    data = rules("first", 5)
    handler.files = {"/r.yar": data, "/r.yar.minisig": minisig(data)}
    site.use(url=f"{url}/r.yar")
    assert site.update() == "partner: new"


def test_what_breaks_off_or_is_not_there_or_leads_astray_is_a_failure(
    https: tuple[str, type[_Handler]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = https
    handler.files = {"/cut": b"x" * 100, "/large": b"x" * 3000}
    with pytest.raises(TemporaryFailure, match=r"broke off after 99 of 100|IncompleteRead"):
        fetch(f"{url}/cut", 1000, 10)
    with pytest.raises(TemporaryFailure, match="404"):
        fetch(f"{url}/nothing", 1000, 10)
    with pytest.raises(Corrupt, match="more than 1000 bytes"):
        fetch(f"{url}/large", 1000, 10)
    handler.leads_to = "http://127.0.0.1:1/r.yar"
    with pytest.raises(TemporaryFailure, match="not https"):
        fetch(f"{url}/cut", 1000, 10)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(TemporaryFailure, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"{url}/large", 1000, 10)


def test_state_that_cannot_be_read_is_none(site: Site) -> None:
    for text in ("", "[]", '{"x": 1}', '{"x": {"serial": "y"}}'):
        (site.root / "var" / known.FILE).write_text(text)
        assert known.read(site.spool) == {}
