"""Signatures of outgoing webhooks, by Standard Webhooks 1.0 (symmetric, `v1`)."""

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"


def webhook_key(secret: str) -> bytes:
    """The key of a secret `whsec_` and base64 of 24 to 64 bytes. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError(f"must be {PREFIX} followed by 24 to 64 random bytes in base64")
    return key


def webhook_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of an attempt: the id is the same for every attempt, `timestamp` (in seconds) of this one."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}
