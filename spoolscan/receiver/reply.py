"""What the server says: one SMTP reply, and the bytes of it.

A reply is a code (RFC 5321 4.2), an enhanced status (RFC 3463; empty where RFC 2034 wants none: the
banner, 354, and the answer to EHLO and HELO) and words.  Whatever a word contains, what goes out is
printable ASCII within lines of 512 bytes: nothing that a peer sent can start a line of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_REPLY_BYTES: Final = 512  # RFC 5321 4.5.3.1.5, with the code and CRLF


@dataclass(frozen=True, slots=True)
class Reply:
    """``text`` may hold several lines, parted by ``\\n``: they become a multi-line reply."""

    code: int
    status: str
    text: str

    @property
    def positive(self) -> bool:
        """The command was obeyed, or (354) will be."""
        return self.code < 400

    def wire(self) -> bytes:
        """The reply as it goes out, each line ended by CRLF."""
        prefix = f"{self.status} " if self.status else ""
        room = _REPLY_BYTES - len("250-") - len(prefix) - len("\r\n")
        *first, last = (prefix + printable(line, room) for line in self.text.split("\n"))
        lines = [f"{self.code}-{line}\r\n" for line in first] + [f"{self.code} {last}\r\n"]
        return "".join(lines).encode("ascii")


def printable(text: str, length: int) -> str:
    """At most ``length`` characters of the text; all but printable ASCII became ``?``."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:length])


OK: Final = Reply(250, "2.0.0", "ok")
SENDER_OK: Final = Reply(250, "2.1.0", "sender ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "recipient ok")
GO_AHEAD: Final = Reply(354, "", "end with CR LF . CR LF")
CANNOT_VERIFY: Final = Reply(252, "2.0.0", "not verified; mail for it is tried when it comes")
HELP: Final = Reply(214, "2.0.0", "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT")

HELLO_FIRST: Final = Reply(503, "5.5.1", "say EHLO or HELO first")
MAIL_FIRST: Final = Reply(503, "5.5.1", "MAIL comes first")
RCPT_FIRST: Final = Reply(503, "5.5.1", "no recipient was accepted: RCPT comes first")
NESTED: Final = Reply(503, "5.5.1", "a message is under way: end it, or say RSET")
NOT_HERE: Final = Reply(502, "5.5.1", "command not implemented")
UNKNOWN: Final = Reply(500, "5.5.1", "command not recognised")
NO_ARGUMENT: Final = Reply(501, "5.5.4", "the command takes no argument")
NO_NAME: Final = Reply(501, "5.5.4", "your host name must follow")
NO_ADDRESS: Final = Reply(501, "5.5.4", "an address must follow")
NO_RECIPIENT: Final = Reply(501, "5.1.3", "a recipient's address must follow")
NOT_SUPPORTED: Final = Reply(555, "5.5.4", "parameter not supported")
BAD_VALUE: Final = Reply(501, "5.5.4", "value of a parameter not supported")
TOO_LONG: Final = Reply(500, "5.5.2", "line too long")
BARE_LF: Final = Reply(500, "5.5.2", "lines end with CR LF, not with LF alone")
CONTROL: Final = Reply(501, "5.5.2", "control character in a command")
EARLY: Final = Reply(554, "5.5.1", "you sent more before my answer than the protocol allows")
FOREIGN: Final = Reply(554, "5.5.1", "this is a mail server")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "too many errors")
TOO_IDLE: Final = Reply(421, "4.7.0", "too many commands without a message")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "too many recipients for one message")
TOO_BIG: Final = Reply(552, "5.3.4", "message too big")
OWN_LOOP: Final = Reply(554, "5.4.6", "it came by here too often: the message is in a loop")
LOOP: Final = Reply(554, "5.4.6", "too many Received fields: the message is in a loop")
