"""Signed tokens: a few bytes for one purpose that nobody else can make, in the letters of a web address."""

import base64
import binascii
import hashlib
import hmac

MAC_BYTES = 10


def seal(secret: bytes, purpose: str, body: bytes) -> str:
    """The token of a body; the same body and purpose always have the same token."""
    return base64.urlsafe_b64encode(body + _mac(secret, purpose, body)).rstrip(b"=").decode()


def unseal(secret: bytes, purpose: str, token: str) -> bytes | None:
    """The body of a token; None for one that is not ours or was made for another purpose."""
    try:
        whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    body, mac = whole[:-MAC_BYTES], whole[-MAC_BYTES:]
    return body if hmac.compare_digest(mac, _mac(secret, purpose, body)) else None


def _mac(secret: bytes, purpose: str, body: bytes) -> bytes:
    return hmac.digest(secret, purpose.encode() + body, hashlib.sha256)[:MAC_BYTES]
