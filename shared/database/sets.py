"""Many rows at once: the one way to write them, and conditions on many keys."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Connection, Dialect, Table, any_, func, literal, select, tuple_
from sqlalchemy.types import ARRAY

Conflicting = Literal["replace", "ignore", "refuse", "add"]

MOST_VALUES = 500
"""Bind values a statement on SQLite."""


def put(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], conflict: Conflicting = "replace"
) -> None:
    """Write many rows in one statement; all rows have the same columns.

    A row whose primary key is there already replaces it, is left out (`ignore`), raises (`refuse`), or has its other
    columns added to those that are there (`add`; no two rows of one call may have the same key). Of rows with one key
    in the same call the last counts when replacing, the first when ignoring. The statement goes to the driver
    as text: for thousands of rows a batch, binding each value anew costs more than writing it. PostgreSQL gets the
    columns as arrays, in the order of their keys, so that two writers lock rows in one order and cannot wait for each
    other.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name != "postgresql":
        text = _insert(table, names, f"VALUES ({', '.join('?' * len(names))})", conflict)
        connection.exec_driver_sql(text, [tuple(row.values()) for row in rows])
        return
    values = _in_key_order(table, names, [tuple(row.values()) for row in rows], conflict)
    columns = tuple(list(column) for column in zip(*values, strict=True))
    connection.exec_driver_sql(_unnested(connection.dialect, table, names, conflict), columns)


def _in_key_order(
    table: Table, names: Sequence[str], rows: list[tuple[Any, ...]], conflict: Conflicting
) -> list[tuple[Any, ...]]:
    keys = [column.name for column in table.primary_key]
    if any(name not in names for name in keys):
        return rows
    places = [names.index(name) for name in keys]
    if conflict == "replace":
        rows = list({tuple(row[place] for place in places): row for row in rows}.values())
    return sorted(rows, key=lambda row: tuple(row[place] for place in places))


@cache
def _unnested(dialect: Dialect, table: Table, names: tuple[str, ...], conflict: Conflicting) -> str:
    arrays = ", ".join(f"%b::{table.c[name].type.compile(dialect)}[]" for name in names)
    return _insert(table, names, f"SELECT * FROM unnest({arrays})", conflict)


@cache
def _insert(table: Table, names: tuple[str, ...], source: str, conflict: Conflicting) -> str:
    keys = [column.name for column in table.primary_key]
    columns = ", ".join(f'"{name}"' for name in names)
    text = f'INSERT INTO "{table.name}" ({columns}) {source}'
    if conflict == "refuse":
        return text
    former = f'"{table.name}"."%s" + ' if conflict == "add" else ""
    changed = ", ".join(
        f'"{name}" = {former.replace("%s", name)}excluded."{name}"' for name in names if name not in keys
    )
    if conflict == "ignore" or not changed:
        return f"{text} ON CONFLICT DO NOTHING"
    return f"{text} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"


def among(
    connection: Connection, key: Column[Any] | Sequence[Column[Any]], values: Sequence[Any]
) -> Iterator[ColumnElement[bool]]:
    """Conditions that a key (one column, or several with tuples as values) is among many values.

    One after the other they cover all values: PostgreSQL takes them as one array, SQLite some hundreds a statement.
    """
    if not values:
        return
    columns = (key,) if isinstance(key, Column) else tuple(key)
    if connection.dialect.name == "postgresql":
        yield _in_array(columns, values)
        return
    size = MOST_VALUES // len(columns)
    for start in range(0, len(values), size):
        some = values[start : start + size]
        yield columns[0].in_(some) if len(columns) == 1 else tuple_(*columns).in_([tuple(value) for value in some])


def _in_array(columns: Sequence[Column[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    if len(columns) == 1:
        return columns[0] == any_(literal(list(values), ARRAY(columns[0].type)))
    arrays = zip(columns, zip(*values, strict=True), strict=True)
    wanted = select(*(func.unnest(literal(list(some), ARRAY(column.type))) for column, some in arrays))
    return tuple_(*columns).in_(wanted)
