"""Whether an engine is awake in earnest: it finds EICAR, and calls plain words clean.

EICAR, the test string that every scanner knows (https://www.eicar.org), stands here in pieces, so
that no scanner takes this file for a virus.
"""

from __future__ import annotations

from typing import Final

from spoolscan.scanner.engines.contract import Engine, Sample, WrongAnswer
from spoolscan.verdict import Verdict

EICAR: Final = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!" + b"$H+H*"
_WORDS: Final = b"Good day,\r\n\r\nnothing is in here but words.\r\n"


def prove(engine: Engine) -> None:
    """Raises WrongAnswer where it is not in its right mind, TemporaryFailure where it is down."""
    findings = engine.scan([Sample(("words",), _WORDS), Sample(("eicar",), EICAR)])
    hits = {finding.path for finding in findings if finding.verdict >= Verdict.BANNED}
    if ("eicar",) not in hits:
        said = f"calls it {findings[0].name!r}" if findings else "says clean"
        raise WrongAnswer(
            f"engine {engine.name}: does not find EICAR, the test virus, but {said}; mend its "
            "signatures, or set canary = false for an engine that cannot know it"
        )
    if ("words",) in hits:
        raise WrongAnswer(f"engine {engine.name}: calls plain words infected; mend its signatures")
