"""What final delivery puts above a message (RFC 5321 section 4.4), for routes that end here."""

from __future__ import annotations

from collections.abc import Iterable

from spoolscan.forwarder.delivery import checked_path


def trace(sender: str, recipients: Iterable[str]) -> bytes:
    """``Return-Path:``, and a ``Delivered-To:`` for each recipient.  Raises Corrupt."""
    lines = [f"Return-Path: <{checked_path(sender)}>"]
    lines += [f"Delivered-To: {checked_path(address)}" for address in recipients]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
