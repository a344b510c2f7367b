"""What the API asks the database."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, tuple_

from services.segment import tables
from services.segment.customers import load_customers
from services.segment.model import Customer
from shared.events.envelope import Event, decode
from shared.events.segments import SegmentChanged, decoder


def customer_of(connection: Connection, profile_id: str) -> Customer | None:
    """The state of one customer."""
    return load_customers(connection, [profile_id]).get(profile_id)


def counts(connection: Connection, segmentation: str) -> dict[str, int]:
    """Customers per class."""
    rows = connection.execute(
        select(tables.membership.c["class"], func.count())
        .where((tables.membership.c.segmentation == segmentation) & tables.membership.c["class"].is_not(None))
        .group_by(tables.membership.c["class"])
    )
    return {name: count for name, count in rows}


def members(
    connection: Connection, segmentation: str, class_: str, after: str | None, limit: int
) -> list[tuple[str, int]]:
    """Profile ids with `since` (ms) of one class, by profile id."""
    table = tables.membership
    query = select(table.c.profile_id, table.c.since).where(
        (table.c.segmentation == segmentation) & (table.c["class"] == class_)
    )
    if after is not None:
        query = query.where(table.c.profile_id > after)
    return [(row[0], row[1]) for row in connection.execute(query.order_by(table.c.profile_id).limit(limit))]


def shown(connection: Connection, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The identifiers by which other messages show these customers."""
    return {name: customer.shown for name, customer in load_customers(connection, names).items()}


def changes_after(connection: Connection, seq: int, limit: int) -> list[tuple[int, Event]]:
    """The company's class changes after a place in the feed, in the order in which they were made."""
    rows = connection.execute(
        select(tables.change.c.seq, tables.change.c.body)
        .where(tables.change.c.seq > seq)
        .order_by(tables.change.c.seq)
        .limit(limit)
    )
    return [(row[0], decode(row[1])) for row in rows]


def history(connection: Connection, profile_id: str, after: int, limit: int) -> list[tuple[int, Event]]:
    """One customer's class changes, oldest first."""
    table = tables.change
    rows = connection.execute(
        select(table.c.seq, table.c.body)
        .where((table.c.profile_id == profile_id) & (table.c.seq > after))
        .order_by(table.c.seq)
        .limit(limit)
    )
    return [(row[0], decode(row[1])) for row in rows]


class Turn(NamedTuple):
    """The change that put a customer where he was, and the next one of the same segmentation if there was one."""

    change: SegmentChanged
    later: SegmentChanged | None


def turns(connection: Connection, profile_id: str, at: datetime) -> list[tuple[str, Turn]]:
    """By segmentation, how a customer came to where he was at a past moment; those where he was nowhere are absent."""
    table = tables.change
    rows = connection.execute(select(table.c.body).where(table.c.profile_id == profile_id).order_by(table.c.seq))
    found: dict[str, Turn] = {}
    for (body,) in rows:
        change = decoder.decode(decode(body).data)
        known = found.get(change.segmentation)
        if change.occurred_at <= at:
            found[change.segmentation] = Turn(change, None)
        elif known is not None and known.later is None:
            found[change.segmentation] = Turn(known.change, change)
    return [(name, turn) for name, turn in sorted(found.items()) if turn.change.to is not None]


def came_from(connection: Connection, customer: Customer) -> dict[str, str | None]:
    """By segmentation, the class a customer was in before the one he is in."""
    table = tables.change
    newest = [(name, held.version) for name, held in customer.memberships.items()]
    rows = connection.execute(
        select(table.c.body).where(
            (table.c.profile_id == customer.profile_id) & tuple_(table.c.segmentation, table.c.version).in_(newest)
        )
    )
    changes = [decoder.decode(decode(body).data) for (body,) in rows]
    return {change.segmentation: change.from_ for change in changes}


def class_after(body: bytes) -> str | None:
    """The class that a stored change led to."""
    return decoder.decode(decode(body).data).to


def stale(connection: Connection, ruleset: int, parts: Collection[int], limit: int) -> list[str]:
    """Customers on these partitions who were last evaluated under older definitions."""
    table = tables.customer
    rows = connection.execute(
        select(table.c.profile_id)
        .where((table.c.ruleset < ruleset) & table.c.part.in_(parts))
        .order_by(table.c.ruleset)
        .limit(limit)
    )
    return [row[0] for row in rows]


def building(connection: Connection, ruleset: int) -> bool:
    """Whether customers are still to be looked at under the newest definitions."""
    table = tables.customer
    return connection.execute(select(table.c.part).where(table.c.ruleset < ruleset).limit(1)).first() is not None


def definitions(connection: Connection) -> list[dict[str, Any]]:
    """All definitions in force with version and the moment they were applied."""
    rows = connection.execute(
        select(tables.definition).where(tables.definition.c.dropped == 0).order_by(tables.definition.c.name)
    )
    return [
        {"name": row.name, "version": row.version, "applied_at": row.applied_at, "definition": json.loads(row.body)}
        for row in rows
    ]


__all__ = [
    "Turn",
    "building",
    "came_from",
    "changes_after",
    "class_after",
    "counts",
    "customer_of",
    "definitions",
    "history",
    "members",
    "shown",
    "stale",
    "turns",
]
