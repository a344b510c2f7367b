"""The kinds of identifier by which a customer is known, in their order of strength."""

from typing import NamedTuple

KINDS = ("customer_id", "loyalty_card", "email", "phone", "chat_handle", "device_id")
"""Strongest first. The position is the priority (0 is the strongest)."""

PRIORITY = {kind: position for position, kind in enumerate(KINDS)}


class Identifier(NamedTuple):
    """One normalised identifier value of one kind."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def strength(identifier: Identifier) -> tuple[int, str]:
    """The sort key of identifiers: strongest kind first, then by value."""
    return PRIORITY[identifier.kind], identifier.value
