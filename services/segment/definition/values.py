"""The small values of a definition document: names, numbers, shares such as `20%`, durations such as `14d`."""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from shared.errors import CarteraError

_NAME = re.compile(r"\w[\w-]{0,63}")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|w|d|h|m|s)")
_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


class DefinitionError(CarteraError):
    """A definition that cannot be used. `pointer` is a JSON Pointer into it; `position` counts in a rule from 1."""

    def __init__(self, message: str, pointer: str, position: int | None = None) -> None:
        place = "" if position is None else f" at character {position}"
        super().__init__(f"{pointer or '/'}{place}: {message}")
        self.message = message
        self.pointer = pointer
        self.position = position


def fields(value: object, pointer: str, *, required: Sequence[str], optional: Sequence[str]) -> Mapping[str, object]:
    """An object with these fields and no others."""
    if not isinstance(value, Mapping):
        raise DefinitionError("must be an object", pointer)
    for name in value:
        if name not in required and name not in optional:
            known = ", ".join([*required, *optional])
            raise DefinitionError(f"unknown field; known are {known}", f"{pointer}/{_escaped(name)}")
    for name in required:
        if name not in value:
            raise DefinitionError("is missing", f"{pointer}/{name}")
    return value


def _escaped(name: object) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def items(value: object, pointer: str) -> Sequence[object]:
    """A list that is not empty."""
    if not isinstance(value, list | tuple) or not value:
        raise DefinitionError("must be a list with at least one entry", pointer)
    return value


def text(value: object, pointer: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise DefinitionError("must be a text", pointer)
    return value


def name_of(value: object, pointer: str) -> str:
    """A name: it stands in addresses and on topics."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise DefinitionError("must be a name of letters, digits, _ and - (64 at most)", pointer)
    return value


def unique(names: Sequence[str], pointer: str, inner: str) -> tuple[str, ...]:
    """The names, each once."""
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DefinitionError(f"{name} stands here twice", f"{pointer}/{place}{inner}")
    return tuple(names)


def number(value: object, pointer: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DefinitionError("must be a number", pointer)
    return value


def percent(value: object, pointer: str) -> Fraction:
    """A share from `0%` to `100%`; a bare 0 is fine."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found is None and (isinstance(value, bool) or value != 0):
        raise DefinitionError("must be a share such as 20%", pointer)
    share = Fraction(found[1]) / 100 if found else Fraction(0)
    if share > 1:
        raise DefinitionError("cannot be above 100%", pointer)
    return share


def duration(value: object, pointer: str) -> int:
    """Milliseconds of `14d`, `12h`, `30m`, `20s`, `500ms` or `2w`; a bare 0 is fine."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None and (isinstance(value, bool) or value != 0):
        raise DefinitionError("must be a duration such as 14d, 12h, 30m or 20s", pointer)
    length = Fraction(found[1]) * _UNITS[found[2]] if found else Fraction(0)
    if length.denominator != 1:
        raise DefinitionError("must be whole milliseconds", pointer)
    return int(length)


def show_percent(share: Fraction) -> str:
    """A share as it is written: `12.5%`."""
    number = share * 100
    return f"{show_number(float(number)) if number.denominator == 1 else _decimal(number)}%"


def show_duration(ms: int) -> str:
    """A duration as it is written, in the largest unit that fits."""
    unit = next(unit for unit, length in _UNITS.items() if unit != "w" and ms % length == 0)
    return f"{ms // _UNITS[unit]}{unit}"


def show_number(value: float) -> str:
    """A number without a needless fraction."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _decimal(number: Fraction) -> str:
    return format((Decimal(number.numerator) / Decimal(number.denominator)).normalize(), "f")
