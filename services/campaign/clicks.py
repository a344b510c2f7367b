"""Links that tell when they are followed: which links of a message they are, and where they lead."""

import re
import uuid
from collections.abc import Callable
from html import escape, unescape
from typing import NamedTuple

from services.campaign.signed import seal, unseal

PURPOSE = "click"
MARK, END_MARK = "\ue000", "\ue001"
"""What the filter `tracked` puts around a link; the data of customers never holds them."""

_MARKED = re.compile(f"{MARK}(.*?){END_MARK}", re.DOTALL)
_HREF = re.compile(r"""(<a\b[^>]*?\bhref\s*=\s*)(["'])(https?://[^"']+)\2""", re.IGNORECASE)

_SITE = re.compile(r"https?://[^/?#\\]+", re.IGNORECASE)

Rewrite = Callable[[str], str]
"""From where a link leads to the address that tells."""


class Click(NamedTuple):
    """A link of a message."""

    message_id: str
    url: str


def click_token(secret: bytes, click: Click) -> str:
    """The token of a link. It is signed, so that it leads nowhere but where the message led."""
    return seal(secret, PURPOSE, uuid.UUID(click.message_id).bytes + click.url.encode())


def read_click(secret: bytes, token: str) -> Click | None:
    """The link of a token, None for one that is not ours."""
    body = unseal(secret, PURPOSE, token)
    if body is None or len(body) <= 16:
        return None
    return Click(str(uuid.UUID(bytes=body[:16])), body[16:].decode())


def marked(text: str, rewrite: Rewrite, *, html: bool = False) -> str:
    """The text with the links that the template marked rewritten, and without the marks."""
    if MARK not in text:
        return text

    def one(found: re.Match[str]) -> str:
        url = unescape(found[1]) if html else found[1]
        told = rewrite(url) if url.startswith(("http://", "https://")) else url
        return escape(told) if html else told

    return _MARKED.sub(one, text)


def linked(html: str, source: str, rewrite: Rewrite) -> str:
    """The HTML with its links rewritten, but only to sites that the source of the template names.

    A link that came out of a customer's data stays as it is: our address shall not lend it trust.
    """

    def one(found: re.Match[str]) -> str:
        url = unescape(found[3])
        if not _names(source, url):
            return found[0]
        return f"{found[1]}{found[2]}{escape(rewrite(url))}{found[2]}"

    return _HREF.sub(one, html)


def _names(source: str, url: str) -> bool:
    site = _SITE.match(url)
    return site is not None and re.search(re.escape(site[0]) + r"(?![\w.\-:@])", source, re.IGNORECASE) is not None
