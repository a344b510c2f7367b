"""The company-wide state of the segment service: open imports, the last closed day, definitions, the population."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, update

from services.segment import tables
from services.segment.definition import Definition, needs, parse
from services.segment.model import Ruled, Ruleset
from shared.database import guard
from shared.events.times import from_ms
from shared.runtime.alignment import open_imports


@dataclass(slots=True, kw_only=True)
class Company:
    """The one row of company-wide state, and the open imports. Days are days since 1970 (UTC).

    `measured` are the attributes the population is measured by, `again_at` (ms) when it was measured last. `by_events`
    tells that time is that of the events: it may stand still.
    """

    ruleset: int
    closed_day: int | None
    dirty: bool
    imports: frozenset[str]
    measured: tuple[str, ...]
    currency: str
    again_at: int = 0
    by_events: bool = False
    former: Mapping[str, float] = field(default_factory=dict)


def load_company(connection: Connection) -> Company:
    """The company row; made by `start` when the service first runs."""
    row = connection.execute(select(tables.company)).one()
    more = json.loads(row.more)
    return Company(
        ruleset=row.ruleset,
        closed_day=row.closed_day,
        dirty=bool(row.dirty),
        imports=frozenset(open_imports(connection)),
        measured=tuple(more["measured"]),
        currency=more["currency"],
        again_at=more["again_at"],
        by_events=more.get("by_events", False),
    )


GUARD = "company"
"""Batches share it; whoever changes the company row asks for it alone, before reading the row."""


def load_company_alone(connection: Connection) -> Company:
    """The company row for one who changes it: no batch is under way until the transaction ends."""
    guard(connection, GUARD, alone=True)
    return load_company(connection)


def mark_dirty(connection: Connection, company: Company) -> None:
    """Something changed in days that are closed: their close is made anew when the stream is quiet."""
    if not company.dirty:
        company.dirty = True
        connection.execute(update(tables.company).values(dirty=1).where(tables.company.c.dirty == 0))


def save_company(connection: Connection, company: Company) -> None:
    """Write the company row back; only in a transaction that has it alone."""
    connection.execute(
        update(tables.company).values(
            ruleset=company.ruleset,
            closed_day=company.closed_day,
            dirty=int(company.dirty),
            more=json.dumps(
                {
                    "measured": list(company.measured),
                    "currency": company.currency,
                    "again_at": company.again_at,
                    "by_events": company.by_events,
                }
            ),
        )
    )


_rulesets: dict[tuple[str, int, int, str], Ruled] = {}


def load_ruleset(connection: Connection, company: Company) -> Ruleset:
    """All definitions in force, in the order of their names."""
    rows = connection.execute(select(tables.definition).order_by(tables.definition.c.name)).all()
    return Ruleset(
        version=company.ruleset,
        currency=company.currency,
        rules=tuple(_ruled(row) for row in rows if not row.dropped),
        dropped={row.name: from_ms(row.applied_at) for row in rows if row.dropped},
    )


def _ruled(row: Any) -> Ruled:
    # Compiling a definition is dear and its text never changes under one version: keep it.
    key = (row.name, row.version, row.applied_at, row.body)
    if key not in _rulesets:
        if len(_rulesets) > 1000:
            _rulesets.clear()
        definition = parse(json.loads(row.body))
        _rulesets[key] = Ruled(
            definition=definition,
            version=row.version,
            applied_at=from_ms(row.applied_at),
            needs=needs(definition),
        )
    return _rulesets[key]


def load_definition(connection: Connection, name: str, version: int) -> Definition | None:
    """A definition as it was in force under a version."""
    table = tables.past_definition
    body = connection.execute(
        select(table.c.body).where((table.c.name == name) & (table.c.version == version))
    ).scalar_one_or_none()
    return parse(json.loads(body)) if body else None


def load_population(connection: Connection) -> Mapping[str, float]:
    """The numbers of the newest close; empty before the first."""
    body = connection.execute(
        select(tables.snapshot.c.body).order_by(tables.snapshot.c.day.desc(), tables.snapshot.c.version.desc()).limit(1)
    ).scalar_one_or_none()
    numbers: dict[str, float] = json.loads(body) if body else {}
    return numbers


def load_former(connection: Connection) -> Mapping[str, float]:
    """The numbers of the close before the newest."""
    rows = connection.execute(
        select(tables.snapshot.c.body).order_by(tables.snapshot.c.day.desc(), tables.snapshot.c.version.desc()).limit(2)
    ).all()
    numbers: dict[str, float] = json.loads(rows[1][0]) if len(rows) > 1 else {}
    return numbers
