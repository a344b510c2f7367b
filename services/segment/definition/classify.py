"""The class of one customer at one moment, the next moment at which it may change, and why. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from services.segment.attributes import Attribute, Facts, Population, Value
from services.segment.definition.model import ClassRule, Definition, Scale
from services.segment.ladder import NOWHERE, Borders, Memory, advance, edges, next_turn
from services.segment.rules import Rule
from services.segment.rules.crossing import MAX_MS, first_difference
from shared.events.times import from_ms, to_ms


class Result(NamedTuple):
    """Where a customer stands. `class_` None: in no class. `next_due_ms` is always later than the moment looked at.

    `evidence` holds the values of the attributes that decided, `rule_text` the condition they met.
    """

    class_: str | None
    memory: Memory | None
    next_due_ms: int | None
    evidence: dict[str, object]
    rule_text: str

    @property
    def next_due(self) -> datetime | None:
        """The next moment at which the class may change by time alone."""
        return None if self.next_due_ms is None else from_ms(self.next_due_ms)


class _Look(NamedTuple):
    """What a classification looks at: a customer, a moment in milliseconds since 1970, the population."""

    facts: Facts
    ms: int
    population: Population


def classify(
    definition: Definition,
    memory: Memory | None,
    facts: Facts,
    at: datetime,
    population: Population,
    *,
    drift: bool = True,
) -> Result:
    """Classify a customer as of a moment. Only a ladder or share uses and gives a memory.

    Without `drift`, `next_due_ms` leaves out the midnights at which a value drifts over a border that moves with the
    population: the close of the day sees to those.

    Rules after the one that holds cannot matter before it or an earlier one flips, so only those up to it set
    `next_due`.
    """
    look = _Look(facts, to_ms(at), population)
    if definition.scale is None:
        return _by_rules(definition.rules, look)
    return _by_scale(definition.scale, memory or NOWHERE, look, drift or not definition.scale.closed_daily)


def _by_rules(rules: Iterable[ClassRule], look: _Look) -> Result:
    due: int | None = None
    seen: dict[str, Attribute] = {}
    for name, rule in ((each.name, each.rule) for each in rules):
        if rule is None:
            return Result(name, None, due, _evidence(seen.values(), look), "otherwise")
        due = _first(due, _crossing(rule, look))
        if rule.test(*look):
            return Result(name, None, due, _evidence(rule.attributes, look), rule.text)
        for attribute in rule.attributes:
            seen[attribute.name] = attribute
    return Result(None, None, due, _evidence(seen.values(), look), "")


def _crossing(rule: Rule, look: _Look) -> int | None:
    return None if rule.crossing is None else rule.crossing(*look)


def _first(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _by_scale(scale: Scale, memory: Memory, look: _Look, drift: bool) -> Result:
    due: int | None = None
    if scale.default is not None:
        rule = scale.default.rule
        due = _crossing(rule, look)
        if rule.test(*look):
            return Result(scale.default.class_, None, due, _evidence(rule.attributes, look), rule.text)
    borders = scale.borders(look.population)
    value = scale.attribute.read(*look)
    evidence: dict[str, object] = {scale.attribute.name: _shown(value)}
    # Who never bought has no part in a share; who bought but has nothing left of it is in the lowest class.
    outside = scale.fixed is None and not look.facts.purchases
    if borders is None or not isinstance(value, int | float) or outside:
        return Result(None, None, due, evidence, "")
    after, dwelt = advance(scale.ladder, borders, memory, value, look.ms)
    due = _first(due, _first(dwelt, _turn(scale, borders, after, value, look) if drift else None))
    return Result(after.class_, after, due, evidence, _text(scale, borders, after, value))


def _turn(scale: Scale, borders: Borders, memory: Memory, value: float, look: _Look) -> int | None:
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


def _text(scale: Scale, borders: Borders, memory: Memory, value: float) -> str:
    place = scale.ladder.classes.index(memory.class_ or "")
    text = scale.texts[place]
    return text if borders.first(value) == place else f"{text}, not yet left for its hysteresis or dwell"


def _evidence(attributes: Iterable[Attribute], look: _Look) -> dict[str, object]:
    facts, ms, population = look
    return {attribute.name: _shown(attribute.read(facts, ms, population)) for attribute in attributes}


def _shown(value: Value) -> Value:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def explain(definition: Definition, result: Result) -> str:
    """One line for people: `active: purchases_count >= 1 and … (purchases_count = 5, …)`."""
    values = ", ".join(f"{name} = {_plain(value)}" for name, value in result.evidence.items())
    reason = result.rule_text or ("no rule holds" if definition.scale is None else "there is no value to go by")
    return f"{result.class_ or 'no class'}: {reason}" + (f" ({values})" if values else "")


def _plain(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 0.01 else f"{value:.3g}"
    return f"'{value}'" if isinstance(value, str) else str(value)
