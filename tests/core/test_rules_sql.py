"""L12: the rule language gives the same answer in Python for one customer and in SQL for all of them."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, text

from services.segment import tables
from services.segment.attributes import CATALOGUE, Facts, Type
from services.segment.attributes.facts import usual_gap
from services.segment.rules import (
    SqlRule,
    compile_attribute,
    compile_python,
    compile_sql,
    feature_row,
    parse,
    source,
)
from shared.database import put

AT = datetime(2026, 5, 25, 9, 15, 30, 250_000, tzinfo=UTC)
MS = 1_779_700_530_250
TODAY = MS // 86_400_000
POPULATION = {"mean:revenue_91d": 123.456789, "median:usual_gap_days_median": 9.5}


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as opened:
        tables.metadata.create_all(opened, tables=[tables.features, tables.feature_day])
        yield opened
    engine.dispose()


def fill(connection: Connection, customers: list[Facts]) -> None:
    connection.execute(text("DELETE FROM features"))
    connection.execute(text("DELETE FROM feature_day"))
    put(connection, tables.features, [feature_row(str(place), facts) for place, facts in enumerate(customers)])
    put(connection, tables.feature_day, [row for place, facts in enumerate(customers) for row in days(place, facts)])


def days(place: int, facts: Facts) -> Iterator[dict[str, object]]:
    bought = facts.buckets()
    interest = dict(zip(facts.interest_days, facts.interest_counts, strict=True))
    for day in sorted(bought.keys() | interest.keys()):
        count, revenue = bought.get(day, (0, 0))
        row = {"profile_id": str(place), "day": day, "count": count, "revenue": revenue}
        yield {**row, "interests": interest.get(day, 0)}


def ask(connection: Connection, rule: SqlRule, at: datetime, population: dict[str, float]) -> list[object]:
    query = f"SELECT {rule.sql} FROM {source([rule])} ORDER BY CAST(f.profile_id AS INTEGER)"
    return list(connection.execute(text(query), rule.bind(at, population)).scalars())


moments = st.one_of(
    st.none(),
    st.integers(MS - 500 * 86_400_000, MS),
    st.sampled_from([MS, MS - 1, MS - 180 * 86_400_000, MS - 8_640]),
)
counts = st.integers(0, 6)
values = st.one_of(
    st.sampled_from(["gold", "Gold", "a%b", "a_b", "[x]*?", "ñandú", ""]),
    st.integers(-3, 3),
    st.sampled_from([0.5, 2.5, -0.25]),
    st.booleans(),
)
consents = st.dictionaries(
    st.sampled_from(["email", "sms", "phone", "whatsapp"]),
    st.tuples(st.sampled_from(["granted", "denied"]), st.sampled_from([None, MS - 1, MS, MS + 1])),
)


@st.composite
def customers(draw: st.DrawFn) -> Facts:
    days = tuple(sorted(draw(st.sets(st.integers(TODAY - 400, TODAY), max_size=8))))
    bought = tuple(draw(st.integers(0, 3)) for _ in days)
    gaps, median, q90 = usual_gap([day for day, count in zip(days, bought, strict=True) if count])
    interest = tuple(sorted(draw(st.sets(st.integers(TODAY - 100, TODAY), max_size=4))))
    return Facts(
        scale=draw(st.sampled_from([1, 100, 1000])),
        purchases=draw(counts),
        refunds=draw(counts),
        revenue=draw(st.integers(-500, 50_000)),
        average=draw(st.none() | st.integers(0, 9_999)),
        first_purchase=draw(moments),
        last_purchase=draw(moments),
        days=days,
        counts=bought,
        revenues=tuple(draw(st.integers(-5_000, 50_000)) for _ in days),
        purchase_days=draw(counts),
        gaps=gaps,
        gap_median=median,
        gap_q90=q90,
        gap_log=None if median is None else math.log(median),
        calls=draw(counts),
        calls_missed=draw(counts),
        last_call=draw(moments),
        emails_sent=draw(counts),
        last_email=draw(moments),
        chats=draw(counts),
        last_chat=draw(moments),
        interests=draw(counts),
        last_interest=draw(moments),
        interest_days=interest,
        interest_counts=tuple(draw(st.integers(1, 3)) for _ in interest),
        first_seen=draw(moments),
        last_seen=draw(moments),
        reachable=draw(st.booleans()),
        contract_active=draw(st.booleans()),
        consents=draw(consents),
        nps=draw(st.none() | st.sampled_from([0.0, 9.0, 7.5])),
        points=draw(st.integers(-5, 5)),
        traits=draw(st.dictionaries(st.sampled_from(["tier", "rank", "a b"]), values)),
        scores=draw(st.dictionaries(st.sampled_from(["tier", "rank"]), values)),
    )


NUMBERS = [a.name for a in CATALOGUE.values() if a.type is Type.NUMBER and not a.time_varying]
MOVING = [a.name for a in CATALOGUE.values() if a.type is Type.NUMBER and a.time_varying]
FLAGS = [a.name for a in CATALOGUE.values() if a.type is Type.FLAG]
TEXTS = [a.name for a in CATALOGUE.values() if a.type is Type.TEXT]

literals = st.sampled_from(["0", "1", "2", "0.5", "180", "-3", "1e3", "49.90", "0.0001", "null"])
still = st.one_of(literals, st.sampled_from([*NUMBERS, "traits.rank", 'traits."a b"', "scores.rank"]))


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda part: f"-({part})"),
        st.tuples(inner, inner).map(lambda parts: f"coalesce({parts[0]}, {parts[1]}, 1)"),
    )


fixed = st.recursive(still, combined, max_leaves=4)
moving = st.sampled_from(MOVING).flatmap(
    lambda name: st.one_of(
        st.just(name),
        fixed.map(lambda part: f"({name} - {part})"),
        fixed.map(lambda part: f"{part} * {name}"),
        st.just(f"coalesce({name}, 7)"),
        fixed.map(lambda part: f"({name} / ({part}) + 1)"),
    )
)
anything = st.one_of(fixed, moving)
words = st.sampled_from(["'gold'", "'Gold'", "'granted'", "'denied'", "'a'", "''", "'ñandú'"])
patterns = st.sampled_from(["'g%'", "'G%'", "'%'", "'a_b'", "'%[x]%'", "'____'", "'gold'", "'%*?'", "''"])
texts = st.sampled_from([*TEXTS, "traits.tier", "scores.tier", "coalesce(traits.tier, 'none')"])
compare = st.sampled_from(["<", "<=", ">", ">=", "=", "<>"])
leaves = st.one_of(
    st.tuples(anything, compare, st.just("1 +"), fixed).map(" ".join),
    st.tuples(st.just("1 * "), fixed, compare, anything).map(" ".join),
    st.tuples(moving, st.sampled_from(["between 1 and 100", "not between -1 and 0", "in (0, 1, 2)"])).map(" ".join),
    st.tuples(anything, st.sampled_from(["is null", "is not null"])).map(" ".join),
    st.tuples(texts, compare, words).map(" ".join),
    st.tuples(texts, st.sampled_from(["like", "not like"]), patterns).map(" ".join),
    st.tuples(texts, st.sampled_from(["in ('gold', 'granted')", "not in ('gold', null)", "is null"])).map(" ".join),
    st.sampled_from([*FLAGS, "not traits.tier", "not not scores.rank", "true", "false", "null", "traits.rank is null"]),
)


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or", "=", "<>"]), inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
        inner.map(lambda part: f"not ({part})"),
        st.tuples(inner, st.sampled_from(["is true", "is not false", "is null"])).map(lambda p: f"({p[0]}) {p[1]}"),
        st.tuples(inner, inner).map(lambda p: f"coalesce({p[0]}, {p[1]})"),
    )


rules = st.recursive(leaves, joined, max_leaves=5)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(customers(), min_size=1, max_size=4), st.lists(rules, min_size=3, max_size=6), st.booleans())
def test_python_and_sql_agree(connection: Connection, everybody: list[Facts], written: list[str], known: bool) -> None:
    fill(connection, everybody)
    population = POPULATION if known else {}
    for rule in written:
        expression = parse(rule)
        python, sql = compile_python(expression), compile_sql(expression, "sqlite")
        found = [None if value is None else bool(value) for value in ask(connection, sql, AT, population)]
        assert found == [python.holds(facts, AT, population) for facts in everybody], rule


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(customers())
def test_every_attribute_has_the_same_value(connection: Connection, facts: Facts) -> None:
    fill(connection, [facts])
    for attribute in CATALOGUE.values():
        (found,) = ask(connection, compile_attribute(attribute, "sqlite"), AT, POPULATION)
        assert found == attribute.read(facts, MS, POPULATION), attribute.name


def test_the_moment_of_a_flip_is_the_same_in_sql(connection: Connection) -> None:
    fill(connection, [Facts(purchases=1, last_purchase=MS)])
    expression = parse("days_since_last_purchase < 0.0001")
    sql = compile_sql(expression, "sqlite")
    answers = [ask(connection, sql, AT + timedelta(milliseconds=ms), {}) for ms in (8_639, 8_640)]
    assert answers == [[1], [0]]


def test_two_rules_share_one_statement(connection: Connection) -> None:
    fill(connection, [Facts(purchases=2), Facts(days=(TODAY - 29,), counts=(1,), revenues=(5,))])
    first = compile_sql(parse("purchases_count >= 2"), "sqlite", "a")
    second = compile_sql(parse("purchases_count_30d = 1 and revenue_91d > 0"), "sqlite", "b")
    classes = f"CASE WHEN {first.sql} THEN 'x' WHEN {second.sql} THEN 'y' END"
    query = text(f"SELECT {classes} FROM {source([first, second])} ORDER BY f.profile_id")
    rows = connection.execute(query, {**first.bind(AT, {}), **second.bind(AT, {})}).scalars()
    assert list(rows) == ["x", "y"]


def test_postgresql_has_its_own_json_and_text_forms() -> None:
    sql = compile_sql(parse("traits.tier like 'G%' and traits.rank > 1 and traits.tier < 'h'"), "postgresql").sql
    assert "ESCAPE ''" in sql
    assert "jsonb_typeof(CAST(f.traits AS JSONB)" in sql
    assert 'COLLATE "C"' in sql
    assert "GLOB" not in sql
    assert "json_extract" not in sql


def test_another_database_is_refused() -> None:
    with pytest.raises(ValueError, match="mysql"):
        compile_sql(parse("reachable"), "mysql")
