"""Dates and times as people and programs write them, made RFC 3339 with a zone. Pure.

As with numbers, what cannot be read for certain stays as it is.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from shared.events.times import EPOCH, rfc3339

DAY_FIRST, MONTH_FIRST = "day_first", "month_first"

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ]+(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|z|UTC|GMT|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})(?:[T ,]+(.+))?", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4})(?:[T ,]+(.+))?", re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:[T ]?(\d\d)(\d\d)(\d\d)?)?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2})(?:[:h.](\d\d))?(?:[:.](\d\d)(?:[.,](\d{1,6}))?)?\s*([AaPp]\.?[Mm]\.?)?", re.ASCII)
_NUMBER = re.compile(r"\d{9,13}(\.\d+)?", re.ASCII)


class Calendar(NamedTuple):
    """How the dates of a file are read.

    `order` is `day_first` or `month_first` for dates such as 03/04/2026 (None: they cannot be read), `format` a
    strptime pattern that replaces all guessing, `zone` that of times without one.
    """

    zone: str = "UTC"
    order: str | None = None
    format: str | None = None


def day_order(values: Iterable[object]) -> str | None:
    """What the values of a file show of the order of day and month; None when they show nothing, or both."""
    shown: set[str] = set()
    for value in values:
        found = _YEAR_LAST.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            continue
        if found[2] == "." or int(found[1]) > 12:
            shown.add(DAY_FIRST)
        elif int(found[3]) > 12:
            shown.add(MONTH_FIRST)
    return shown.pop() if len(shown) == 1 else None


def is_ambiguous(value: object) -> bool:
    """Whether a value is a date of which the day might be the month."""
    return isinstance(value, str) and _YEAR_LAST.fullmatch(value.strip()) is not None


def moment(value: Any, calendar: Calendar) -> Any:
    """RFC 3339 in UTC, or the value as it is."""
    try:
        if isinstance(value, datetime):
            return _told(value, calendar.zone)
        if isinstance(value, date):
            return _told(datetime(value.year, value.month, value.day), calendar.zone)  # noqa: DTZ001 - zoned there
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _since_epoch(float(value), value)
        return _read(value.strip(), calendar) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        return value


@lru_cache(maxsize=65536)
def _read(text: str, calendar: Calendar) -> str:
    if calendar.format is not None:
        return _told(datetime.strptime(text, calendar.format), calendar.zone)  # noqa: DTZ007 - zoned there
    found = _ISO.fullmatch(text)
    if found is not None:
        return _iso(found, calendar.zone)
    if _NUMBER.fullmatch(text) and not _COMPACT.fullmatch(text):
        return str(_since_epoch(float(text), text))
    compact = _COMPACT.fullmatch(text)
    if compact is not None:
        year, month, day, hour, minute, second = (int(part or 0) for part in compact.groups())
        return _told(datetime(year, month, day, hour, minute, second), calendar.zone)  # noqa: DTZ001 - zoned there
    return _civil(text, calendar)


def _iso(found: re.Match[str], zone: str) -> str:
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    micro = int(((fraction or "") + "000000")[:6])
    moment_ = datetime(  # noqa: DTZ001 - zoned below
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micro
    )
    if offset is None:
        return _told(moment_, zone)
    if offset in ("Z", "z", "UTC", "GMT"):
        return _told(moment_.replace(tzinfo=UTC), zone)
    sign = -1 if offset[0] == "-" else 1
    digits = offset[1:].replace(":", "")
    away = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * sign
    return _told((moment_ - away).replace(tzinfo=UTC), zone)


def _civil(text: str, calendar: Calendar) -> str:
    """Year first, or day and month in the order that the calendar says (with points the day always comes first)."""
    found = _YEAR_FIRST.fullmatch(text)
    if found is not None:
        return _at(int(found[1]), int(found[2]), int(found[3]), found[4], calendar.zone)
    found = _YEAR_LAST.fullmatch(text)
    order = DAY_FIRST if found is not None and found[2] == "." else calendar.order
    if found is None or order is None:
        raise ValueError(text)
    day, month = (found[1], found[3]) if order == DAY_FIRST else (found[3], found[1])
    return _at(int(found[4]), int(month), int(day), found[5], calendar.zone)


def _at(year: int, month: int, day: int, clock: str | None, zone: str) -> str:
    found = _CLOCK.fullmatch((clock or "0").strip())
    if found is None:
        raise ValueError(clock)
    hour, half = int(found[1]), (found[5] or "").replace(".", "").lower()
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    micro = int(((found[4] or "") + "000000")[:6])
    return _told(
        datetime(year, month, day, hour, int(found[2] or 0), int(found[3] or 0), micro),  # noqa: DTZ001 - zoned there
        zone,
    )


def _told(moment_: datetime, zone: str) -> str:
    if moment_.tzinfo is None:
        moment_ = moment_.replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone))
    return rfc3339(moment_.astimezone(UTC))


def _since_epoch(amount: float, value: Any) -> Any:
    """Seconds or milliseconds since 1970, told apart by their size; other numbers are no times."""
    if 1e8 <= amount < 1e10:
        return rfc3339(EPOCH + timedelta(seconds=amount))
    if 1e11 <= amount < 1e13:
        return rfc3339(EPOCH + timedelta(milliseconds=amount))
    return value
