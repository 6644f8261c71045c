"""A route, a mail for it, and what it tells of each recipient."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from spoolscan.config import Forwarder
from spoolscan.forwarder import routes
from spoolscan.forwarder.delivery import Fate, Mail, Outcome, Route
from spoolscan.nexthop.table import Table

MESSAGE = b"Received: by me.test id 1\r\nSubject: dots\r\n\r\n.\r\n..a\r\n.b\r\n\r\n.\r\n"
ALICE = "alice@example.org"
BOTH = ("bob@example.com", "carol@example.com")


@dataclass
class Told:
    """Takes outcomes as the daemon does."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)

    async def __call__(self, known: Mapping[int, Outcome]) -> None:
        assert not self.outcomes.keys() & known, "a recipient has one outcome"
        self.outcomes.update(known)

    @property
    def fates(self) -> dict[int, Fate]:
        return {index: outcome.fate for index, outcome in self.outcomes.items()}


def made(url: str, **values: object) -> Route:
    line = Table.parse(f"* {url}", "routes", "").find("")
    return routes.Maker("me.test", Forwarder(**values)).make_line(line, "")


def mail(
    *chunks: bytes, sender: str = ALICE, to: Sequence[str] = BOTH, fails: Exception | None = None
) -> Mail:
    async def content() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if fails is not None:
            raise fails

    size = sum(map(len, chunks))
    return Mail("id", sender, tuple(enumerate(to)), size, eight_bit=False, content=content)
