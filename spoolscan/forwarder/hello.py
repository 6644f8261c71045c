r"""From the greeting to a connection that carries mail (RFC 5321, 2033, 3207, 4954, 8314).

::

    220 -> EHLO -> STARTTLS -> handshake -> EHLO -> AUTH -> ready
              \-> HELO, where EHLO is unknown; never in LMTP

Which of it is done the options of the next hop decide.  What was offered before the handshake is
forgotten after it: anybody could have said it.  A password is said only over TLS, unless the
options allow it in the clear, and nothing a server answers to it reaches a log, for it may be the
password.  A server that does not offer what we must have, or refuses it, is `Unwelcome`: it has
refused no message.

No I/O: says what to say, and believes what it is given.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TypeAlias

from spoolscan.forwarder.replies import SUCCESS, Reply, Step
from spoolscan.nexthop.options import Options

Said: TypeAlias = tuple[Step, bytes]
"""What is asked, and the line for it."""


class Unwelcome(Exception):
    """No mail can be given to this server now; the text says why."""


class Hello:
    """One connection's introduction.  ``hostname`` is what we say in EHLO."""

    def __init__(self, hostname: str, options: Options, *, lmtp: bool) -> None:
        self.features: dict[str, str] = {}  # offered: keyword in capitals -> what stood behind it
        self._hostname = hostname.encode("ascii", "replace")
        self._options = options
        self._lmtp = lmtp
        self._secure = options.implicit
        self._secrets: list[bytes] = []  # lines of AUTH LOGIN still to be said, the last first

    def secured(self) -> Said:
        """TLS is there now: begin anew."""
        self._secure = True
        self.features = {}
        return self._greet()

    def next(self, step: Step, reply: Reply) -> Said | None:
        """What follows on a reply; None when mail may be sent.  Raises Unwelcome."""
        accepted = reply.code in SUCCESS[step]
        match step:
            case Step.GREETING if accepted:
                return self._greet()
            case Step.EHLO if reply.code >= 500 and not self._lmtp:
                return Step.HELO, b"HELO %b\r\n" % self._hostname
            case Step.EHLO if accepted:
                words = (line.split() for line in reply.lines[1:])
                self.features = {word[0].upper(): " ".join(word[1:]) for word in words if word}
                return self._encrypt()
            case Step.HELO if accepted:
                return self._encrypt()
            case Step.STARTTLS if self._options.tls == "may":
                return self._log_in()
            case Step.AUTH:
                return self._answer(reply)
        raise Unwelcome(reply.text)

    def _greet(self) -> Said:
        verb = b"LHLO" if self._lmtp else b"EHLO"
        return Step.EHLO, b"%b %b\r\n" % (verb, self._hostname)

    def _encrypt(self) -> Said | None:
        if self._secure or self._options.tls == "none":
            return self._log_in()
        if "STARTTLS" in self.features:
            return Step.STARTTLS, b"STARTTLS\r\n"
        if self._options.tls != "may":
            raise Unwelcome(f"offers no STARTTLS, and tls={self._options.tls} is set for it")
        return self._log_in()

    def _log_in(self) -> Said | None:
        if self._options.auth is None:
            return None
        if not self._secure and not self._options.clear:
            raise Unwelcome("there is no TLS, and the password is not said in the clear")
        user, password = (word.encode() for word in self._options.auth)
        offered = self.features.get("AUTH", "").upper().split()
        if "PLAIN" in offered:
            return Step.AUTH, b"AUTH PLAIN %b\r\n" % b64encode(b"\0%b\0%b" % (user, password))
        if "LOGIN" in offered:
            self._secrets = [b64encode(password) + b"\r\n", b64encode(user) + b"\r\n"]
            return Step.AUTH, b"AUTH LOGIN\r\n"
        raise Unwelcome("offers neither AUTH PLAIN nor LOGIN, and there is a password for it")

    def _answer(self, reply: Reply) -> Said | None:
        if reply.code == 235:
            return None
        if reply.code == 334 and self._secrets:
            return Step.AUTH, self._secrets.pop()
        raise Unwelcome(f"did not take our user and password ({reply.code} {reply.status})")
