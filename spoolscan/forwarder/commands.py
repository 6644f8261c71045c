"""MAIL, RCPT and XFORWARD: an envelope in the words this server understands.

=============  =============================================================================
SIZE           the size is said, and what is larger than the server takes is refused here
8BITMIME       said of mail that is not ASCII; without it that goes as it is, or is refused
SMTPUTF8       said of mail that came with it, or needs it; without it only such mail goes as
               needs none: ASCII addresses, and an ASCII header
DSN            what the sender asked to be told is passed on; ENVID is our queue id where the
               sender gave none, so that both sides have one name for a message sent twice
XFORWARD       who gave us the message, for a next hop that is named for it
=============  =============================================================================

Mail is never converted: what was scanned, and perhaps signed, is what is forwarded.  Parameters
of the envelope that are not of their RFC's form (a file dropped by hand) are not said.  No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from spoolscan.envelope import xtext
from spoolscan.forwarder.delivery import Fate, Mail, Outcome, Wish

Features = Mapping[str, str]

_XTEXT: Final = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+"  # RFC 3461 section 4
_ENVID: Final = re.compile(rf"(?=.{{1,100}}\Z){_XTEXT}")
_ORCPT: Final = re.compile(rf"(?=.{{1,500}}\Z)[A-Za-z0-9-]+;{_XTEXT}")
_NOTIFY: Final = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")
_LONGEST_XFORWARD: Final = 255  # characters of a value; Postfix takes no longer one


def refusal(mail: Mail, features: Features, *, eight_bit: bool) -> Outcome | None:
    """Why this server cannot have the message for anybody; None where it can.

    ``eight_bit``: bytes that are not ASCII go also to a server that does not offer 8BITMIME.
    """
    limit = features.get("SIZE", "")
    if limit.isdecimal() and 0 < int(limit[:20]) < mail.size:
        text = f"message of {mail.size} bytes is larger than the next hop takes ({limit[:20]})"
        return Outcome(Fate.REFUSED, "5.3.4", text)
    if mail.eight_bit and not eight_bit and "8BITMIME" not in features:
        text = "8-bit message, and the next hop takes 7-bit ones only (no 8BITMIME)"
        return Outcome(Fate.REFUSED, "5.6.3", text)
    if "SMTPUTF8" not in features:
        if not mail.sender.isascii():
            return unspeakable("sender's")
        if mail.utf8 and mail.eight_bit_header:
            text = "header in UTF-8, which the next hop does not take (no SMTPUTF8)"
            return Outcome(Fate.REFUSED, "5.6.9", text)
    return None


def unspeakable(whose: str) -> Outcome:
    """An address that cannot be said here (RFC 6531 section 3.2)."""
    text = f"the {whose} address is internationalized, which the next hop does not take"
    return Outcome(Fate.REFUSED, "5.6.7", f"{text} (no SMTPUTF8)")


def mail_line(mail: Mail, features: Features) -> bytes:
    words = [f"MAIL FROM:<{mail.sender}>"]
    if "SIZE" in features:
        words.append(f"SIZE={mail.size}")
    if mail.eight_bit and "8BITMIME" in features:
        words.append("BODY=8BITMIME")
    if "SMTPUTF8" in features and (mail.utf8 or not _is_ascii(mail)):
        words.append("SMTPUTF8")
    if "DSN" in features:
        if mail.ret in ("FULL", "HDRS"):
            words.append(f"RET={mail.ret}")
        envid = mail.envid if _ENVID.fullmatch(mail.envid) else xtext(mail.queue_id)
        words.append(f"ENVID={envid}")
    return f"{' '.join(words)}\r\n".encode()


def rcpt_line(address: str, wish: Wish, features: Features) -> bytes:
    words = [f"RCPT TO:<{address}>"]
    if "DSN" in features:
        if _NOTIFY.fullmatch(wish.notify):
            words.append(f"NOTIFY={wish.notify}")
        if _ORCPT.fullmatch(wish.orcpt):
            words.append(f"ORCPT={wish.orcpt}")
    return f"{' '.join(words)}\r\n".encode()


def xforward_line(mail: Mail, features: Features) -> bytes:
    """Of what is known of the peer, what this server asks for; nothing where that is nothing."""
    asked = features.get("XFORWARD", "").upper().split()
    words = [
        f" {name}={value[:_LONGEST_XFORWARD]}"
        for name, value in ((name, xtext(mail.origin.get(name, ""))) for name in asked)
        if value
    ]
    return f"XFORWARD{''.join(words)}\r\n".encode("ascii") if words else b""


def _is_ascii(mail: Mail) -> bool:
    return mail.sender.isascii() and all(address.isascii() for _, address in mail.recipients)
