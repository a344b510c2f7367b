"""When a comparison flips by time alone: in closed form for the running clock, bucket by bucket for the steps."""

import math
from collections.abc import Callable, Iterable
from functools import partial

from services.segment.attributes import Facts, Population
from services.segment.attributes.attribute import Changes, Read
from services.segment.attributes.facts import DAY_MS
from services.segment.rules.expression import Compare, Ref, varying
from services.segment.rules.scalars import Leaf, Predicate, Scalar, clock_first, predicate, scalar

Crossing = Callable[[Facts, int, Population], int | None]
"""The earliest moment after a given one (milliseconds since 1970) at which something may flip; None: never."""

MAX_MS = 253_402_300_799_999
"""The last moment that a datetime can hold. What falls due later never does."""

_MAX_DAYS = 6_000_000.0
_EDGES = {"<": ("<",), ">=": ("<",), "<=": ("<=",), ">": ("<=",), "=": ("<", "<="), "<>": ("<", "<=")}
"""A comparison with a rising value flips where `value < x` or `value <= x` does."""


def leaf_crossing(node: Leaf) -> Crossing | None:
    """The crossing of a single comparison; None when time does not matter to it."""
    attribute = next((ref.attribute for ref in varying(node)), None)
    if attribute is None:
        return None
    turned = clock_first(node) if isinstance(node, Compare) else node
    if attribute.changes is not None:
        return _stepwise(attribute.read, attribute.changes, predicate(turned))
    if not isinstance(turned, Compare) or attribute.since is None:
        return None  # Whether the days since something are null depends on events alone.
    return _continuous(turned, attribute.since)


def earliest(crossings: Iterable[Crossing]) -> Crossing | None:
    """The first of several crossings."""
    found = tuple(crossings)
    if len(found) <= 1:
        return found[0] if found else None

    def crossing(facts: Facts, ms: int, population: Population) -> int | None:
        best: int | None = None
        for each in found:
            moment = each(facts, ms, population)
            if moment is not None and (best is None or moment < best):
                best = moment
        return best

    return crossing


def first_difference(days: float, inclusive: bool) -> int | None:
    """The least whole number of milliseconds that, in days, is `>= days` (`> days` when not inclusive).

    None when it is beyond all time. It is exact in the sense of the rule: it divides as the evaluation divides.
    """
    if not -_MAX_DAYS < days < _MAX_DAYS:
        return -MAX_MS if days < 0 else None
    guess = math.ceil(days * DAY_MS)
    while guess / DAY_MS > days or (inclusive and guess / DAY_MS == days):
        guess -= 1
    while guess / DAY_MS < days or (not inclusive and guess / DAY_MS == days):
        guess += 1
    return guess


def _stepwise(read: Read, changes: Changes, holds: Predicate) -> Crossing:
    def crossing(facts: Facts, ms: int, population: Population) -> int | None:
        now = holds(read(facts, ms, population), facts, population)
        for moment, value in changes(facts, ms, population):
            if holds(value, facts, population) is not now:
                return moment
        return None

    return crossing


def _continuous(node: Compare, since: Callable[[Facts], int | None]) -> Crossing:
    if isinstance(node.left, Ref):
        other = scalar(node.right)
        edges: list[Crossing] = [partial(_closed_form, since, other, edge == "<") for edge in _EDGES[node.op]]
    else:
        tests = [predicate(Compare(edge, node.left, node.right, node.type)) for edge in _EDGES[node.op]]
        edges = [partial(_searched, since, test) for test in tests]
    found = earliest(edges)
    assert found is not None
    return found


def _closed_form(
    since: Callable[[Facts], int | None], other: Scalar, inclusive: bool, facts: Facts, ms: int, population: Population
) -> int | None:
    start = since(facts)
    days = None if start is None else other(None, facts, population)
    if start is None or days is None:
        return None
    wait = first_difference(days, inclusive)
    moment = None if wait is None else start + wait
    return moment if moment is not None and ms < moment <= MAX_MS else None


def _searched(
    since: Callable[[Facts], int | None], test: Predicate, facts: Facts, ms: int, population: Population
) -> int | None:
    # A linear term of a rising value is monotone even after rounding, so the one flip can be bisected.
    start = since(facts)
    if start is None:
        return None
    low, high = ms, MAX_MS
    now = test((low - start) / DAY_MS, facts, population)
    if test((high - start) / DAY_MS, facts, population) is now:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if test((middle - start) / DAY_MS, facts, population) is now:
            low = middle
        else:
            high = middle
    return high
