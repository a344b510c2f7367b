"""What every store, topic and reader of JSON can keep, and what none could. Pure."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.errors import Fault

DEEPEST = 20
"""Levels of nesting in an event's data."""

LARGEST_EVENT = 32 * 1024
"""Bytes of one event that comes by REST."""

_UNREADABLE = re.compile("[\x00\ud800-\udfff]")
_LARGEST = 10**100


def pointer(path: Sequence[object]) -> str:
    """A JSON Pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def unstorable(value: object, path: tuple[object, ...] = ()) -> Iterator[Fault]:
    """NUL, lone surrogates, numbers that are none, what is nested too deep or is no JSON; pointers begin at `path`."""
    if isinstance(value, str):
        if _UNREADABLE.search(value):
            yield Fault("text must not hold NUL or half a surrogate pair", pointer(path))
    elif isinstance(value, Mapping | list):
        if len(path) > DEEPEST:
            yield Fault(f"data is nested more than {DEEPEST} levels deep", pointer(path))
        else:
            yield from _members(value, path)
    elif isinstance(value, int | float):
        if abs(value) >= _LARGEST or not math.isfinite(value):
            yield Fault("a number must be finite and below 10^100", pointer(path))
    elif value is not None:
        yield Fault("this is no JSON value", pointer(path))


def _members(value: Mapping[Any, Any] | list[Any], path: tuple[object, ...]) -> Iterator[Fault]:
    for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        if isinstance(value, Mapping) and (not isinstance(name, str) or _UNREADABLE.search(name)):
            yield Fault("a name is a text without NUL or half a surrogate pair", pointer(path))
        else:
            yield from unstorable(item, (*path, name))
