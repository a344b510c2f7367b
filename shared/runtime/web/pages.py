"""Lists by pages: how many, from where on, and an opaque mark for where the next page starts."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from fastapi import Query

from shared.runtime.web.problems import Problem

DEFAULT_LIMIT = 100
MOST = 1000

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many to answer at most.")]
"""The parameter `limit`; declare it as `limit: Limit = DEFAULT_LIMIT`."""

CursorText = Annotated[str | None, Query(description="The `next_cursor` of the page before.", max_length=1024)]
"""The parameter `cursor`; declare it as `cursor: CursorText = None`."""

Part = str | int | None
_LARGEST = (1 << 63) - 1
T = TypeVar("T")


class Cursor:
    """The sort key of the last item of a page, as base64 of a JSON array. Clients must not look inside."""

    @staticmethod
    def encode(parts: Sequence[Part]) -> str:
        """The text of a sort key."""
        return base64.urlsafe_b64encode(msgspec.json.encode(tuple(parts))).rstrip(b"=").decode()

    @staticmethod
    def decode(text: str | None, shape: tuple[type, ...]) -> tuple[Any, ...] | None:
        """The sort key in a text, None for no text. Raises Problem 400 unless its parts have the types of `shape`."""
        if not text:
            return None
        try:
            padded = text + "=" * (-len(text) % 4)
            parts = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=tuple[Part, ...])
        except (binascii.Error, msgspec.DecodeError, ValueError) as error:
            raise _invalid() from error
        if len(parts) != len(shape) or not all(isinstance(p, kind) for p, kind in zip(parts, shape, strict=True)):
            raise _invalid()
        if any("\x00" in part if isinstance(part, str) else abs(part or 0) > _LARGEST for part in parts):
            raise _invalid()
        return parts


def _invalid() -> Problem:
    fault = {"detail": "not a cursor of this list", "parameter": "cursor"}
    return Problem(400, "invalid_cursor", "the cursor was not given by this list", [fault])


class Page(NamedTuple, Generic[T]):
    """The items of one page, and the cursor of the next one or None at the end."""

    items: Sequence[T]
    next_cursor: str | None


def paged(items: Sequence[T], limit: int, key: Callable[[T], Sequence[Part]]) -> Page[T]:
    """One page of up to `limit + 1` items read in order: one too many tells of more. `key` gives an item's sort key."""
    if len(items) <= limit:
        return Page(items, None)
    shown = items[:limit]
    return Page(shown, Cursor.encode(key(shown[-1])))
