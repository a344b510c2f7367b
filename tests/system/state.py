"""The whole end state of a stopped platform as plain text, without what may depend on order of arrival."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EVENTS = "SELECT kind, value, type, count(*) FROM event GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"


def rows(folder: Path, service: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query on the database of one service."""
    with sqlite3.connect(f"file:{folder / service}.db?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


def state_of(folder: Path) -> dict[str, list[str]]:
    """Customers, class histories, memberships, timers, population, messages: each a sorted list of lines."""
    return {
        "customers": sorted(_customers(folder)),
        "events": [str(row) for row in rows(folder, "profile", EVENTS)],
        "changes": sorted(_changes(folder)),
        "memberships": [str(row) for row in rows(folder, "segment", "SELECT * FROM membership ORDER BY 1, 2")],
        "due": [str(row) for row in rows(folder, "segment", "SELECT * FROM due ORDER BY 1")],
        "population": [str(row) for row in rows(folder, "segment", "SELECT * FROM snapshot ORDER BY 1, 2")],
        "messages": [
            str(row)
            for row in rows(
                folder,
                "campaign",
                "SELECT message_id, campaign, step, occasion, channel, state, reason, planned_at FROM message "
                "ORDER BY 1",
            )
        ],
    }


def _customers(folder: Path) -> Iterator[str]:
    for (body,) in rows(folder, "profile", "SELECT record FROM profile"):
        record = json.loads(body)
        del record["version"]
        yield json.dumps(record, sort_keys=True)


def _changes(folder: Path) -> Iterator[str]:
    for (body,) in rows(folder, "segment", "SELECT body FROM change"):
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
