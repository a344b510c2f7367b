"""An event of the sample before its times are moved to the present, and the spelling of its data."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from shared.events.envelope import canonical

REAL = "sample/complete-journey"
SYNTHETIC = "sample/synthetic"

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LOCAL = 5 * HOUR
"""How far the panel's own days lie behind UTC: shopping ebbs from 04 to 10 UTC, redemption dates fit days of UTC-5."""

_encoder = msgspec.json.Encoder(order="deterministic")


class Draft(NamedTuple):
    """One event in the set's own time: `at` is milliseconds since 1970, `data` JSON in its canonical spelling."""

    at: int
    household: int
    type: str
    source: str
    id: str
    data: bytes


def written(data: Mapping[str, object]) -> bytes:
    """Data in the spelling that its fingerprint is taken of: sorted keys, whole numbers without a fraction."""
    return _encoder.encode(canonical(dict(data)))


def customer(household: int, **identifiers: str) -> dict[str, str]:
    """Who an event belongs to: always the household's number, and whatever else the occasion told."""
    return {"customer_id": str(household), **identifiers}
