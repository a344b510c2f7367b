"""Keys as they lie on the brokers. A mark has none elsewhere, but a compacted topic takes no record without a key."""

import hashlib

_MARK = b"\x00mark/"
"""Before the key of a mark; no key of a customer or of another system begins with a null byte."""


def key_bytes(key: str, value: bytes | None) -> bytes:
    """The key of a record; that of a mark (key "") is made of its value, so that compaction keeps every one."""
    return key.encode() if key else _MARK + hashlib.blake2b(value or b"", digest_size=16).hexdigest().encode()


def key_text(key: bytes | None) -> str | None:
    """The key of a record as read, None for a mark."""
    return None if key is None or key.startswith(_MARK) else key.decode("utf-8", "replace")
