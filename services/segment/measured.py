"""What is measured of every customer for the population, kept in `rolling` as of the last closed day."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text

from services.segment import tables
from services.segment.attributes import CATALOGUE, Varies
from services.segment.model import Customer
from services.segment.population import Company, mark_dirty
from shared.database import among, put


class Moved(NamedTuple):
    """A day bucket of a customer that changed: by how many purchases and minor units."""

    profile_id: str
    day: int
    purchases: int
    revenue: int


class Window(NamedTuple):
    """A measured attribute that is a sum over the last `length` days of the buckets' `column`."""

    attribute: str
    column: str
    length: int


def window(attribute: str) -> Window | None:
    """The window an attribute sums over: `revenue_91d` is 91 days of revenue; None for any other attribute."""
    for column, stem in (("revenue", "revenue_"), ("count", "purchases_count_")):
        length = attribute.removeprefix(stem).removesuffix("d")
        if attribute.startswith(stem) and length.isdigit():
            return Window(attribute, column, int(length))
    return None


def follow(
    connection: Connection,
    company: Company,
    loaded: Mapping[str, Customer],
    touched: Sequence[Customer],
    moved: Sequence[Moved],
) -> None:
    """Keep what is measured in step with a batch: plain attributes at once, windows for days closed already."""
    for attribute in company.measured:
        held = window(attribute)
        if held is not None:
            _late(connection, company, held, moved)
        else:
            _plain(connection, attribute, loaded, touched)


def _plain(connection: Connection, attribute: str, loaded: Mapping[str, Customer], touched: Sequence[Customer]) -> None:
    read = CATALOGUE[attribute].read
    rows: list[dict[str, object]] = []
    gone: list[tuple[str, str]] = []
    for customer in touched:
        before = loaded.get(customer.profile_id)
        was = read(before.facts, 0, {}) if before is not None and before.facts is not None else None
        value = read(customer.facts, 0, {}) if customer.facts is not None else None
        if value == was:
            continue
        if value is None:
            gone.append((attribute, customer.profile_id))
        else:
            rows.append({"attribute": attribute, "profile_id": customer.profile_id, "value": value})
    put(connection, tables.rolling, rows)
    for these in among(connection, (tables.rolling.c.attribute, tables.rolling.c.profile_id), gone):
        connection.execute(delete(tables.rolling).where(these))


def _late(connection: Connection, company: Company, held: Window, moved: Sequence[Moved]) -> None:
    closed = company.closed_day
    if closed is None:
        return
    sums: dict[str, int] = {}
    for move in moved:
        if closed + 2 - held.length <= move.day <= closed:
            sums[move.profile_id] = sums.get(move.profile_id, 0) + (
                move.revenue if held.column == "revenue" else move.purchases
            )
    rows: list[dict[str, object]] = [
        {"attribute": held.attribute, "profile_id": name, "value": value} for name, value in sums.items() if value
    ]
    if rows:
        put(connection, tables.rolling, rows, "add")
        mark_dirty(connection, company)


def roll(connection: Connection, attribute: str, day: int) -> None:
    """Move a window from the close of the day before to the close of `day`: touches the customers of two days."""
    held = window(attribute)
    if held is None:
        return
    moves = ((day, "+"), (day + 1 - held.length, "-"))
    for moving, sign in moves:
        connection.execute(
            text(
                f"INSERT INTO rolling (attribute, profile_id, value) "
                f"SELECT :attribute, profile_id, {sign}{held.column} FROM feature_day WHERE day = :day "
                f"ON CONFLICT (attribute, profile_id) DO UPDATE SET value = rolling.value + excluded.value"
            ),
            {"attribute": attribute, "day": moving},
        )


def rebuild(connection: Connection, attribute: str, closed_day: int | None) -> None:
    """Measure a window anew from all day buckets: once, when a definition first needs it."""
    held = window(attribute)
    connection.execute(delete(tables.rolling).where(tables.rolling.c.attribute == bindparam("a")), {"a": attribute})
    if held is None or closed_day is None:
        return
    buckets = tables.feature_day
    total = func.sum(buckets.c[held.column])
    source = (
        select(bindparam("a", attribute), buckets.c.profile_id, total)
        .where(buckets.c.day.between(closed_day + 2 - held.length, closed_day))
        .group_by(buckets.c.profile_id)
    )
    connection.execute(insert(tables.rolling).from_select(["attribute", "profile_id", "value"], source))


def values(connection: Connection, attribute: str, scale: int) -> list[float]:
    """What is measured of everybody, ascending, in the attribute's own unit (money in major units)."""
    divisor = scale if attribute.startswith("revenue_") else 1
    rows = connection.execute(
        select(tables.rolling.c.value).where(tables.rolling.c.attribute == attribute).order_by(tables.rolling.c.value)
    )
    return [value / divisor for (value,) in rows]


def is_plain(attribute: str) -> bool:
    """Whether an attribute changes with events only, so that it can be measured without a window."""
    found = CATALOGUE.get(attribute)
    return found is not None and found.varies is Varies.EVENTS and not found.needs


def fill(connection: Connection, attribute: str, customers: Iterable[Customer]) -> None:
    """Measure a plain attribute of everybody: once, when a definition first needs it."""
    read = CATALOGUE[attribute].read
    rows: list[dict[str, object]] = []
    for customer in customers:
        value = read(customer.facts, 0, {}) if customer.facts is not None else None
        if value is not None:
            rows.append({"attribute": attribute, "profile_id": customer.profile_id, "value": value})
    for start in range(0, len(rows), 5000):
        put(connection, tables.rolling, rows[start : start + 5000])


def value_of(attribute: str, customer: Customer, at_ms: int) -> float | None:
    """An attribute of one customer as of a moment, in its own unit; None when there is none."""
    if customer.facts is None:
        return None
    value = CATALOGUE[attribute].read(customer.facts, at_ms, {})
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
