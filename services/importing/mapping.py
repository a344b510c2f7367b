"""Which column becomes which field: as it is named, as a map file says, or as its name lets one guess. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from services.importing import names
from services.importing.fields import MOMENTS, NUMBERS, WHOLE, resolve, targets, unknown
from services.importing.map_file import Column, Wanted
from services.importing.moments import Calendar, day_order, is_ambiguous
from services.importing.numbers import decimal_mark
from shared.errors import WrongSetting

SAMPLE = 10_000
"""So many rows of each file are looked at before anything is decided."""

_CLOCK = re.compile(r"\d{1,2}([:h.]\d\d){0,2}(\s*[ap]\.?m\.?)?|\d{1,2}:\d\d:\d\d\.\d+", re.ASCII | re.IGNORECASE)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows of an import are read. `currency` is the company's; `total` None: found out from all rows."""

    kind: str
    columns: tuple[Column, ...]
    constants: dict[str, Any]
    decimal: str | None
    calendar: Calendar
    negative: str
    total: str | None
    currency: str

    def guessed(self) -> bool:
        """Whether a person should look at it first."""
        return any(column.how == "guess" for column in self.columns)

    def has(self, target: str) -> bool:
        """Whether a column or a constant gives this field."""
        return target in self.constants or any(column.target == target for column in self.columns)


def plan(
    kind: str, wanted: Wanted, columns: Sequence[str], samples: Sequence[Mapping[str, Any]], currency: str
) -> Plan:
    """The plan of an import from the names of its columns and its first rows. Raises WrongSetting."""
    missing = [name for one in wanted.columns for name in one.columns if name not in columns]
    if missing and columns:
        raise WrongSetting(f"the map names the column {missing[0]!r}; the file has {', '.join(columns)}")
    left = [name for name in columns if name not in wanted.ignore and not _used(wanted.columns, name)]
    chosen = list(wanted.columns)
    taken = {one.target for one in chosen} | set(wanted.constants)
    clocks = frozenset(name for name in left if _is_clock(row.get(name) for row in samples[:200]))
    for column in (*_whole(left, samples), *_exact(kind, left, clocks), *_guessed(kind, left, clocks)):
        if column.target not in taken and not any(_used(chosen, name) for name in column.columns):
            chosen.append(column)
            taken.add(column.target)
    chosen = _placed(kind, chosen)
    with_items = any(one.target.startswith("items.") for one in chosen)
    chosen += [
        Column(unknown(kind, names.snake(name), with_items), (name,), "kept")
        for name in left
        if not _used(chosen, name)
    ]
    return Plan(
        kind=kind,
        columns=tuple(chosen),
        constants=wanted.constants,
        decimal=wanted.decimal or decimal_mark(_values(samples, chosen, NUMBERS)),
        calendar=_calendar(wanted, chosen, samples),
        negative=wanted.negative,
        total=wanted.total,
        currency=currency,
    )


def _used(columns: Iterable[Column], name: str) -> bool:
    return any(name in one.columns for one in columns)


def _whole(columns: Sequence[str], samples: Sequence[Mapping[str, Any]]) -> list[Column]:
    return [
        Column(name, (name,), "exact")
        for name in columns
        if name in WHOLE and any(isinstance(row.get(name), dict | list) for row in samples)
    ]


def _exact(kind: str, columns: Sequence[str], clocks: frozenset[str]) -> list[Column]:
    """The columns named like a field; a `time` that is a time of day needs its date."""
    found = []
    for name in columns:
        if name in clocks and name.strip().lower() == "time":
            continue
        target = resolve(kind, name.strip().lower())
        if target is None and kind == "customers":
            target = resolve(kind, f"traits.{name.strip().lower()}")
            target = target if target in targets(kind) else None
        if target is not None:
            found.append(Column(target, (name,), "exact"))
    return found


def _guessed(kind: str, columns: Sequence[str], clocks: frozenset[str]) -> list[Column]:
    return [Column(target, found, "guess") for target, found in names.guesses(kind, columns, clocks).items()]


def _is_clock(values: Iterable[object]) -> bool:
    shown = [str(value).strip() for value in values if value not in (None, "")]
    return bool(shown) and all(_CLOCK.fullmatch(text) for text in shown)


def _placed(kind: str, chosen: list[Column]) -> list[Column]:
    """A discount beside items is theirs; a lone name beside no other sign of an item is the customer's."""
    if kind != "purchases":
        return chosen
    items = {one.target for one in chosen if one.target.startswith("items.")}
    moved = {"discount": "items.discount"} if items - {"items.discount"} else {"items.discount": "discount"}
    if items == {"items.name"}:
        moved = {"items.name": "traits.name"}
    return [
        one
        if one.how == "map" or one.target not in moved
        else Column(moved[one.target], one.columns, one.how, one.type)
        for one in chosen
    ]


def _values(samples: Sequence[Mapping[str, Any]], chosen: Sequence[Column], among: Iterable[str]) -> Iterable[object]:
    wanted_targets = frozenset(among)
    columns = [name for one in chosen if one.target in wanted_targets or one.type == "number" for name in one.columns]
    return (row.get(name) for row in samples for name in columns)


def _calendar(wanted: Wanted, chosen: Sequence[Column], samples: Sequence[Mapping[str, Any]]) -> Calendar:
    if wanted.format is not None or wanted.order is not None:
        return Calendar(wanted.zone, wanted.order, wanted.format)
    shown = [
        row.get(one.columns[0]) for one in chosen if one.target in MOMENTS or one.type == "date" for row in samples
    ]
    order = day_order(shown)
    first = next((value for value in shown if is_ambiguous(value)), None) if order is None else None
    if first is not None:
        raise WrongSetting(
            f"dates such as {first} can be read in two ways: "
            "say `dates: day_first` or `dates: month_first` in a map file (--map)"
        )
    return Calendar(wanted.zone, order, None)
