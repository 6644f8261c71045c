"""``daysumm``: the mail that tells the administrator what happened.

The timetable's run reports from the end of the last report on, so that after downtime nothing is
left out and nothing told twice; before the first one, from the midnight that began the day.  Any
other period is reported when asked for by hand, and leaves no stamp.

Text and HTML by the templates ``summary.txt`` and ``summary.html``; two pictures of bars.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import make_msgid

from spoolscan import journal
from spoolscan.config import Config
from spoolscan.errors import TemporaryFailure
from spoolscan.jobs.contract import Context
from spoolscan.jobs.summary import tally
from spoolscan.jobs.summary.picture import bars
from spoolscan.jobs.summary.tally import Period, Tally
from spoolscan.jobs.timetable import last_due
from spoolscan.journal import History
from spoolscan.notices import POLICY, Templates, begin, post
from spoolscan.queueid import QUEUE_ID
from spoolscan.signatures import update
from spoolscan.spool import Spool

_WEEK = 7
_MONTH = 30


@dataclass(frozen=True, slots=True)
class Stock:
    """What lies in the spool now, in messages; ``quarantine_bytes`` with what is beside them."""

    incoming: int
    outgoing: int
    hold: int
    quarantine: int
    quarantine_bytes: int


def run(context: Context) -> str:
    """The job.  Raises TemporaryFailure, ConfigError."""
    settings, now, done = context.settings, context.now, context.stamp.done
    if not settings.journal.enabled:
        return "nothing to tell: [journal] enabled = false"
    when = last_due(settings.jobs.summary, now)
    if when is not None and done >= when.timestamp() and now.timestamp() - done < 43_200:
        return f"told already, at {datetime.fromtimestamp(done).astimezone():%Y-%m-%d %H:%M}"
    since = datetime.fromtimestamp(done).astimezone() if done else tally.midnight(now)
    return send(settings, context.spool, Period(since, now))


def send(settings: Config, spool: Spool, period: Period) -> str:
    """Report a period; returns what was done.  Raises TemporaryFailure, ConfigError."""
    message = build(settings, spool, period)
    queue_id = post(spool, message, settings.site.administrator)
    return f"sent as {queue_id}"


def build(settings: Config, spool: Spool, period: Period) -> EmailMessage:
    """The mail.  Raises TemporaryFailure, ConfigError."""
    with History(settings.path(journal.FILE)) as history:
        counted = tally.count(history, period)
        month = tally.days(history, period.end - timedelta(seconds=1), _MONTH)
        week = tally.count(history, Period(period.begin - timedelta(days=_WEEK), period.begin))
    values = {
        "hostname": settings.site.hostname,
        "begin": f"{period.begin:%Y-%m-%d %H:%M}",
        "end": f"{period.end:%Y-%m-%d %H:%M %Z}",
        "tally": counted,
        "week": _of_a_day(week),
        "days": (period.end - period.begin) / timedelta(days=1),
        "stock": stock(spool),
        "signatures": update.ages(settings, spool, period.end.timestamp()),
        "month": [(f"{day:%m-%d}", good, bad) for day, good, bad in month],
    }
    templates = Templates(settings.template_folders())
    subject, text = templates.letter("summary.txt", **values)
    message = begin(settings.site.hostname, settings.site.administrator, subject)
    message.set_content(text)
    pictures = {
        "hours": bars(counted.hours, 6),
        "month": bars([(good, bad) for _, good, bad in month], 7),
    }
    names = {name: make_msgid(domain=settings.site.hostname) for name in pictures}
    references = {f"{name}_picture": name_id[1:-1] for name, name_id in names.items()}
    page = EmailMessage(policy=POLICY)
    page.set_content(templates.render("summary.html", **values, **references), subtype="html")
    for name, picture in pictures.items():
        page.add_related(picture, "image", "png", cid=names[name], filename=f"{name}.png")
    message.make_alternative()
    message.attach(page)
    return message


def _of_a_day(week: Tally) -> dict[str, float]:
    """Means of a day, to compare with."""
    counts = {
        "messages": week.messages,
        "bad": week.bad,
        "denials": week.denials,
        "failed": week.ended.get("failed", 0),
    }
    return {name: number / _WEEK for name, number in counts.items()}


def stock(spool: Spool) -> Stock:
    """Raises TemporaryFailure."""
    counts = [len(spool.entries(state)) for state in ("incoming", "outgoing", "hold")]
    sizes = _sizes(spool.path("quarantine"))
    messages = sum(1 for path, _ in sizes if QUEUE_ID.fullmatch(os.path.basename(path)))
    return Stock(counts[0], counts[1], counts[2], messages, sum(size for _, size in sizes))


def _sizes(folder: str) -> Sequence[tuple[str, int]]:
    """Each file below, with its bytes.  Raises TemporaryFailure."""
    found: list[tuple[str, int]] = []
    try:
        for at, _, names in os.walk(folder):
            found += [(f"{at}/{name}", os.lstat(f"{at}/{name}").st_size) for name in names]
    except FileNotFoundError:  # an administrator tidies up meanwhile
        return found
    except OSError as error:
        raise TemporaryFailure.from_os(error, f"listing {folder}") from error
    return found


def parse_day(text: str) -> Period:
    """The local day ``YYYY-MM-DD``.  Raises ValueError."""
    begin_of = tally.midnight(datetime.fromisoformat(text).astimezone())
    return Period(begin_of, tally.midnight(begin_of + timedelta(hours=36)))


def last_day(now: datetime | None = None) -> Period:
    """The 24 hours before now."""
    end = now or datetime.now(UTC).astimezone()
    return Period(end - timedelta(days=1), end)
