"""Rolling windows over day buckets: a day d counts while today - d < N, so values change only at midnights (UTC)."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from services.segment.attributes.attribute import Attribute, Population, Type, Value, Varies
from services.segment.attributes.facts import DAY_MS, Facts

LENGTHS = (28, 30, 91, 182, 365)
MEAN = "mean:revenue_91d"


class Window(NamedTuple):
    """A sum of whole numbers over the last days, and how the sum becomes the value."""

    length: int
    days: Callable[[Facts], tuple[int, ...]]
    parts: Callable[[Facts], tuple[int, ...]]
    scale: Callable[[Facts, int, Population], Value]


def windows() -> Iterator[Attribute]:
    """All attributes that count over the last N days."""
    for length in LENGTHS:
        total = f"CAST({_sum('revenue', length)} AS DOUBLE PRECISION) / f.scale"
        text = f"Net revenue of the last {length} days (UTC days, today included)."
        yield _attribute(f"revenue_{length}d", "currency", text, Window(length, _days, _revenues, _major), total)
    for length in LENGTHS:
        text = f"Purchases of the last {length} days."
        window = Window(length, _days, _counts, _whole)
        yield _attribute(f"purchases_count_{length}d", "purchases", text, window, _sum("count", length))
    for length in (30, 90):
        text = f"Interest events of the last {length} days."
        window = Window(length, _interest_days, _interest_counts, _whole)
        yield _attribute(f"interest_count_{length}d", "events", text, window, _sum("interests", length))
    yield _attribute(
        "revenue_91d_to_average",
        "ratio",
        "revenue_91d divided by its mean over the customers with revenue_91d > 0; null for who never bought.",
        Window(91, _days, _revenues, _to_average),
        f"CASE WHEN f.purchases > 0 THEN CAST({_sum('revenue', 91)} AS DOUBLE PRECISION) / f.scale "
        f"/ NULLIF({{{MEAN}}}, 0) END",
    )


def _attribute(name: str, unit: str, text: str, window: Window, sql: str) -> Attribute:
    length, days, parts, scale = window

    def read(facts: Facts, ms: int, population: Population) -> Value:
        total = sum(parts(facts)[bisect_right(days(facts), ms // DAY_MS - length) :])
        return scale(facts, total, population)

    def changes(facts: Facts, ms: int, population: Population) -> Iterator[tuple[int, Value]]:
        dates, sizes = days(facts), parts(facts)
        first = bisect_right(dates, ms // DAY_MS - length)
        left = sum(sizes[first:])
        for place in range(first, len(dates)):
            if sizes[place]:
                left -= sizes[place]
                yield (dates[place] + length) * DAY_MS, scale(facts, left, population)

    return Attribute(
        name=name,
        type=Type.NUMBER,
        description=text,
        unit=unit,
        varies=Varies.STEPS,
        read=read,
        changes=changes,
        sql=sql,
        needs=(MEAN,) if scale is _to_average else (),
    )


def _sum(column: str, length: int) -> str:
    return f"COALESCE(w.{column}_{length}d, 0)"


def _days(facts: Facts) -> tuple[int, ...]:
    return facts.days


def _counts(facts: Facts) -> tuple[int, ...]:
    return facts.counts


def _revenues(facts: Facts) -> tuple[int, ...]:
    return facts.revenues


def _interest_days(facts: Facts) -> tuple[int, ...]:
    return facts.interest_days


def _interest_counts(facts: Facts) -> tuple[int, ...]:
    return facts.interest_counts


def _whole(facts: Facts, total: int, population: Population) -> Value:
    return total


def _major(facts: Facts, total: int, population: Population) -> Value:
    return total / facts.scale


def _to_average(facts: Facts, total: int, population: Population) -> Value:
    mean = population.get(MEAN)
    return total / facts.scale / mean if mean and facts.purchases > 0 else None
