"""Rules as SQL text over the feature tables, for the whole population at once, on SQLite and PostgreSQL."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.segment.attributes import Attribute, Population, Type
from services.segment.attributes.facts import DAY_MS
from services.segment.rules.expression import (
    And,
    Arithmetic,
    Coalesce,
    Compare,
    Const,
    Expression,
    IsNull,
    Like,
    Node,
    Not,
    Or,
    Ref,
)
from shared.events.times import to_ms

DIALECTS = ("sqlite", "postgresql")
_CASTS = {Type.NUMBER: "DOUBLE PRECISION", Type.TEXT: "TEXT", Type.FLAG: "BOOLEAN"}
_NEED = re.compile(r"\{(ln )?([^}]+)\}")
_WINDOW = re.compile(r"\bw\.(revenue|count|interests)_(\d+)d\b")
_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


@dataclass(frozen=True, slots=True)
class SqlRule:
    """A condition over the tables of `source`, with named parameters such as `:now_ms`.

    `needs` names the population numbers behind parameters, with whether their logarithm is meant; `windows` the sums
    of day buckets that are read, as column and days.
    """

    sql: str
    constants: Mapping[str, float | str]
    needs: Mapping[str, tuple[str, bool]]
    windows: frozenset[tuple[str, int]] = frozenset()

    def bind(self, at: datetime, population: Population) -> dict[str, float | str | None]:
        """All parameters of the condition at a moment."""
        ms = to_ms(at)
        numbers = {name: _number(population.get(need), log) for name, (need, log) in self.needs.items()}
        return {"now_ms": ms, "today": ms // DAY_MS, **self.constants, **numbers}


def source(rules: Iterable[SqlRule]) -> str:
    """What stands behind FROM for these rules: features as `f`, and the sums they read, made in one pass, as `w`."""
    windows = sorted(frozenset[tuple[str, int]]().union(*(rule.windows for rule in rules)))
    if not windows:
        return "features f"
    today, longest = "CAST(:today AS BIGINT)", max(length for _, length in windows)
    sums = [f"SUM(CASE WHEN d.day > {today} - {n} THEN d.{column} END) AS {column}_{n}d" for column, n in windows]
    return (
        f"features f LEFT JOIN (SELECT d.profile_id, {', '.join(sums)} FROM feature_day d "
        f"WHERE d.day > {today} - {longest} GROUP BY d.profile_id) w ON w.profile_id = f.profile_id"
    )


def _number(value: float | None, log: bool) -> float | None:
    if value is None or not log:
        return value
    return math.log(value) if value > 0 else None


def compile_sql(expression: Expression, dialect: str, prefix: str = "p") -> SqlRule:
    """The condition for a database. Rules joined in one statement need prefixes of their own for their parameters."""
    writer = _Writer(dialect, prefix)
    return writer.finish(writer.write(expression.root))


def compile_attribute(attribute: Attribute, dialect: str, prefix: str = "p") -> SqlRule:
    """The value of one attribute for a database, to select or to aggregate over."""
    writer = _Writer(dialect, prefix)
    return writer.finish(writer.write(Ref(attribute, 1)))


class _Writer:
    """Writes one condition and gathers its parameters."""

    def __init__(self, dialect: str, prefix: str) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"no rules for {dialect}")
        self.sqlite = dialect == "sqlite"
        self.prefix = prefix
        self.constants: dict[str, float | str] = {}
        self.needs: dict[str, tuple[str, bool]] = {}

    def finish(self, sql: str) -> SqlRule:
        windows = frozenset((column, int(length)) for column, length in _WINDOW.findall(sql))
        return SqlRule(sql, self.constants, self.needs, windows)

    def write(self, node: Node) -> str:
        match node:
            case Const():
                return self.constant(node)
            case Ref():
                return self.reference(node.attribute)
            case Arithmetic():
                right = self.write(node.right)
                return f"({self.write(node.left)} {node.op} {f'NULLIF({right}, 0)' if node.op == '/' else right})"
            case Coalesce():
                return f"COALESCE({', '.join([*map(self.write, node.args), 'NULL'])})"
            case Compare() | IsNull() | Like():
                return self.comparison(node)
            case Not():
                return f"(NOT {self.write(node.arg)})"
            case And() | Or():
                word = " AND " if isinstance(node, And) else " OR "
                return f"({word.join(map(self.write, node.args))})"

    def comparison(self, node: Compare | IsNull | Like) -> str:
        match node:
            case Compare():
                # Texts are in the order of their code points on every database.
                order = ' COLLATE "C"' if node.type is Type.TEXT and not self.sqlite else ""
                return f"({self.write(node.left)}{order} {node.op} {self.write(node.right)})"
            case IsNull():
                return f"({self.write(node.arg)} IS NULL)"
            case Like():
                text = self.write(node.arg)
                if self.sqlite:  # LIKE ignores case there, GLOB does not.
                    return f"({text} GLOB {self.parameter(node.pattern.translate(_GLOB))})"
                return f"({text} LIKE {self.parameter(node.pattern)} ESCAPE '')"

    def parameter(self, value: float | str) -> str:
        name = f"{self.prefix}{len(self.constants) + len(self.needs)}"
        self.constants[name] = value
        return f"CAST(:{name} AS {'TEXT' if isinstance(value, str) else 'DOUBLE PRECISION'})"

    def constant(self, node: Const) -> str:
        if node.value is None:
            return f"CAST(NULL AS {_CASTS[node.type]})"
        if isinstance(node.value, bool):
            return "TRUE" if node.value else "FALSE"
        return self.parameter(node.value)

    def reference(self, attribute: Attribute) -> str:
        if attribute.path is not None:
            return self.member(attribute.type, *attribute.path)
        sql = _NEED.sub(lambda found: self.population(found[2], bool(found[1])), attribute.sql)
        return f"CAST(({sql}) AS DOUBLE PRECISION)" if attribute.type is Type.NUMBER else f"({sql})"

    def population(self, need: str, log: bool) -> str:
        name = f"{self.prefix}{len(self.constants) + len(self.needs)}"
        self.needs[name] = (need, log)
        return f"CAST(:{name} AS DOUBLE PRECISION)"

    def member(self, kind: Type, column: str, name: str) -> str:
        return self.sqlite_member(kind, column, name) if self.sqlite else self.postgresql_member(kind, column, name)

    def sqlite_member(self, kind: Type, column: str, name: str) -> str:
        path = self.parameter(f'$."{name}"')
        found, value = f"json_type(f.{column}, {path})", f"json_extract(f.{column}, {path})"
        match kind:
            case Type.NUMBER:
                return f"(CASE WHEN {found} IN ('integer', 'real') THEN CAST({value} AS DOUBLE PRECISION) END)"
            case Type.TEXT:
                return f"(CASE WHEN {found} = 'text' THEN {value} END)"
            case Type.FLAG:
                return f"(CASE {found} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END)"
            case Type.ANY:
                return value

    def postgresql_member(self, kind: Type, column: str, name: str) -> str:
        key = self.parameter(name)
        found = f"jsonb_typeof(CAST(f.{column} AS JSONB) -> {key})"
        value = f"(CAST(f.{column} AS JSONB) ->> {key})"
        match kind:
            case Type.NUMBER:
                return f"(CASE WHEN {found} = 'number' THEN CAST({value} AS DOUBLE PRECISION) END)"
            case Type.TEXT:
                return f"(CASE WHEN {found} = 'string' THEN {value} END)"
            case Type.FLAG:
                return f"(CASE WHEN {found} = 'boolean' THEN CAST({value} AS BOOLEAN) END)"
            case Type.ANY:
                return value
