"""Names that promise something packed, over bytes that nothing here knows.

Brotli, raw deflate, raw LZ4, the second volume of an archive: some formats have no mark of their
own, and only a name tells the reader what to open them with.  So where a name says "packed" and
the content is neither text nor anything known, it has not been looked into, and is a doubt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from spoolscan.scanner.content import sniff
from spoolscan.verdict import Cause, Doubt

_PACKED: Final = re.compile(
    r"(?i)\.(?:zipx?|[jwex]ar|apk|ipa|7z|rar|rev|tar|t[abglxz]z2?|tzst|tlz|taz|gz|gzip|bz2?|bzip2?|xz"
    r"|lzma2?|lz|lz4|lzo|lzf|lzh|lha|lzs|lzx|lzw|lrz|rz|zstd?|zz|z|zlib|deflate[64z]*|br|brotli|sz"
    r"|snappy|block_lz4|f|freeze|pack|cab|arj|arc|ark|ace|alz|egg|zoo|zpaq|paq[0-9]\w?|uc2|uha|ha"
    r"|sit|sitx|hqx|cpt|pea|pak|kwj|ex_|dl_|cpio|rpm|deb|iso|img|udf|dmg|vhdx?|vmdk|wim|swm|esd|xar"
    r"|squashfs|[a-z0-9]+\.part[0-9]+|part[0-9]+|[arz][0-9]{2}|0[0-9]{2})$"
)
_NOT_KNOWN: Final = "application/octet-stream"


def broken(data: bytes, names: Sequence[str]) -> Doubt | None:
    """The doubt where one of the names promises what the content does not show."""
    if sniff(data) != _NOT_KNOWN or not data.strip(b"\0"):
        return None
    if not any(_PACKED.search(name.rstrip(" .")) for name in names):
        return None
    return Doubt(Cause.UNOPENED, "the name is of a packed file, and the content of none we know")
