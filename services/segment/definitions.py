"""Definitions in the database: put in force and taken away."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any

import yaml
from sqlalchemy import Connection, Engine, func, insert, select, update

from services.segment import features, measured, queries, tables
from services.segment.closing import wanted
from services.segment.definition import Definition, DefinitionError, parse, population, to_dict
from services.segment.definition.population import measured as measured_of
from services.segment.population import (
    Company,
    load_company,
    load_company_alone,
    load_population,
    load_ruleset,
    save_company,
)
from shared.database import put as put_rows
from shared.database import transaction
from shared.events.money import exponent
from shared.events.times import to_ms

SHOWN_ONLY = ("name", "version", "applied_at", "state")


def start(connection: Connection, currency: str, now: datetime, *, by_events: bool = False) -> None:
    """Every start: whose time counts. The first: the company row and the shipped definitions."""
    if connection.execute(select(tables.company.c.id)).first() is not None:
        company = load_company(connection)
        if company.by_events != by_events:
            company.by_events = by_events
            save_company(connection, company)
        features.fill(connection)
        return
    more = json.dumps({"measured": [], "currency": currency, "again_at": 0, "by_events": by_events})
    connection.execute(insert(tables.company).values(id=1, ruleset=0, closed_day=None, dirty=0, more=more))
    for document in shipped():
        _put(connection, parse(document), now)


def shipped() -> list[dict[str, Any]]:
    """The definitions that are on from the start."""
    folder = resources.files("services.segment") / "shipped"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return [document for file in files for document in yaml.safe_load_all(file.read_text("utf-8")) if document]


def read(document: Mapping[str, Any], name: str | None = None) -> Definition:
    """The definition in a document as it comes over REST, without what GET adds. Raises DefinitionError."""
    body = {key: value for key, value in document.items() if key not in SHOWN_ONLY}
    if name is not None:
        body.setdefault("segmentation", name)
    return parse(body)


def put(engine: Engine, name: str, document: Mapping[str, Any], now: datetime) -> bool:
    """Put a definition in force for all events from now on; its back-fill follows. Whether the name is new."""
    definition = read(document, name)
    if definition.name != name:
        raise DefinitionError(f"is {definition.name}, but the address says {name}", "/segmentation")
    with transaction(engine) as connection:
        return _put(connection, definition, now)


def _put(connection: Connection, definition: Definition, now: datetime) -> bool:
    body = json.dumps(to_dict(definition))
    table = tables.definition
    row = connection.execute(select(table).where(table.c.name == definition.name)).one_or_none()
    if row is not None and row.body == body and not row.dropped:
        return False
    version = row.version + 1 if row is not None else 1
    kept = {"name": definition.name, "version": version, "applied_at": to_ms(now), "body": body}
    put_rows(connection, table, [{**kept, "dropped": 0}])
    put_rows(connection, tables.past_definition, [kept])
    _changed(connection)
    return row is None or bool(row.dropped)


def drop(engine: Engine, name: str, now: datetime) -> bool:
    """Take a definition away: its members leave their classes. False when there is none of that name."""
    with transaction(engine) as connection:
        result = connection.execute(
            update(tables.definition)
            .where((tables.definition.c.name == name) & (tables.definition.c.dropped == 0))
            .values(dropped=1, applied_at=to_ms(now))
        )
        if result.rowcount == 0:
            return False
        _changed(connection)
        return True


def _changed(connection: Connection) -> None:
    """Definitions changed: everybody is to be looked at again, and what they need must be measured."""
    company = load_company_alone(connection)
    company.ruleset += 1
    before = set(company.measured)
    company.measured = tuple(sorted(measured_of(wanted(load_ruleset(connection, company)))))
    scale = 10 ** exponent(company.currency)
    for attribute in sorted(set(company.measured) - before):
        measured.rebuild(connection, attribute, company.closed_day)
    if set(company.measured) - before and company.closed_day is not None:
        _measure_now(connection, company, scale)
    save_company(connection, company)


def _measure_now(connection: Connection, company: Company, scale: int) -> None:
    """New numbers are needed at once, as of the day that is closed already."""
    needed = wanted(load_ruleset(connection, company))
    values = {name: measured.values(connection, name, scale) for name in sorted(measured_of(needed))}
    numbers = {**population(values, needed), **{k: v for k, v in load_population(connection).items() if k in needed}}
    table = tables.snapshot
    version = connection.execute(select(func.max(table.c.version)).where(table.c.day == company.closed_day)).scalar()
    body = json.dumps(numbers, sort_keys=True)
    connection.execute(insert(table).values(day=company.closed_day, version=(version or 0) + 1, body=body))


def class_names(connection: Connection, name: str) -> Sequence[str] | None:
    """The classes of a definition in force, in its order; None when there is no such definition."""
    body = connection.execute(
        select(tables.definition.c.body).where((tables.definition.c.name == name) & (tables.definition.c.dropped == 0))
    ).scalar_one_or_none()
    return parse(json.loads(body)).classes if body else None


def building(connection: Connection) -> bool:
    """Whether customers are still to be looked at under the newest definitions."""
    return queries.building(connection, load_company(connection).ruleset)


def newest_change(engine: Engine) -> int:
    """The place of the newest change in the feed."""
    with engine.connect() as connection:
        return connection.execute(select(func.max(tables.change.c.seq))).scalar() or 0
