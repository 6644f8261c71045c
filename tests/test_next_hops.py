"""Next hops as they are written: what is understood, and what is a clear error."""

from __future__ import annotations

import pytest

from spoolscan.config import Forwarder
from spoolscan.errors import ConfigError
from spoolscan.forwarder import routes


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://mail.example.com",
        "smtp:mail.example.com",
        "smtp://",
        "smtp://host:0",
        "smtp://host:99999",
        "smtp://host:x",
        "smtp://user:word@host",
        "smtp://host/path",
        "smtp://host?tls=1",
        "smtp://host?colour=red",
        "smtp://host?tls=may&tls=none",
        "smtps://host?tls=may",
        "mx://host/path",
        "mx://host:0",
        "pipe:",
        "pipe:relative",
        "pipe:/bin/cat '",
        "pipe:/bin/{user}",
        "maildir:/a?tls=none",
        "smtp://ho\nst",
        "lmtp://host/path",
        "lmtp:relative",
        "maildir:relative",
        "maildir://host/path",
        "maildir:/",
        "maildir:",
    ],
)
def test_a_next_hop_that_cannot_be_understood_is_a_clear_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"next hop .*allowed: smtp://HOST:PORT"):
        routes.make(url, "me.test", Forwarder())


@pytest.mark.parametrize(
    "url",
    [
        "smtp://mail.example.com",
        "smtp://[::1]:2525",
        "smtp://192.0.2.1:25/",
        "smtp://[192.0.2.1]:25",
        "smtps://mail.example.com?tls=verify&name=other.example.com",
        "mx:",
        "mx://example.com:2525?tls=encrypt",
        "mx:?local=yes",
        "pipe:/bin/cat",
        "lmtp://localhost",
        "lmtp:///run/lmtp",
        "lmtp:/run/lmtp",
        "maildir:/var/mail%20dir",
        "maildir:///var/maildir",
    ],
)
def test_these_are_understood(url: str) -> None:
    assert routes.make(url, "me.test", Forwarder()).name == url
