"""A name server for tests: it knows what it is told, and counts what it is asked.

``records`` maps "NAME TYPE" to the texts of its records, to an rcode ("SERVFAIL"), or to None: no
answer at all.  A name that is nowhere in it does not exist.  It runs in the test's own event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Answer = Sequence[str] | str | None


class NameServer(asyncio.DatagramProtocol):
    """``async with NameServer({...}) as server``; then `place`, and `asked` by "NAME TYPE"."""

    def __init__(self, records: Mapping[str, Answer]) -> None:
        self.records = dict(records)
        self.asked: Counter[str] = Counter()
        self.place = ""

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.place = f"127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True)
        what = f"{name} {dns.rdatatype.to_text(question.rdtype)}"
        self.asked[what] += 1
        exists = any(key.startswith(f"{name} ") for key in self.records)
        answer = self.records.get(what, () if exists else "NXDOMAIN")
        if answer is None:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if isinstance(answer, str):
            response.set_rcode(dns.rcode.from_text(answer))
        else:
            alias = self.records.get(f"{name} CNAME")
            if isinstance(alias, Sequence) and not isinstance(alias, str):
                target = alias[0]
                response.answer.append(
                    dns.rrset.from_text(question.name, 60, "IN", "CNAME", target)
                )
                answer = self.records.get(f"{target.rstrip('.')} {what.split()[1]}") or ()
                name = target.rstrip(".")
            if answer:
                owner = f"{name}."
                response.answer.append(
                    dns.rrset.from_text(owner, 60, "IN", question.rdtype, *answer)
                )
        self._transport.sendto(response.to_wire(), addr)
