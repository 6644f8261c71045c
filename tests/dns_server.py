"""A name server on loopback, over real UDP, with the zones that a test gives it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SILENT = "silent"  # no answer at all
BROKEN = "broken"  # SERVFAIL

Records = Mapping[tuple[str, str], Sequence[str]]


class DnsServer:
    """Use as a context manager.

    ``records`` go by (name without its dot, type); a name that has none does not exist, and
    ``moods`` of a name, or of all names below it, stand above them.
    """

    def __init__(self, records: Records, moods: Mapping[str, str] | None = None) -> None:
        self.records = dict(records)
        self.moods = dict(moods or {})
        self.ttl = 60
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def place(self) -> str:
        """ADDRESS:PORT."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(4096)
            if not data:
                return
            try:
                query = dns.message.from_wire(data)
            except dns.exception.DNSException:
                continue
            if answer := self._answer(query):
                self._socket.sendto(answer.to_wire(), peer)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        mood = next((self.moods[it] for it in self.moods if f".{name}".endswith(f".{it}")), "")
        if mood == SILENT:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if mood == BROKEN:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif values := self.records.get((name, kind)):
            answer.answer.append(
                dns.rrset.from_text_list(question.name, self.ttl, "IN", kind, list(values))
            )
        elif not any(name == known for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer
