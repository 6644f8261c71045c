"""A name server on loopback, over real UDP: it knows what it is told, and keeps what it is asked.

``records`` maps "NAME TYPE" to the texts of its records, to an rcode ("SERVFAIL"), or to None: no
answer at all.  "NAME" alone is said of that name and of all below it, whatever is asked of them.
A name that is nowhere in it does not exist.
"""

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

Answer = Sequence[str] | str | None
Records = Mapping[str, Answer]


class NameServer:
    """Use as a context manager, of either kind; then `place`, and `asked`: each "NAME TYPE"."""

    def __init__(self, records: Records) -> None:
        self.records = dict(records)
        self.asked: list[str] = []
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

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

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
        self.asked.append(f"{name} {kind}")
        found = self._known(name, kind)
        if found is None:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if isinstance(found, str):
            answer.set_rcode(dns.rcode.from_text(found))
            return answer
        owner = f"{name}."
        alias = self.records.get(f"{name} CNAME")
        if alias and not isinstance(alias, str):
            answer.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", alias[0]))
            owner = alias[0]
            found = self.records.get(f"{owner.rstrip('.')} {kind}") or ()
        if found:
            answer.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, *found))
        return answer

    def _known(self, name: str, kind: str) -> Answer:
        if f"{name} {kind}" in self.records:
            return self.records[f"{name} {kind}"]
        for key, answer in self.records.items():
            if " " not in key and f".{name}".endswith(f".{key}"):
                return answer
        return () if any(key.startswith(f"{name} ") for key in self.records) else "NXDOMAIN"
