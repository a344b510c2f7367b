"""Numbers, dates and durations as they stand in files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.importing.moments import DAY_FIRST, MONTH_FIRST, Calendar, day_order, moment
from services.importing.numbers import COMMA, POINT, currency_in, decimal_mark, may_be_read, number, seconds


@pytest.mark.parametrize(
    ("text", "mark", "read"),
    [
        ("49.90", None, "49.90"),
        ("49,90", COMMA, "49.90"),
        ("1.250,00", COMMA, "1250.00"),
        ("1.250", COMMA, "1250"),
        ("1,250.00", POINT, "1250.00"),
        ("1,250", POINT, "1250"),
        ("1 250,5", COMMA, "1250.5"),
        ("1'250.50", POINT, "1250.50"),
        ("1\u202f250,50 €", COMMA, "1250.50"),
        ("€ 12,50", COMMA, "12.50"),
        ("$1,200.00", POINT, "1200.00"),
        ("12.50 EUR", None, "12.50"),
        ("-3,00", COMMA, "-3.00"),
        ("3,00-", COMMA, "-3.00"),
        ("(3.00)", POINT, "-3.00"),
        ("1,250", None, "1,250"),
        ("12,50", POINT, "12,50"),
        ("1.25.0", COMMA, "1.25.0"),
        ("forty", POINT, "forty"),
        ("12 or 13", POINT, "12 or 13"),
        ("", POINT, ""),
    ],
)
def test_a_number(text: str, mark: str | None, read: str) -> None:
    assert number(text, mark) == read


@given(st.integers(-(10**12), 10**12), st.integers(0, 99))
def test_every_way_of_writing_an_amount_gives_the_same(whole: int, cents: int) -> None:
    plain = f"{whole}.{cents:02d}"
    grouped = f"{whole:,}.{cents:02d}"
    assert number(grouped, POINT) == plain
    assert number(grouped.translate(str.maketrans(",.", ".,")), COMMA) == plain


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (["1", "12,5"], COMMA),
        (["1.250", "3.250,00"], COMMA),
        (["1.250.000"], COMMA),
        (["1,250", "12.50"], POINT),
        (["1", "2"], None),
        (["1,250"], None),
        (["1,5", "1.5"], None),
        ([None, 3, "4,99 €"], COMMA),
    ],
)
def test_the_decimal_mark_is_what_the_values_show(values: list[object], mark: str | None) -> None:
    assert decimal_mark(values) == mark


def test_a_dollar_is_the_companys_dollar_or_unreadable() -> None:
    assert currency_in("$12", "CAD") == "CAD"
    assert currency_in("$12", "EUR") is None
    assert not may_be_read("$12", "EUR")
    assert may_be_read("$12", "USD")
    assert currency_in("12 £", "EUR") == "GBP"


@pytest.mark.parametrize(("text", "read"), [("205", "205"), ("3:25", "205"), ("1:03:25", "3805"), ("0:00.5", "0.5")])
def test_a_duration(text: str, read: str) -> None:
    assert seconds(text, POINT) == read


MADRID = Calendar("Europe/Madrid", DAY_FIRST)


@pytest.mark.parametrize(
    ("text", "calendar", "read"),
    [
        ("2026-03-02T10:15:00Z", Calendar(), "2026-03-02T10:15:00Z"),
        ("2026-03-02T10:15:00+01:00", Calendar(), "2026-03-02T09:15:00Z"),
        ("2026-03-02 10:15", Calendar(), "2026-03-02T10:15:00Z"),
        ("2026-03-02 10:15:30.1234567", Calendar(), "2026-03-02T10:15:30.123Z"),
        ("2026-03-02", MADRID, "2026-03-01T23:00:00Z"),
        ("2026-07-02 10:00", MADRID, "2026-07-02T08:00:00Z"),
        ("02/03/2026 10:15", MADRID, "2026-03-02T09:15:00Z"),
        ("02/03/2026", Calendar("UTC", MONTH_FIRST), "2026-02-03T00:00:00Z"),
        ("2.3.2026", Calendar(), "2026-03-02T00:00:00Z"),
        ("2026/03/02 3:05 PM", Calendar(), "2026-03-02T15:05:00Z"),
        ("03/02/2026 12:05 a.m.", Calendar("UTC", MONTH_FIRST), "2026-03-02T00:05:00Z"),
        ("20260302", Calendar(), "2026-03-02T00:00:00Z"),
        ("20260302101530", Calendar(), "2026-03-02T10:15:30Z"),
        (1772446500, Calendar(), "2026-03-02T10:15:00Z"),
        ("1772446500000", Calendar(), "2026-03-02T10:15:00Z"),
        ("2 Mar 26", Calendar("UTC", None, "%d %b %y"), "2026-03-02T00:00:00Z"),
        ("02/03/2026", Calendar(), "02/03/2026"),
        ("31.02.2026", Calendar(), "31.02.2026"),
        ("yesterday", Calendar(), "yesterday"),
        (7, Calendar(), 7),
    ],
)
def test_a_moment(text: object, calendar: Calendar, read: object) -> None:
    assert moment(text, calendar) == read


@pytest.mark.parametrize(
    ("values", "order"),
    [
        (["03/04/2026", "13/04/2026"], DAY_FIRST),
        (["03/04/2026", "04/13/2026"], MONTH_FIRST),
        (["03/04/2026"], None),
        (["13/04/2026", "04/13/2026"], None),
        (["1.4.2026"], DAY_FIRST),
        ([None, "2026-01-01"], None),
    ],
)
def test_the_order_of_day_and_month_is_what_the_values_show(values: list[object], order: str | None) -> None:
    assert day_order(values) == order
