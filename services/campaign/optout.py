"""Unsubscribe links: a token that names a customer and a channel, which nobody else can make, without personal data."""

import uuid

from services.campaign.definition import CHANNELS
from services.campaign.signed import seal, unseal

PURPOSE = "unsubscribe"
_AS_TEXT = 0x80


def token_of(secret: bytes, profile_id: str, channel: str) -> str:
    """36 characters for an id that is a UUID; the same customer and channel always have the same token."""
    index = CHANNELS.index(channel)
    try:
        body = bytes([index]) + _uuid_bytes(profile_id)
    except ValueError:
        body = bytes([index | _AS_TEXT]) + profile_id.encode()
    return seal(secret, PURPOSE, body)


def read_token(secret: bytes, token: str) -> tuple[str, str] | None:
    """The profile id and the channel of a token, None for one that is not ours."""
    body = unseal(secret, PURPOSE, token)
    if body is None or len(body) < 2:
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
