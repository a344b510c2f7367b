"""The company settings: one document with defaults, and the quiet hours they imply."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.campaign.definition import DefinitionError, duration, unknown_fields
from shared.errors import Fault

DAY_MS = 86_400_000
LONGEST_CAP_MS = 30 * DAY_MS
"""Sends are remembered for so long; a cap cannot look further back."""


class Cap(msgspec.Struct, frozen=True):
    """At most `count` messages of a category to one customer within `window_ms`."""

    count: int
    window_ms: int


class Company(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every campaign. `quiet` is (start, end) in minutes of the local day, None without quiet hours."""

    consent: str = "opt_in"
    quiet: tuple[int, int] | None = (21 * 60, 8 * 60)
    caps: dict[str, Cap] = msgspec.field(default_factory=lambda: {"marketing": Cap(3, 7 * DAY_MS)})
    reaction_window_ms: int = DAY_MS
    timezone: str = "UTC"
    currency: str = "EUR"
    track_clicks: bool = True


DEFAULTS: Mapping[str, Any] = {
    "consent": "opt_in",
    "quiet_hours": "21:00-08:00",
    "caps": {"marketing": "3 per 7d"},
    "reaction_window": "24h",
    "timezone": "UTC",
    "currency": "EUR",
    "track_clicks": True,
}
"""The settings that hold until others are put, as they are written."""


def parse_company(document: Mapping[str, Any]) -> Company:
    """Read a settings document; what it leaves out keeps its default. Raises DefinitionError."""
    faults = unknown_fields(document, DEFAULTS)
    given: dict[str, Any] = {}
    for name, (field, read) in _READERS.items():
        if name not in document:
            continue
        try:
            given[field] = read(document[name])
        except ValueError as error:
            faults.append(Fault(str(error), f"/{name}"))
    if faults:
        raise DefinitionError(faults)
    return Company(**given)


def zone_of(name: object) -> ZoneInfo | None:
    """The time zone of a name, None when there is no such zone."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*", name):
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return None


def quiet_until(moment: datetime, quiet: tuple[int, int] | None, zone: ZoneInfo) -> datetime | None:
    """The end of the quiet hours that `moment` lies in, None outside of them; exact across clock changes."""
    if quiet is None:
        return None
    start, end = quiet
    local = moment.astimezone(zone)
    minute = local.hour * 60 + local.minute
    inside = start <= minute < end if start < end else minute >= start or minute < end
    if not inside:
        return None
    day = local.date() + timedelta(days=1) if start >= end and minute >= start else local.date()
    wall = datetime.combine(day, time(end // 60, end % 60), tzinfo=zone)
    until = wall.astimezone(UTC)
    return until if until > moment else wall.replace(fold=1).astimezone(UTC)


def _consent(value: object) -> str:
    if value not in ("opt_in", "opt_out"):
        raise ValueError("must be opt_in or opt_out")
    return str(value)


def _quiet(value: object) -> tuple[int, int] | None:
    if value is None or value in ("", "none"):
        return None
    found = re.fullmatch(r"(\d{2}):(\d{2})-(\d{2}):(\d{2})", str(value))
    if not found:
        raise ValueError("must look like 21:00-08:00")
    hours = [int(part) for part in found.groups()]
    if max(hours[0], hours[2]) > 23 or max(hours[1], hours[3]) > 59:
        raise ValueError("is no time of day")
    start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    return None if start == end else (start, end)


def _caps(value: object) -> dict[str, Cap]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping such as {marketing: 3 per 7d}")
    caps = {}
    for category, text in value.items():
        found = re.fullmatch(r"(\d{1,6}) per (\d+[smhdw])", str(text))
        if category not in ("marketing", "service") or not found:
            raise ValueError("must look like {marketing: 3 per 7d}; categories are marketing and service")
        window_ms = duration(found[2])
        if window_ms > LONGEST_CAP_MS:
            raise ValueError("counts at most 30 days")
        caps[str(category)] = Cap(int(found[1]), window_ms)
    return caps


def _timezone(value: object) -> str:
    if zone_of(value) is None:
        raise ValueError("is no time zone name such as Europe/Madrid")
    return str(value)


def _currency(value: object) -> str:
    if not re.fullmatch(r"[A-Z]{3}", str(value)):
        raise ValueError("must be an ISO 4217 code such as EUR")
    return str(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


_READERS: Mapping[str, tuple[str, Any]] = {
    "consent": ("consent", _consent),
    "quiet_hours": ("quiet", _quiet),
    "caps": ("caps", _caps),
    "reaction_window": ("reaction_window_ms", duration),
    "timezone": ("timezone", _timezone),
    "currency": ("currency", _currency),
    "track_clicks": ("track_clicks", _flag),
}
