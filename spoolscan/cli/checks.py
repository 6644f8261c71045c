"""Reads everything a spool is run by, and starts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spoolscan import config, stage
from spoolscan.cli import rules
from spoolscan.errors import TemporaryFailure
from spoolscan.forwarder.destinations import read_routes
from spoolscan.notices import Templates
from spoolscan.receiver import mailboxes
from spoolscan.receiver.tls import load_certificate
from spoolscan.scanner.engines.proof import prove
from spoolscan.scanner.toolbox import Toolbox
from spoolscan.spool import Spool
from spoolscan.users import Users


def check_all(root: Path) -> list[str]:
    """What was read and found right, a line each.

    Raises ConfigError at the first file that cannot be used.  An engine that is down for now is
    said, and is no error: mail would wait for it.
    """
    return list(_check(root))


def _check(root: Path) -> Iterator[str]:
    settings = config.load(root)
    yield f"settings   {root / config.FILE}: ok"
    Spool(root).check()
    stage.check_owner(root)
    yield f"spool      {root}: ok"
    if load_certificate(root, settings.receiver.tls) is not None:
        yield f"TLS        {settings.path(settings.receiver.tls.certificate)}: ok"
    if settings.receiver.auth.enabled:
        users = Users(settings.path(settings.receiver.auth.users))
        yield f"users      {users.path}: {len(users.read())}"
    toolbox = Toolbox(settings)
    try:
        tools = toolbox.tools()
        for name, patterns in (("matches.bad", tools.bad), ("matches.doc", tools.doc)):
            yield f"patterns   {root / 'etc' / name}: {len(patterns.rules)} lines"
        proven = {engine.name for engine in settings.engine if engine.canary}
        yield f"ignored    {root / 'etc' / 'ignore'}: {len(tools.ignored.entries)} signatures"
        for engine in toolbox.engines:
            try:
                yield f"engine     {engine.name}: {engine.awake()}"
                if engine.name in proven:
                    prove(engine)
            except TemporaryFailure as failure:
                yield f"engine     {engine.name}: not now: {failure}"
    finally:
        toolbox.close()
    lines, _ = rules.checked(settings)
    yield from lines
    templates = Templates(settings.template_folders())
    templates.check()
    yield "templates  ok"
    table = read_routes(settings).current()
    yield f"routes     {settings.path(settings.forwarder.routes)}: {len(table.lines) - 1} lines"
    yield f"next hop   {settings.next_hop}: ok"
    if settings.recipients.check == "list":
        known = mailboxes.read_list(settings).current()
        yield f"recipients {settings.path(settings.recipients.file)}: {len(known)} lines"
    elif settings.recipients.check == "callout":
        mailboxes.make(settings)
        yield f"recipients asked of {settings.recipients.ask or 'their next hops'}"
