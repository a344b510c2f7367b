"""Occasions: what makes a message unique, its derived id, and who is held out."""

import hashlib
from typing import Any, NamedTuple

from shared.events.envelope import derived_id

MILLION = 1_000_000
ANSWERED = frozenset({"event", "time", "population"})
"""The causes of class changes that campaigns answer; a new definition, a merge or a split is no news of his."""


class Occasion(NamedTuple):
    """What a message answers: its key, its moment (ms), the open import it belongs to, and what templates see of it."""

    key: str
    at: int
    history: str | None
    seen: dict[str, Any]


def of_change(segmentation: str, profile_id: str, version: int) -> str:
    """The occasion of a class change: it happens once, whatever is delivered twice."""
    return f"{segmentation}/{profile_id}/{version}"


def of_event(source: str, event_id: str) -> str:
    """The occasion of an interaction."""
    return f"{source}/{event_id}"


def message_id(campaign: str, step: int, profile_id: str, occasion: str) -> str:
    """The id of the one message of a campaign's step for a customer and occasion."""
    return derived_id(f"message/{campaign}/{step}/{profile_id}", occasion)


def held_out(campaign: str, profile_id: str, millionths: int) -> bool:
    """Whether the customer belongs to the campaign's control group: a fixed share, the same for good."""
    digest = hashlib.blake2b(f"{campaign}\n{profile_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * MILLION < millionths << 64
