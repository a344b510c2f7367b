"""The class of one customer at one moment, and the next moment at which it may change. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from services.segment.attributes import Facts, Population, Value
from services.segment.definition.model import ClassRule, Definition, Scale
from services.segment.ladder import NOWHERE, Borders, Memory, advance, edges, next_turn
from services.segment.rules import Rule
from services.segment.rules.crossing import MAX_MS, first_difference
from shared.events.times import from_ms


class Result(NamedTuple):
    """Where a customer stands. `class_` None: in no class. `next_due_ms` is always later than the moment looked at."""

    class_: str | None
    memory: Memory | None
    next_due_ms: int | None

    @property
    def next_due(self) -> datetime | None:
        """The next moment at which the class may change by time alone."""
        return None if self.next_due_ms is None else from_ms(self.next_due_ms)


class Look(NamedTuple):
    """What a classification looks at: a customer, a moment in milliseconds since 1970, the population."""

    facts: Facts
    ms: int
    population: Population


def classify(definition: Definition, memory: Memory | None, look: Look, *, drift: bool = True) -> Result:
    """Classify a customer as of a moment. Only a ladder or share uses and gives a memory.

    Without `drift`, `next_due_ms` leaves out the midnights at which a value drifts over a border that moves with the
    population: the close of the day sees to those.

    Rules after the one that holds cannot matter before it or an earlier one flips, so only those up to it set
    `next_due`.
    """
    if definition.scale is None:
        return _by_rules(definition.rules, look)
    return _by_scale(definition.scale, memory or NOWHERE, look, drift or not definition.scale.closed_daily)


def _by_rules(rules: Iterable[ClassRule], look: Look) -> Result:
    due: int | None = None
    for name, rule in ((each.name, each.rule) for each in rules):
        if rule is None:
            return Result(name, None, due)
        due = _first(due, _crossing(rule, look))
        if rule.test(*look):
            return Result(name, None, due)
    return Result(None, None, due)


def _crossing(rule: Rule, look: Look) -> int | None:
    return None if rule.crossing is None else rule.crossing(*look)


def _first(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _by_scale(scale: Scale, memory: Memory, look: Look, drift: bool) -> Result:
    due: int | None = None
    if scale.default is not None:
        rule = scale.default.rule
        due = _crossing(rule, look)
        if rule.test(*look):
            return Result(scale.default.class_, None, due)
    borders = scale.borders(look.population)
    value = scale.attribute.read(*look)
    # Who never bought has no part in a share; who bought but has nothing left of it is in the lowest class.
    outside = scale.fixed is None and not look.facts.purchases
    if borders is None or not isinstance(value, int | float) or outside:
        return Result(None, None, due)
    after, dwelt = advance(scale.ladder, borders, memory, value, look.ms)
    due = _first(due, _first(dwelt, _turn(scale, borders, after, value, look) if drift else None))
    return Result(after.class_, after, due)


def _turn(scale: Scale, borders: Borders, memory: Memory, value: float, look: Look) -> int | None:
    """The first moment at which time alone turns the wish to move."""
    attribute = scale.attribute
    if attribute.changes is not None:
        return next_turn(scale.ladder, borders, memory, value, _numbers(attribute.changes(*look)))
    start = attribute.since(look.facts) if attribute.since is not None else None
    if start is None:
        return None
    waits = (first_difference(edge, True) for edge in edges(scale.ladder, borders, memory))
    moments = [start + wait for wait in waits if wait is not None and look.ms < start + wait <= MAX_MS]
    return min(moments, default=None)


def _numbers(changes: Iterator[tuple[int, Value]]) -> Iterator[tuple[int, float]]:
    return ((moment, value) for moment, value in changes if isinstance(value, int | float))
