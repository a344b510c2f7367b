"""What the readers of files hand on: rows with their place, and what is no row."""

from collections.abc import Mapping
from typing import Any, NamedTuple

KINDS = ("purchases", "calls", "emails", "chats", "customers")
"""What the rows of a file may be."""


class Row(NamedTuple):
    """One row as it stands in a file: values by column name; `line` counts from 1, the header included."""

    line: int
    values: Mapping[str, Any]


class Spoilt(NamedTuple):
    """A place in a file at which no row could be read; `original` are its bytes, `detail` says what is wrong."""

    line: int
    original: bytes
    detail: str
