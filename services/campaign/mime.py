"""E-mails as bytes: assembled directly because that is fast, with every header checked before it is written."""

import base64
import re
import unicodedata
from datetime import datetime
from email.utils import format_datetime
from typing import NamedTuple

ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,253}[A-Za-z0-9])?")
LONGEST_LINE = 998
_SENDER = re.compile(r"([^<>]*)<([^<>]*)>", re.DOTALL)


class HeaderError(ValueError):
    """A value that must not stand in a header: a control or line character, or an address that is none."""


class Sender(NamedTuple):
    """Who sends: the finished From header, the bare address for the envelope, the host of the Message-ID."""

    header: bytes
    address: str
    host: str


class Mail(NamedTuple):
    """One e-mail to exactly one recipient; `unsubscribe_url` is given for marketing."""

    message_id: str
    to: str
    subject: str
    text: str
    html: str | None
    date: datetime
    unsubscribe_url: str | None = None


def sender_of(text: str) -> Sender:
    """The sender of `Name <address>`. Raises HeaderError."""
    found = _SENDER.fullmatch(text.strip())
    name, address = (found[1].strip(' "'), found[2]) if found else ("", text.strip(" "))
    _checked_address(address)
    shown = b"<" + address.encode("ascii") + b">"
    header = header_text(name, phrase=True) + b" " + shown if name else shown
    return Sender(header, address, address.rpartition("@")[2])


def mime(mail: Mail, sender: Sender) -> bytes:
    """The message in transport form (CRLF, lines within limits). Raises HeaderError."""
    _checked_address(mail.to)
    lines = [
        b"From: " + sender.header,
        b"To: <" + mail.to.encode("ascii") + b">",
        b"Subject: " + header_text(mail.subject),
        b"Date: " + format_datetime(mail.date, usegmt=True).encode("ascii"),
        b"Message-ID: <" + _plain_ascii(mail.message_id) + b"@" + sender.host.encode("ascii") + b">",
        b"MIME-Version: 1.0",
        b"Auto-Submitted: auto-generated",
    ]
    if mail.unsubscribe_url is not None:
        lines.append(b"List-Unsubscribe: <" + _plain_ascii(mail.unsubscribe_url) + b">")
        lines.append(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    boundary = b"=_" + _plain_ascii(mail.message_id)
    plain = _part(b"text/plain", mail.text, boundary)
    if mail.html is None:
        return b"\r\n".join(lines) + b"\r\n" + plain
    lines.append(b'Content-Type: multipart/alternative; boundary="' + boundary + b'"')
    html = _part(b"text/html", mail.html, boundary)
    start = b"\r\n--" + boundary
    return b"".join(
        (b"\r\n".join(lines), b"\r\n", start, b"\r\n", plain, start, b"\r\n", html, start, b"--\r\n"),
    )


def header_text(value: str, *, phrase: bool = False) -> bytes:
    """Free text as the value of a header: plain where it is ASCII, else RFC 2047 words. Raises HeaderError.

    In a `phrase` (the name before an address) marks of address syntax are packed too.
    """
    if value.isascii() and value.isprintable():
        special = _ADDRESS_SYNTAX.search(value) if phrase else "=?" in value
        if len(value) <= 66 and not special:
            return value.encode("ascii")
    elif any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in value):
        raise HeaderError("control or line characters in a header")
    words, word = [], b""
    for character in value:
        encoded = character.encode("utf-8")
        if len(word) + len(encoded) > 42:
            words.append(word)
            word = b""
        word += encoded
    words.append(word)
    return b"\r\n ".join(b"=?utf-8?b?" + base64.b64encode(word) + b"?=" for word in words)


_ADDRESS_SYNTAX = re.compile(r"=\?|[^A-Za-z0-9 _&+\-]")


_PART = b"Content-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s"


def _plain_ascii(value: str) -> bytes:
    if not re.fullmatch(r"[\x21-\x3b\x3d\x3f-\x7e]{1,900}", value):
        raise HeaderError("only printable ASCII may stand here")
    return value.encode("ascii")


def _checked_address(value: str) -> None:
    if not ADDRESS.fullmatch(value) or ".." in value:
        raise HeaderError("is no address that mail can be sent to")


def _part(kind: bytes, text: str, boundary: bytes) -> bytes:
    body = "\r\n".join(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    content = body.encode("utf-8", "replace")
    seven = content.isascii() and b"\0" not in content and boundary not in content
    if seven and max(map(len, content.split(b"\r\n"))) <= LONGEST_LINE:
        return _PART % (kind, b"7bit", content + b"\r\n")
    return _PART % (kind, b"base64", base64.encodebytes(content).replace(b"\n", b"\r\n"))
