"""Clocks that go wrong: how old an event is by its sender's own clock. Pure."""

from datetime import UTC, datetime, timedelta

from shared.events.times import whole_ms

OLDEST = timedelta(days=36_525)
"""An event that is older is taken to have no usable time of sending."""

_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def moment(value: object) -> datetime | None:
    """An ISO 8601 time in UTC and whole milliseconds, without zone taken as UTC; None for anything else."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        found = whole_ms(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None
    return found if _EARLIEST <= found < _LATEST else None


def age(happened_at: datetime | None, sent_at: datetime | None) -> timedelta | None:
    """How long before its sending an event happened, never negative; None when either time is not known.

    Taken from the time of arrival it gives the time of the event whatever both clocks show.
    """
    if happened_at is None or sent_at is None:
        return None
    found = max(sent_at - happened_at, timedelta(0))
    return found if found <= OLDEST else None
