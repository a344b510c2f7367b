"""Unsubscribe links: a token that names a customer and a channel, which nobody else can make, without personal data."""

import base64
import binascii
import hashlib
import hmac
import uuid

from services.campaign.definition import CHANNELS

MAC_BYTES = 10
_AS_TEXT = 0x80


def token_of(secret: bytes, profile_id: str, channel: str) -> str:
    """36 characters for an id that is a UUID; the same customer and channel always have the same token."""
    index = CHANNELS.index(channel)
    try:
        body = bytes([index]) + _uuid_bytes(profile_id)
    except ValueError:
        body = bytes([index | _AS_TEXT]) + profile_id.encode()
    return base64.urlsafe_b64encode(body + _mac(secret, body)).rstrip(b"=").decode()


def read_token(secret: bytes, token: str) -> tuple[str, str] | None:
    """The profile id and the channel of a token, None for one that is not ours."""
    try:
        whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    body, mac = whole[:-MAC_BYTES], whole[-MAC_BYTES:]
    if len(body) < 2 or not hmac.compare_digest(mac, _mac(secret, body)):
        return None
    index = body[0] & ~_AS_TEXT
    if index >= len(CHANNELS):
        return None
    profile_id = body[1:].decode() if body[0] & _AS_TEXT else str(uuid.UUID(bytes=body[1:]))
    return profile_id, CHANNELS[index]


def _uuid_bytes(profile_id: str) -> bytes:
    parsed = uuid.UUID(profile_id)
    if str(parsed) != profile_id:
        raise ValueError(profile_id)
    return parsed.bytes


def _mac(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, b"unsubscribe" + body, hashlib.sha256)[:MAC_BYTES]
