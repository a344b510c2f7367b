"""The close of a day: the population is measured anew, and those who may stand elsewhere now are looked at again.

Work is proportional to what moved: windows roll by the customers of two days, and of a class only those are looked at
whose value lies beyond its edges under the new numbers.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, and_, func, insert, or_, select

from services.segment import measured, tables
from services.segment.customers import everybody
from services.segment.definition import Scale, population
from services.segment.definition.population import measured as measured_of
from services.segment.ladder import NOWHERE, Memory, edges
from services.segment.model import Population, Recheck, Ruled, Ruleset
from services.segment.population import Company, load_population, load_ruleset, save_company
from shared.events.money import exponent
from shared.events.times import from_ms

DAY_MS = 86_400_000
SLACK = 1e-9
"""Edges are drawn this much narrower: a customer too many is looked at in vain, one too few would be wrong."""


def wanted(ruleset: Ruleset) -> frozenset[str]:
    """All numbers of the population that the definitions in force need."""
    return frozenset[str]().union(*(rule.needs for rule in ruleset.rules))


def close(connection: Connection, company: Company, day: int) -> Sequence[Recheck]:
    """Close a day (days since 1970): roll, measure, keep the snapshot; who must be looked at again, as of its end."""
    for attribute in company.measured:
        measured.roll(connection, attribute, day)
    company.closed_day = day
    return _measure(connection, company, (day + 1) * DAY_MS)


def close_again(connection: Connection, company: Company, at_ms: int) -> Sequence[Recheck]:
    """Measure the last closed day anew, after late events changed it; what follows counts from `at_ms`."""
    return _measure(connection, company, at_ms)


def begin(connection: Connection, company: Company, day: int, at_ms: int) -> Sequence[Recheck]:
    """Close a day without a day before it: measured from all buckets."""
    company.closed_day = day
    for attribute in company.measured:
        measured.rebuild(connection, attribute, day)
    return _measure(connection, company, at_ms)


def _measure(connection: Connection, company: Company, at_ms: int) -> Sequence[Recheck]:
    ruleset = load_ruleset(connection, company)
    former = load_population(connection)
    needed = wanted(ruleset)
    scale = 10 ** exponent(company.currency)
    values = {name: measured.values(connection, name, scale) for name in sorted(measured_of(needed))}
    now = population(values, needed)
    assert company.closed_day is not None
    _keep(connection, company.closed_day, now)
    company.dirty = False
    company.again_at = at_ms
    save_company(connection, company)
    names = set(_candidates(connection, ruleset, company, (now, former), at_ms))
    if now and not former:
        names |= {customer.profile_id for customer in everybody(connection) if customer.facts is not None}
    return [Recheck(profile_id=name, at=from_ms(at_ms)) for name in sorted(names)]


def _keep(connection: Connection, day: int, numbers: Population) -> None:
    version = connection.execute(
        select(func.max(tables.snapshot.c.version)).where(tables.snapshot.c.day == day)
    ).scalar()
    connection.execute(
        insert(tables.snapshot).values(day=day, version=(version or 0) + 1, body=json.dumps(numbers, sort_keys=True))
    )


def _candidates(
    connection: Connection, ruleset: Ruleset, company: Company, numbers: tuple[Population, Population], at_ms: int
) -> Iterator[str]:
    now, former = numbers
    if not former:
        return
    minor = 10 ** exponent(company.currency)
    for rule in ruleset.rules:
        definition = rule.definition
        unit = _unit(definition.scale, now, minor) if definition.scale is not None else None
        if unit is not None:
            if definition.scale is not None and not _unit(definition.scale, former, minor):
                yield from _classless(connection, definition.name)
            yield from _beyond_edges(connection, rule, now, company.closed_day or 0, unit)
        elif any(now.get(need) != former.get(need) for need in rule.needs):
            yield from _turned(connection, definition.name, definition.scale, now, at_ms)


def _unit(scale: Scale, now: Population, minor: int) -> tuple[str, float] | None:
    """The measured attribute behind a scale and how much of it is one unit of the scale; None when there is none."""
    name = scale.attribute.name
    if scale.borders(now) is None or name == measured.GAP:
        return None
    if scale.fixed is None:
        return name, float(minor if name.startswith("revenue_") else 1)
    base = name.removesuffix("_to_average")
    mean = now.get(f"mean:{base}")
    if base == name or not mean:
        return None
    return base, mean * (minor if base.startswith("revenue_") else 1)


def _classless(connection: Connection, segmentation: str) -> Iterator[str]:
    """Those who stand nowhere yet: they are looked at when the numbers appear for the first time."""
    member = tables.membership
    query = select(member.c.profile_id).where((member.c.segmentation == segmentation) & member.c["class"].is_(None))
    yield from connection.execute(query).scalars()


def _beyond_edges(
    connection: Connection, rule: Ruled, now: Population, closed_day: int, unit: tuple[str, float]
) -> Iterator[str]:
    """Those whose wish to move turns under the new borders: they wish otherwise than `pending` says."""
    scale = rule.definition.scale
    borders = scale.borders(now) if scale is not None else None
    assert scale is not None
    assert borders is not None
    attribute, size = unit
    joined, values = _with_values(attribute, closed_day)
    member = tables.membership
    turned = []
    for place, name in enumerate(scale.ladder.classes):
        low = borders.down[place - 1] * size if place > 0 else None
        high = borders.up[place] * size if place < len(borders.up) else None
        turned.append((member.c["class"] == name) & or_(*(_turns(value, low, high) for value in values)))
    query = select(member.c.profile_id).select_from(joined)
    query = query.where((member.c.segmentation == rule.definition.name) & or_(*turned))
    yield from connection.execute(query).scalars()


def _turns(value: ColumnElement[Any], low: float | None, high: float | None) -> ColumnElement[bool]:
    pending = tables.membership.c.pending
    beyond = [value < low * (1 + SLACK)] if low is not None else []
    beyond += [value >= high * (1 - SLACK)] if high is not None else []
    turned = [and_(pending == 0, or_(*beyond))]
    if high is not None:
        turned.append(and_(pending == 1, value < high * (1 + SLACK)))
    if low is not None:
        turned.append(and_(pending == -1, value >= low * (1 - SLACK)))
    return or_(*turned)


def _with_values(attribute: str, closed_day: int) -> tuple[FromClause, list[ColumnElement[Any]]]:
    """Memberships with the value as of the last close, and with that of today when today counts already."""
    member, rolling, bucket = tables.membership, tables.rolling, tables.feature_day
    joined = member.outerjoin(
        rolling, (rolling.c.profile_id == member.c.profile_id) & (rolling.c.attribute == attribute)
    )
    value = func.coalesce(rolling.c.value, 0)
    held = measured.window(attribute)
    if held is None:
        return joined, [value]
    total = func.sum(bucket.c[held.column]).label("total")
    since = select(bucket.c.profile_id, total).where(bucket.c.day > closed_day).group_by(bucket.c.profile_id).subquery()
    joined = joined.outerjoin(since, since.c.profile_id == member.c.profile_id)
    return joined, [value, value + func.coalesce(since.c.total, 0)]


def _turned(
    connection: Connection, segmentation: str, scale: Scale | None, now: Population, at_ms: int
) -> Iterator[str]:
    """Where the numbers are not a plain factor: look at everybody's value, but only when the numbers moved."""
    for customer in everybody(connection):
        if customer.facts is None:
            continue
        held = customer.memberships.get(segmentation)
        if scale is None or held is None or held.class_ is None:
            yield customer.profile_id
            continue
        borders = scale.borders(now)
        value = scale.attribute.read(customer.facts, at_ms, now)
        memory: Memory = held.memory or NOWHERE
        if (
            borders is None
            or not isinstance(value, int | float)
            or memory.pending
            or (memory.class_ is not None and not _inside(edges(scale.ladder, borders, memory), memory, scale, value))
        ):
            yield customer.profile_id


def _inside(around: Sequence[float], memory: Memory, scale: Scale, value: float) -> bool:
    place = scale.ladder.classes.index(memory.class_ or "")
    low = around[0] if place > 0 else None
    high = around[-1] if place < len(scale.ladder.classes) - 1 else None
    return (low is None or value >= low) and (high is None or value < high)


def day_of(ms: int) -> int:
    """The day (since 1970, UTC) of a moment."""
    return ms // DAY_MS


__all__ = ["begin", "close", "close_again", "day_of", "wanted"]
