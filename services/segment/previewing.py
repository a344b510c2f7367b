"""What a definition would do with everybody, before it is put in force. Reads only: it holds up no event.

Rules are asked of the whole population in SQL. A ladder or share looks at what each customer remembers, one by one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from services.segment import measured
from services.segment.customers import everybody, load_customers
from services.segment.definition import Definition, Look, Memory, classify, needs, population, why
from services.segment.definition.population import measured as measured_of
from services.segment.definitions import read
from services.segment.model import Customer, Population
from services.segment.population import load_company, load_population
from services.segment.rules import SqlRule, compile_sql, source
from shared.events.times import to_ms

SAMPLE = 10
"""So many of those who would move are shown, the first by profile id."""

_Class = str | None


class Move(NamedTuple):
    """From a class to another; None is no class."""

    before: _Class
    after: _Class


class _Counted(NamedTuple):
    """How many customers would go from where to where, who stays included, and some who would move."""

    turns: Counter[Move]
    movers: Sequence[str]


def preview(connection: Connection, document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Sizes of the classes as of now, moves against the definition in force, a sample. Raises DefinitionError."""
    definition = read(document, "preview")
    numbers = _numbers(connection, definition)
    count = _by_sql if definition.scale is None else _one_by_one
    turns, movers = count(connection, definition, now, numbers)
    sizes: Counter[str] = Counter()
    for move, number in turns.items():
        if move.after is not None:
            sizes[move.after] += number
    total = sum(sizes.values())
    moves = [(move, number) for move, number in turns.items() if move.before != move.after]
    moves.sort(key=lambda item: (-item[1], item[0].before or "", item[0].after or ""))
    return {
        "total": total,
        "classes": [
            {"class": n, "count": sizes[n], "share": sizes[n] / total if total else 0.0} for n in definition.classes
        ],
        "moves": [{"from": move.before, "to": move.after, "count": number} for move, number in moves],
        "sample": list(_sample(load_customers(connection, movers), definition, to_ms(now), numbers)),
    }


def _by_sql(connection: Connection, definition: Definition, now: datetime, numbers: Population) -> _Counted:
    placed, bound = _placed(connection, definition, now, numbers)
    counted = connection.execute(
        text(f"SELECT held, place, COUNT(*) FROM ({placed}) counted GROUP BY held, place"), bound
    ).all()
    turns = Counter({Move(held, _class(definition, place)): number for held, place, number in counted})
    moved = " OR ".join(_moved(definition, place) for place in range(len(definition.classes) + 1))
    named = {f"name{place}": name for place, name in enumerate(definition.classes)}
    movers = connection.execute(
        text(f"SELECT profile_id FROM ({placed}) moved WHERE {moved} ORDER BY profile_id LIMIT {SAMPLE}"),
        {**bound, **named},
    ).scalars()
    return _Counted(turns, list(movers))


def _class(definition: Definition, place: int) -> _Class:
    return definition.classes[place] if place < len(definition.classes) else None


def _moved(definition: Definition, place: int) -> str:
    if place == len(definition.classes):
        return f"(place = {place} AND held IS NOT NULL)"
    return f"(place = {place} AND (held IS NULL OR held <> CAST(:name{place} AS TEXT)))"


def _placed(
    connection: Connection, definition: Definition, now: datetime, numbers: Population
) -> tuple[str, dict[str, Any]]:
    """A query of everybody with the class held and the place of the first rule that holds, and its parameters."""
    rules: list[SqlRule] = []
    cases: list[str] = []
    for place, each in enumerate(definition.rules):
        if each.rule is None:
            cases.append(f"WHEN 1 = 1 THEN {place}")
            continue
        rule = compile_sql(each.rule.expression, connection.dialect.name, f"p{place}_")
        rules.append(rule)
        cases.append(f"WHEN {rule.sql} THEN {place}")
    bound: dict[str, Any] = {"segmentation": definition.name}
    for rule in rules:
        bound |= rule.bind(now, numbers)
    return (
        f'SELECT f.profile_id, m."class" AS held, CASE {" ".join(cases)} ELSE {len(definition.classes)} END AS place '
        f"FROM {source(rules)} LEFT JOIN membership m "
        f"ON m.segmentation = :segmentation AND m.profile_id = f.profile_id",
        bound,
    )


def _one_by_one(connection: Connection, definition: Definition, now: datetime, numbers: Population) -> _Counted:
    turns: Counter[Move] = Counter()
    movers: list[str] = []
    ms = to_ms(now)
    for customer in everybody(connection):
        if customer.facts is None:
            continue
        result = classify(definition, _memory(customer, definition), Look(customer.facts, ms, numbers))
        move = Move(_held(customer, definition), result.class_)
        turns[move] += 1
        if move.before != move.after and len(movers) < SAMPLE:
            movers.append(customer.profile_id)
    return _Counted(turns, movers)


def _sample(
    customers: Mapping[str, Customer], definition: Definition, ms: int, numbers: Population
) -> Iterator[dict[str, Any]]:
    for name, customer in sorted(customers.items()):
        if customer.facts is None:
            continue
        look = Look(customer.facts, ms, numbers)
        before = _held(customer, definition)
        reason = why(definition, classify(definition, _memory(customer, definition), look), look, before)
        shown = {"from": before, "to": reason.class_, "evidence": reason.values, "customer": customer.shown}
        yield {"profile_id": name, **shown}


def _held(customer: Customer, definition: Definition) -> _Class:
    held = customer.memberships.get(definition.name)
    return held.class_ if held else None


def _memory(customer: Customer, definition: Definition) -> Memory | None:
    held = customer.memberships.get(definition.name)
    return held.memory if held else None


def _numbers(connection: Connection, definition: Definition) -> Population:
    """The numbers of the population, with those that nobody measures yet measured for this definition alone."""
    known = load_population(connection)
    missing = {need for need in needs(definition) if need not in known}
    if not missing:
        return known
    closed = load_company(connection).closed_day or 0
    values = _values(everybody(connection), measured_of(missing), closed)
    return {**known, **population(values, missing)}


def _values(customers: Iterable[Customer], attributes: Iterable[str], closed_day: int) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {name: [] for name in attributes}
    for customer in customers:
        for name, found in values.items():
            value = measured.value_of(name, customer, closed_day)
            if value is not None:
                found.append(value)
    return values
