"""The row of features per customer that rules in SQL read, beside the sums of his day buckets."""

from collections.abc import Mapping
from operator import attrgetter

import msgspec

from services.segment.attributes.facts import CONSENT_CHANNELS, Facts

_RENAMED = {
    "scale": "scale",
    "revenue": "revenue_minor",
    "average": "average_minor",
    "first_purchase": "first_purchase_ms",
    "last_purchase": "last_purchase_ms",
    "last_call": "last_call_ms",
    "last_email": "last_email_ms",
    "last_chat": "last_chat_ms",
    "last_interest": "last_interest_ms",
    "first_seen": "first_seen_ms",
    "last_seen": "last_seen_ms",
}
_DOUBLES = ("gap_median", "gap_q90", "gap_log", "nps", "csat")
_FLAGS = ("reachable", "contract_active", "churned_for_price")
_OBJECTS = ("traits", "scores")
_NOTHING: tuple[str | None, int | None] = (None, None)
_ELSEWHERE = ("days", "counts", "revenues", "interest_days", "interest_counts", "consents")


def _kind(field: str) -> str:
    if field in _DOUBLES:
        return "double"
    if field in _FLAGS:
        return "boolean"
    return "json" if field in _OBJECTS else "bigint"


_SIMPLE = {field: _RENAMED.get(field, field) for field in Facts.__struct_fields__ if field not in _ELSEWHERE}

FEATURE_COLUMNS: Mapping[str, str] = {
    "profile_id": "text",
    **{column: _kind(field) for field, column in _SIMPLE.items()},
    **{f"consent_{channel}": "text" for channel in CONSENT_CHANNELS},
    **{f"consent_{channel}_until_ms": "bigint" for channel in CONSENT_CHANNELS},
}
"""Columns of the table `features` (key: profile_id) by kind. All else may be null."""

_read = attrgetter(*_SIMPLE)
_JSON = tuple(place for place, field in enumerate(_SIMPLE) if field in _OBJECTS)
_encode = msgspec.json.Encoder().encode


def feature_row(profile_id: str, facts: Facts) -> dict[str, object]:
    """A customer's row of `features`, in the order of its columns; JSON columns come as text."""
    values = [profile_id, *_read(facts)]
    for place in _JSON:
        values[place + 1] = _encode(values[place + 1]).decode()
    given = [facts.consents.get(channel, _NOTHING) for channel in CONSENT_CHANNELS]
    values += [status for status, _ in given]
    values += [until for _, until in given]
    return dict(zip(FEATURE_COLUMNS, values, strict=True))
