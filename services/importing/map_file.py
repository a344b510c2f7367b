"""The map file: what a person decides about the columns of a file, checked key by key. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.importing.fields import resolve, targets
from services.importing.moments import DAY_FIRST, MONTH_FIRST
from services.importing.numbers import COMMA, POINT
from shared.errors import WrongSetting

TYPES = ("text", "number", "boolean", "date")
TOTALS = ("order", "line")
_KEYS = ("columns", "ignore", "constants", "decimal", "dates", "timezone", "negative", "total", "delimiter", "encoding")


class Column(msgspec.Struct, frozen=True):
    """One or several columns (joined by a space) that become one field; `how` is exact, map, guess or kept."""

    target: str
    columns: tuple[str, ...]
    how: str
    type: str | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a map file decides; everything it leaves open is found out from the file."""

    columns: tuple[Column, ...] = ()
    ignore: tuple[str, ...] = ()
    constants: dict[str, Any] = {}
    decimal: str | None = None
    order: str | None = None
    format: str | None = None
    zone: str = "UTC"
    negative: str = "reject"
    total: str | None = None
    delimiter: str | None = None
    encoding: str | None = None


def wanted(document: object, kind: str, place: str) -> Wanted:
    """Read a map. Raises WrongSetting with the key that is wrong."""
    if document is None:
        return Wanted()
    if not isinstance(document, dict):
        raise WrongSetting(f"{place}: a map is an object with {', '.join(_KEYS)}")
    for key in document:
        if key not in _KEYS:
            raise WrongSetting(f"{place}: {key!r} is none of {', '.join(_KEYS)}")
    dates = document.get("dates")
    order = dates if dates in (DAY_FIRST, MONTH_FIRST) else None
    return Wanted(
        columns=tuple(_column(kind, name, said, place) for name, said in _object(document, "columns", place).items()),
        ignore=tuple(str(name) for name in document.get("ignore") or ()),
        constants={
            _target(kind, name, f"{place}: constants"): value
            for name, value in _object(document, "constants", place).items()
        },
        decimal=_one_of(document, "decimal", (POINT, COMMA), place),
        order=order,
        format=str(dates) if dates is not None and order is None else None,
        zone=_zone(document.get("timezone", "UTC"), place),
        negative=_one_of(document, "negative", ("reject", "refund"), place) or "reject",
        total=_one_of(document, "total", TOTALS, place),
        delimiter=document.get("delimiter"),
        encoding=document.get("encoding"),
    )


def _object(document: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    found = document.get(key) or {}
    if not isinstance(found, dict):
        raise WrongSetting(f"{place}: {key} is an object of fields, such as {{order_id: Invoice}}")
    return found


def _one_of(document: Mapping[str, Any], key: str, words: Sequence[str], place: str) -> str | None:
    found = document.get(key)
    if found is not None and found not in words:
        raise WrongSetting(f"{place}: {key} is one of {' '.join(words)}")
    return found


def _zone(name: object, place: str) -> str:
    try:
        return ZoneInfo(str(name)).key
    except (OSError, ValueError, KeyError):
        raise WrongSetting(f"{place}: timezone {name!r} is unknown; give an IANA name such as Europe/Madrid") from None


def _target(kind: str, name: object, place: str) -> str:
    found = resolve(kind, str(name))
    if found is None:
        known = ", ".join(targets(kind))
        raise WrongSetting(f"{place}: {name} is no field of {kind}; there are {known}, traits.NAME and data.NAME")
    return found


def _column(kind: str, name: object, said: Any, place: str) -> Column:
    where = f"{place}: columns"
    target = _target(kind, name, where)
    more = said if isinstance(said, dict) else {"column": said}
    unknown_keys = sorted(set(more) - {"column", "columns", "type"})
    if unknown_keys:
        raise WrongSetting(f"{where}: {name}: {unknown_keys[0]!r} is none of column, columns, type")
    given = more.get("columns", more.get("column"))
    listed = given if isinstance(given, list) else [given]
    if not listed or any(one is None or isinstance(one, dict | list) for one in listed):
        raise WrongSetting(f"{where}: {name} names a column, or several as a list")
    return Column(target, tuple(str(one) for one in listed), "map", _one_of(more, "type", TYPES, f"{where}: {name}"))
