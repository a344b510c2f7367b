"""How an API key looks, what each scope allows, and how a key is presented. No I/O."""

import base64
import binascii
import hashlib
import secrets
import zlib
from collections.abc import Mapping

from shared.errors import WrongSetting

GRANTS: Mapping[str, frozenset[str]] = {
    "write": frozenset({"write"}),
    "read": frozenset({"read"}),
    "privacy": frozenset({"privacy", "read"}),
    "admin": frozenset({"write", "read", "privacy", "admin"}),
}
"""What a key of each scope may do. A privacy key also reads, because one must find a customer before erasing him."""


def mint(scope: str) -> str:
    """A new key `cartera_<scope>_<id>_<secret>_<crc>`: 32 random bytes, and a CRC-32 so that scanners know ours."""
    if scope not in GRANTS:
        raise WrongSetting(f"unknown scope {scope!r}: use one of {', '.join(GRANTS)}")
    body = f"cartera_{scope}_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
    return f"{body}_{_checksum(body)}"


def key_id_of(text: str) -> str | None:
    """The id inside a key of ours; None when the form or the checksum is wrong."""
    body, _, checksum = text.rpartition("_")
    parts = body.split("_")
    if len(parts) != 4 or parts[0] != "cartera" or parts[1] not in GRANTS or checksum != _checksum(body):
        return None
    return parts[2]


def presented_key(authorization: str | None) -> bytes | None:
    """The bytes of the key in an Authorization header; of Basic the user part, whatever the password."""
    scheme, _, credentials = (authorization or "").strip().partition(" ")
    credentials = credentials.strip()
    if not credentials:
        return None
    if scheme.lower() == "bearer":
        return _raw(credentials)
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(_raw(credentials), validate=True).partition(b":")[0] or None
        except binascii.Error:
            return None
    return None


def _raw(header: str) -> bytes:
    # Web servers hand headers over as Latin-1; a key from the configuration may hold any character.
    try:
        return header.encode("latin-1")
    except UnicodeEncodeError:
        return header.encode("utf-8", "replace")


def digest(key: bytes) -> bytes:
    """SHA-256: a key holds 256 random bits, so no slow derivation is needed."""
    return hashlib.sha256(key).digest()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode('utf-8', 'replace')):08x}"
