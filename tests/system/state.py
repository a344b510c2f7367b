"""The whole end state of a stopped platform as plain text, without what may depend on order of arrival."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

EVENTS = "SELECT kind, value, type, count(*) FROM event GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"


MESSAGES = "SELECT message_id, campaign, step, occasion, channel, state, reason, planned_at FROM message ORDER BY 1"
DUE = "SELECT profile_id, due_at, held_by FROM due ORDER BY 1"
DAY_MS = 86_400_000


Place = Path | str
"""Where the databases are: a data folder, or the address of a PostgreSQL database."""


def rows(place: Place, service: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query on the database of one service."""
    if isinstance(place, str):
        with psycopg.connect(place, options=f"-c search_path={service}") as server:
            return server.execute(query.encode()).fetchall()
    with sqlite3.connect(f"file:{place / service}.db?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


def state_of(place: Place, until_ms: int, aside: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    """Customers, class histories, memberships, timers, population, messages: each a sorted list of lines.

    The clock goes on after the history: what it brought after `until_ms` is left out, and so are the timers and
    memberships of the customers `aside`, to whom it brought something.
    """
    return {
        "customers": sorted(_customers(place)),
        "events": [str(row) for row in rows(place, "profile", EVENTS)],
        "changes": sorted(_changes(place, until_ms)),
        "memberships": [
            str(r) for r in rows(place, "segment", "SELECT * FROM membership ORDER BY 1, 2") if r[1] not in aside
        ],
        "due": [
            str(r)
            for r in rows(place, "segment", "SELECT profile_id, due_at, held_by FROM due ORDER BY 1")
            if r[0] not in aside
        ],
        "population": [
            str(r)
            for r in rows(place, "segment", "SELECT * FROM snapshot ORDER BY 1, 2")
            if r[0] < until_ms // DAY_MS - 1
        ],
        "messages": [str(row) for row in rows(place, "campaign", MESSAGES) if row[-1] <= until_ms],
    }


def moved_after(place: Place, until_ms: int) -> frozenset[str]:
    """The customers of whom a class changed after a moment."""
    query = f"SELECT DISTINCT profile_id FROM change WHERE occurred_at > {until_ms}"
    return frozenset(profile_id for (profile_id,) in rows(place, "segment", query))


def compare(one: Place, other: Place, until_ms: int) -> list[str]:
    """What differs between two stopped platforms as of a moment at which both had applied everything."""
    aside = moved_after(one, until_ms) | moved_after(other, until_ms)
    return differences(state_of(one, until_ms, aside), state_of(other, until_ms, aside))


def _customers(place: Place) -> Iterator[str]:
    for (body,) in rows(place, "profile", "SELECT record FROM profile"):
        record = json.loads(body)
        del record["version"]
        yield json.dumps(record, sort_keys=True)


def _changes(place: Place, until_ms: int) -> Iterator[str]:
    for (body,) in rows(place, "segment", f"SELECT body FROM change WHERE occurred_at <= {until_ms}"):
        event = json.loads(body)
        del event["data"]["profile_version"]
        yield json.dumps(event, sort_keys=True)


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """The first lines that differ, with the part they are in; empty when both are equal to the byte."""
    found = []
    for part, lines in one.items():
        if lines == other[part]:
            continue
        left, right = set(lines), set(other[part])
        found += [f"{part} - {line[:400]}" for line in sorted(left - right)[:3]]
        found += [f"{part} + {line[:400]}" for line in sorted(right - left)[:3]]
        if left == right:
            found.append(f"{part}: same lines, other numbers of them")
    return found
