"""The canary: every engine is proven awake by EICAR, at the start and every minute.

========================  ===================================================================
answer                    then
========================  ===================================================================
finds EICAR               nothing; or, where it was out, it is back, and the administrator is told
clean, or garbage         it is out: not asked until it answers right again.  The administrator is
                          told; mail waits or goes by the backups, as for an engine that is down
none                      nothing, for then mail waits by itself; the second time in a row the
                          administrator is told where a backup hides that from him
========================  ===================================================================

It stands beside the mail's path: a thread of the daemon asks, and the workers are told with each
message who is out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from spoolscan import log
from spoolscan.config import Config
from spoolscan.errors import SpoolscanError, TemporaryFailure
from spoolscan.notices import Notifier
from spoolscan.scanner.engines import Engine, WrongAnswer
from spoolscan.scanner.engines.proof import prove

_STAGE: Final = "scanner"
_PATIENCE: Final = 2  # proofs in a row without an answer, until it is told


class Canary:
    """Of one life of the daemon.  `out` may be asked by any thread."""

    def __init__(self, engines: Sequence[Engine], config: Config, notifier: Notifier) -> None:
        proven = {settings.name for settings in config.engine if settings.canary}
        self._engines = [engine for engine in engines if engine.name in proven]
        self._has_backup = any(settings.backup for settings in config.engine)
        self._config = config
        self._notifier = notifier
        self._out: frozenset[str] = frozenset()
        self.versions: dict[str, str] = {}  # of each engine as it was heard last, in its own words
        self._silent: dict[str, int] = {}
        self._stopped = threading.Event()

    def out(self) -> frozenset[str]:
        """The names of the engines that are not to be asked."""
        return self._out

    def start(self) -> None:
        """Prove all of them, again and again, until `stop`."""
        # A daemon thread: an engine that hangs must not keep us from ending.
        threading.Thread(target=self._watch, name="canary", daemon=True).start()

    def stop(self) -> None:
        """Does not wait for an engine that is just being asked."""
        self._stopped.set()

    def prove(self, engine: Engine) -> None:
        """Ask one.  Never raises."""
        if engine not in self._engines:
            return
        try:
            prove(engine)
            self.versions[engine.name] = engine.awake()
        except WrongAnswer as wrong:
            self._take_out(engine.name, str(wrong))
        except TemporaryFailure as failure:
            self._count(engine.name, str(failure))
        except Exception as error:  # what is not understood is temporary
            log.failure(_STAGE, "-", error)
        else:
            self._take_back(engine.name)

    def _watch(self) -> None:
        while not self._stopped.wait(self._config.scanner.canary):
            for engine in self._engines:
                self.prove(engine)

    def _take_out(self, name: str, reason: str) -> None:
        self._silent.pop(name, None)
        if name in self._out:
            return
        self._out |= {name}
        log.event(_STAGE, "-", logging.ERROR, event="engine-out", name=name, reason=reason)
        self._tell(name, "out", reason)

    def _take_back(self, name: str) -> None:
        was_told = self._silent.pop(name, 0) >= _PATIENCE and self._has_backup
        if name not in self._out and not was_told:
            return
        self._out -= {name}
        log.event(_STAGE, "-", event="engine-back", name=name)
        self._tell(name, "back", "it finds EICAR again")

    def _count(self, name: str, reason: str) -> None:
        self._silent[name] = self._silent.get(name, 0) + 1
        log.event(_STAGE, "-", logging.WARNING, event="engine-silent", name=name, reason=reason)
        if self._silent[name] == _PATIENCE and self._has_backup:
            self._tell(name, "silent", reason)

    def _tell(self, name: str, state: str, reason: str) -> None:
        if self._stopped.is_set() or not self._config.notices.administrator:
            return
        try:
            self._notifier.send(
                "engine.txt",
                self._config.site.administrator,
                engine=name,
                state=state,
                reason=reason,
                has_backup=self._has_backup,
            )
        except SpoolscanError as error:
            log.event(_STAGE, "-", logging.ERROR, event="notice-failed", error=error)
