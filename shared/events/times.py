"""Times are aware, UTC and whole milliseconds; on the wire RFC 3339, in the database milliseconds since 1970."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970; finer parts are cut off, never rounded up into the future."""
    return (moment - EPOCH) // MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """The moment of a number of milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def whole_ms(moment: datetime) -> datetime:
    """The same moment in UTC without its part below a millisecond."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def rfc3339(moment: datetime) -> str:
    """`2026-05-25T09:15:00Z`, with milliseconds only where there are some."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")
