"""A domain's one spelling in ASCII: A-labels (RFC 5890), which all that compares domains compares.

IDNA has two editions, and a name that they read as two hosts (``straße``: ``strasse`` in 2003,
another domain in 2008) is none for us: it would be one of our domains here, and at a next hop the
domain of somebody else.
"""

from __future__ import annotations

import unicodedata


def a_labels(domain: str) -> str:
    """In lower case; what is ASCII stays as it is.

    Raises UnicodeError where there is no such name, or two.
    """
    if domain.isascii():
        return domain
    name = domain.lower().encode("idna")
    if name.decode("idna") != unicodedata.normalize("NFC", domain.lower()):
        raise UnicodeError("a domain that can be read as two")
    return name.decode("ascii")
