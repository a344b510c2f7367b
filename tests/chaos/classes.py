"""The definitions that the runs put in force, and the class that each customer must end in. Pure.

Volume and frequency have neither hysteresis nor dwell here: with them a class depends on the path by design, and a
count of what there is at the end could not tell it. The shipped `status` is taken as it is.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tests.chaos.oracle import DAY_MS, Customer

STEPS, SIZES = (0.5, 1.25, 2.5), ("low", "average", "high", "very_high")
PACES, PACE_NAMES = (0.5, 2.0), ("frequent", "regular", "occasional")
FRESH_DAYS, WARM_DAYS = 0.0001, 0.0003
GAPS = 16
PRIOR = 3.0
SLACK_MS = 5_000
"""A timer may fire so much later than it was due."""

ROUNDING = 1e-9
"""Values so close to a border may be computed to either side of it."""

DEFINITIONS: tuple[dict[str, Any], ...] = (
    {"segmentation": "volume", "ladder": {"attribute": "revenue_91d_to_average", "steps": STEPS, "classes": SIZES}},
    {
        "segmentation": "frequency",
        "ladder": {
            "attribute": "usual_gap_to_median",
            "steps": PACES,
            "classes": PACE_NAMES,
            "default": {"when": "purchase_days between 1 and 3", "class": "occasional"},
        },
    },
    {
        "segmentation": "freshness",
        "classes": [
            {"name": "fresh", "when": f"days_since_last_purchase < {FRESH_DAYS}"},
            {"name": "warm", "when": f"days_since_last_purchase < {WARM_DAYS}"},
            {"name": "cold", "when": "purchases_count >= 1"},
        ],
    },
)

CAMPAIGN: dict[str, Any] = {
    "campaign": "gone-cold",
    "on": {"segmentation": "freshness", "from": ["warm"], "to": "cold"},
    "audience": "purchases_count >= 4",
    "channels": ["email"],
    "steps": [{"template": "gone-cold"}],
    "limits": {"category": "service"},
}
TEMPLATE: dict[str, Any] = {
    "template": "gone-cold",
    "category": "service",
    "email": {"subject": "Hello", "text": "Hello {{ customer.first_name | default: 'there' }}"},
}


class Population(NamedTuple):
    """What is measured of all customers as of the end of yesterday: the mean revenue of buyers, the median gap."""

    mean: float | None
    median: float | None


def quantile(ascending: Sequence[float], share: float) -> float:
    """With linear interpolation between the two next values."""
    place = share * (len(ascending) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (ascending[high] - ascending[low]) * (place - low)


def gaps(customer: Customer, until_day: int) -> list[int]:
    """The latest gaps between days with a purchase, ascending."""
    days = sorted(day for day, (count, _) in customer.days.items() if count and day <= until_day)
    return sorted(later - earlier for earlier, later in pairwise(days[-GAPS - 1 :]))


def population(customers: Sequence[Customer], now_ms: int) -> Population:
    """The figures of all customers, from what happened until the end of yesterday (UTC)."""
    closed = now_ms // DAY_MS - 1
    sums = [
        sum(revenue for day, (_, revenue) in one.days.items() if closed + 1 - 91 < day <= closed) for one in customers
    ]
    positive = [each / 100 for each in sums if each > 0]
    medians = sorted(quantile(known, 0.5) for one in customers if (known := gaps(one, closed)))
    return Population(sum(positive) / len(positive) if positive else None, quantile(medians, 0.5) if medians else None)


def allowed(customer: Customer, figures: Population, now_ms: int) -> dict[str, set[str | None]]:
    """The classes that a customer may be in at a moment, by segmentation: more than one only on a border."""
    moments = (now_ms - SLACK_MS, now_ms)
    return {
        "status": {_status(customer, ms) for ms in moments},
        "freshness": {_freshness(customer, ms) for ms in moments},
        "volume": _volume(customer, figures, now_ms),
        "frequency": _frequency(customer, figures, now_ms),
    }


def _since(customer: Customer, ms: int) -> float | None:
    last = customer.lasts.get("purchase")
    return None if last is None else (ms - last) / DAY_MS


def _status(customer: Customer, ms: int) -> str | None:
    purchases, since = customer.counts.get("purchases", 0), _since(customer, ms)
    if customer.traits.get("contract_active"):
        return "current"
    known = gaps(customer, ms // DAY_MS)
    if since is not None and purchases >= 3 and known and since <= quantile(known, 0.9):
        return "current"
    if since is not None:
        return "active" if since < 180 else "inactive"
    if customer.counts.get("interests", 0):
        return "potential"
    reachable = any(kind in ("email", "phone", "chat_handle") for kind, _ in customer.known())
    return "probable" if reachable else None


def _freshness(customer: Customer, ms: int) -> str | None:
    since = _since(customer, ms)
    if since is None:
        return None
    return "fresh" if since < FRESH_DAYS else "warm" if since < WARM_DAYS else "cold"


def _either_side(value: float, steps: Sequence[float], names: Sequence[str]) -> set[str | None]:
    return {names[bisect_right(steps, value * (1 + side * ROUNDING))] for side in (-1, 0, 1)}


def _volume(customer: Customer, figures: Population, ms: int) -> set[str | None]:
    if figures.mean is None or not customer.counts.get("purchases"):
        return {None}
    today = ms // DAY_MS
    total = sum(revenue for day, (_, revenue) in customer.days.items() if today - day < 91)
    return _either_side(total / 100 / figures.mean, STEPS, SIZES)


def _frequency(customer: Customer, figures: Population, ms: int) -> set[str | None]:
    days = sum(1 for count, _ in customer.days.values() if count)
    if 1 <= days <= 3:
        return {"occasional"}
    known = gaps(customer, ms // DAY_MS)
    if not known or not figures.median:
        return {None}
    own, middle = math.log(quantile(known, 0.5)), math.log(figures.median)
    drawn = math.exp((len(known) * own + PRIOR * middle) / (len(known) + PRIOR))
    return _either_side(drawn / figures.median, PACES, PACE_NAMES)
