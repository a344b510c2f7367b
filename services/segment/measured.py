"""What is measured of every customer for the population, kept in `rolling`: a function of the days that are closed.

Windows roll from close to close. The median gap of a customer is taken as of the last closed day: what he buys later
counts from the close of that day on. Other attributes count as they stand.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text

from services.segment import tables
from services.segment.attributes import CATALOGUE, Attribute, Facts, Type, dynamic
from services.segment.attributes.facts import DAY_MS, usual_gap
from services.segment.customers import load_customers
from services.segment.model import Customer
from services.segment.population import Company, mark_dirty
from services.segment.rules import compile_attribute, source
from shared.database import among, put

GAP = "usual_gap_days_median"


class Moved(NamedTuple):
    """A day bucket of a customer that changed: by how many purchases, minor units and interest events."""

    profile_id: str
    day: int
    purchases: int
    revenue: int
    interests: int

    def of(self, column: str) -> int:
        """How much a column of the bucket changed."""
        return {"count": self.purchases, "revenue": self.revenue, "interests": self.interests}[column]


class Window(NamedTuple):
    """A measured attribute that is a sum over the last `length` days of the buckets' `column`."""

    attribute: str
    column: str
    length: int


def window(attribute: str) -> Window | None:
    """The window an attribute sums over: `revenue_91d` is 91 days of revenue; None for any other attribute."""
    for column, stem in (("revenue", "revenue_"), ("count", "purchases_count_"), ("interests", "interest_count_")):
        length = attribute.removeprefix(stem).removesuffix("d")
        if attribute.startswith(stem) and length.isdigit():
            return Window(attribute, column, int(length))
    return None


def attribute_of(name: str) -> Attribute:
    """A measured attribute by its name: of the catalogue, or a trait or score that is a number."""
    family, _, member = name.partition(".")
    return dynamic(family, member, Type.NUMBER) if member else CATALOGUE[name]


def follow(
    connection: Connection,
    company: Company,
    loaded: Mapping[str, Customer],
    touched: Sequence[Customer],
    moved: Sequence[Moved],
) -> None:
    """Keep what is measured in step with a batch: for days that are closed already, and what counts as it stands."""
    late = [move for move in moved if company.closed_day is not None and move.day <= company.closed_day]
    for attribute in company.measured:
        held = window(attribute)
        if held is not None:
            _late_window(connection, company, held, late)
        elif attribute == GAP:
            _late_gaps(connection, company, touched, {move.profile_id for move in late if move.purchases})
        else:
            _plain(connection, attribute, loaded, touched)


def _late_window(connection: Connection, company: Company, held: Window, late: Sequence[Moved]) -> None:
    sums: dict[str, int] = {}
    for move in late:
        if move.day >= (company.closed_day or 0) + 2 - held.length:
            sums[move.profile_id] = sums.get(move.profile_id, 0) + move.of(held.column)
    changed = {name: value for name, value in sums.items() if value}
    if changed:
        _put(connection, held.attribute, changed, add=True)
        mark_dirty(connection, company)


def _late_gaps(connection: Connection, company: Company, touched: Sequence[Customer], late: set[str]) -> None:
    if late and company.closed_day is not None:
        _put_gaps(connection, [customer for customer in touched if customer.profile_id in late], company.closed_day)
        mark_dirty(connection, company)


def _plain(connection: Connection, name: str, loaded: Mapping[str, Customer], touched: Sequence[Customer]) -> None:
    read = attribute_of(name).read
    values: dict[str, float] = {}
    gone: list[str] = []
    for customer in touched:
        before = loaded.get(customer.profile_id)
        was = read(before.facts, 0, {}) if before is not None and before.facts is not None else None
        value = read(customer.facts, 0, {}) if customer.facts is not None else None
        if value == was:
            continue
        if isinstance(value, int | float):
            values[customer.profile_id] = value
        else:
            gone.append(customer.profile_id)
    _put(connection, name, values)
    _take_away(connection, name, gone)


def gap_as_of(facts: Facts, day: int) -> float | None:
    """The median gap between the days on which a customer had bought by the end of a day (since 1970)."""
    return usual_gap([d for d, count in zip(facts.days, facts.counts, strict=True) if count > 0 and d <= day])[1]


def _put_gaps(connection: Connection, customers: Iterable[Customer], day: int) -> None:
    gaps = {c.profile_id: gap_as_of(c.facts, day) for c in customers if c.facts is not None}
    _put(connection, GAP, {name: gap for name, gap in gaps.items() if gap is not None})
    _take_away(connection, GAP, [name for name, gap in gaps.items() if gap is None])


def _put(connection: Connection, attribute: str, values: Mapping[str, float], *, add: bool = False) -> None:
    rows = [{"attribute": attribute, "profile_id": name, "value": number} for name, number in values.items()]
    put(connection, tables.rolling, rows, "add" if add else "replace")


def _take_away(connection: Connection, attribute: str, names: Sequence[str]) -> None:
    rolling = tables.rolling
    for these in among(connection, rolling.c.profile_id, names):
        connection.execute(delete(rolling).where((rolling.c.attribute == attribute) & these))


def roll(connection: Connection, attribute: str, day: int) -> None:
    """Go from the close of the day before to the close of `day`: touches the customers of one or two days."""
    held = window(attribute)
    if held is not None:
        for moving, sign in ((day, "+"), (day + 1 - held.length, "-")):
            connection.execute(
                text(
                    f"INSERT INTO rolling (attribute, profile_id, value) SELECT :attribute, profile_id, "
                    f"{sign}{held.column} FROM feature_day WHERE day = :day AND {held.column} <> 0 "
                    f"ON CONFLICT (attribute, profile_id) DO UPDATE SET value = rolling.value + excluded.value"
                ),
                {"attribute": attribute, "day": moving},
            )
    elif attribute == GAP:
        _measure_gaps(connection, day, "f.profile_id IN (SELECT profile_id FROM feature_day WHERE day = :day)")


def rebuild(connection: Connection, attribute: str, closed_day: int | None) -> None:
    """Measure an attribute of everybody anew: when a definition first needs it, or when the first day is closed."""
    held = window(attribute)
    connection.execute(delete(tables.rolling).where(tables.rolling.c.attribute == attribute))
    if held is None and attribute != GAP:
        _fill(connection, attribute)
    elif closed_day is None:
        return
    elif held is not None:
        _sum_up(connection, held, closed_day)
    else:
        _measure_gaps(connection, closed_day, "1 = 1")


def _sum_up(connection: Connection, held: Window, closed_day: int) -> None:
    buckets = tables.feature_day
    source_ = (
        select(bindparam("a", held.attribute), buckets.c.profile_id, func.sum(buckets.c[held.column]))
        .where(buckets.c.day.between(closed_day + 2 - held.length, closed_day))
        .group_by(buckets.c.profile_id)
    )
    connection.execute(insert(tables.rolling).from_select(["attribute", "profile_id", "value"], source_))


def _fill(connection: Connection, attribute: str) -> None:
    value = compile_attribute(attribute_of(attribute), connection.dialect.name)
    connection.execute(
        text(
            f"INSERT INTO rolling (attribute, profile_id, value) SELECT :attribute, f.profile_id, {value.sql} "
            f"FROM {source([value])} WHERE {value.sql} IS NOT NULL"
        ),
        {"attribute": attribute, **value.constants},
    )


def _measure_gaps(connection: Connection, day: int, whose: str) -> None:
    """The gaps of some customers as of a day: those that bought after it are looked at one by one."""
    later = "f.profile_id IN (SELECT profile_id FROM feature_day WHERE day > :day AND count <> 0)"
    connection.execute(
        text(
            f"INSERT INTO rolling (attribute, profile_id, value) SELECT :attribute, f.profile_id, f.gap_median "
            f"FROM features f WHERE f.gap_median IS NOT NULL AND {whose} "
            f"ON CONFLICT (attribute, profile_id) DO UPDATE SET value = excluded.value"
        ),
        {"attribute": GAP, "day": day},
    )
    names = connection.execute(
        text(f"SELECT f.profile_id FROM features f WHERE {whose} AND {later}"), {"day": day}
    ).scalars()
    _put_gaps(connection, load_customers(connection, list(names)).values(), day)


def values(connection: Connection, attribute: str, scale: int) -> list[float]:
    """What is measured of everybody, ascending, in the attribute's own unit (money in major units)."""
    divisor = scale if attribute.startswith("revenue_") else 1
    rows = connection.execute(
        select(tables.rolling.c.value).where(tables.rolling.c.attribute == attribute).order_by(tables.rolling.c.value)
    )
    return [value / divisor for (value,) in rows]


def value_of(attribute: str, customer: Customer, closed_day: int) -> float | None:
    """An attribute of one customer as of the close of a day, in its own unit; None when there is none."""
    if customer.facts is None:
        return None
    if attribute == GAP:
        return gap_as_of(customer.facts, closed_day)
    value = attribute_of(attribute).read(customer.facts, (closed_day + 1) * DAY_MS, {})
    return value if isinstance(value, int | float) else None
