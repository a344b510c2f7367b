"""The two tables that rules in SQL read: one row of features per customer, and one per customer and day."""

from collections.abc import Iterator, Mapping

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

DAY_COLUMNS: Mapping[str, str] = {
    "profile_id": "text",
    "day": "bigint",
    "count": "bigint",
    "revenue": "bigint",
    "interests": "bigint",
}
"""Columns of `feature_day` (key: profile_id, day), none null; days count from 1970, revenue is in minor units."""


def feature_row(profile_id: str, facts: Facts) -> dict[str, object]:
    """A customer's row of `features`; JSON columns come as text."""
    row: dict[str, object] = {"profile_id": profile_id}
    for field, column in _SIMPLE.items():
        value = getattr(facts, field)
        row[column] = msgspec.json.encode(value).decode() if field in _OBJECTS else value
    for channel in CONSENT_CHANNELS:
        status, until = facts.consents.get(channel, (None, None))
        row[f"consent_{channel}"], row[f"consent_{channel}_until_ms"] = status, until
    return row


def day_rows(profile_id: str, facts: Facts) -> Iterator[dict[str, object]]:
    """A customer's rows of `feature_day`, oldest first."""
    bought = facts.buckets()
    interest = dict(zip(facts.interest_days, facts.interest_counts, strict=True))
    for day in sorted(bought.keys() | interest.keys()):
        count, revenue = bought.get(day, (0, 0))
        yield {
            "profile_id": profile_id,
            "day": day,
            "count": count,
            "revenue": revenue,
            "interests": interest.get(day, 0),
        }
