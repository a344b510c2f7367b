"""Moving between classes: hysteresis, dwell, shares of a total."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segment.ladder import NOWHERE, Borders, Ladder, Memory, next_turn, share_thresholds, step, widened

CLASSES = ("low", "average", "high", "very_high")
BORDERS = widened((0.5, 1.25, 2.5), 0.2)
FORTNIGHT = timedelta(days=14)
PATIENT = Ladder(CLASSES, 14 * 86_400_000)
QUICK = Ladder(CLASSES)
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("value", "class_"), [(0, "low"), (0.5, "average"), (1.24, "average"), (99, "very_high")])
def test_the_first_class_is_taken_at_once_by_the_plain_borders(value: float, class_: str) -> None:
    assert step(PATIENT, BORDERS, NOWHERE, value, START) == (Memory(class_), None)


@pytest.mark.parametrize(
    ("held", "value", "class_"),
    [
        ("average", 1.49, "average"),
        ("average", 1.5, "high"),
        ("average", 3.0, "very_high"),
        ("average", 0.4, "average"),
        ("average", 0.39, "low"),
        ("very_high", 2.0, "very_high"),
        ("very_high", 1.9, "high"),
        ("very_high", 0.0, "low"),
    ],
)
def test_without_dwell_only_the_hysteresis_holds(held: str, value: float, class_: str) -> None:
    assert step(QUICK, BORDERS, Memory(held), value, START)[0] == Memory(class_)


def test_a_move_waits_for_the_dwell_and_happens_at_its_end() -> None:
    memory, due = step(PATIENT, BORDERS, Memory("average"), 2.0, START)
    assert (memory.class_, memory.pending, due) == ("average", True, START + FORTNIGHT)
    again, still_due = step(PATIENT, BORDERS, memory, 1.6, START + timedelta(days=9))
    assert (again, still_due) == (memory, due)
    assert step(PATIENT, BORDERS, again, 1.6, START + FORTNIGHT - timedelta(milliseconds=1)) == (memory, due)
    assert step(PATIENT, BORDERS, again, 1.6, START + FORTNIGHT) == (Memory("high"), None)


def test_losing_the_wish_or_turning_it_starts_the_dwell_anew() -> None:
    up, _ = step(PATIENT, BORDERS, Memory("average"), 2.0, START)
    assert step(PATIENT, BORDERS, up, 1.3, START + timedelta(days=5)) == (Memory("average"), None)
    turned = START + timedelta(days=6)
    down, due = step(PATIENT, BORDERS, up, 0.1, turned)
    assert (down.direction, due) == (-1, turned + FORTNIGHT)


def test_the_move_goes_where_the_value_is_when_the_dwell_ends() -> None:
    up, _ = step(PATIENT, BORDERS, Memory("low"), 0.7, START)
    assert step(PATIENT, BORDERS, up, 9, START + FORTNIGHT)[0] == Memory("very_high")


def test_no_value_is_no_class_and_forgets() -> None:
    assert step(PATIENT, BORDERS, Memory("high", 1, 5), None, START) == (NOWHERE, None)
    assert step(PATIENT, BORDERS, Memory("of another definition"), 9, START)[0] == Memory("very_high")


def test_borders_below_zero_widen_outwards_too() -> None:
    assert widened((-10,), 0.2) == Borders((-10,), (-8,), (-12,))


def test_the_turn_of_a_wish_is_found_among_later_changes() -> None:
    changes = [(1, 1.4), (2, 0.45), (3, 0.39), (4, 0.1)]
    assert next_turn(PATIENT, BORDERS, Memory("average"), 1.4, changes) == 3
    assert next_turn(PATIENT, BORDERS, Memory("average", -1, 0), 0.1, changes) == 1
    assert next_turn(PATIENT, BORDERS, Memory("low"), 0.1, [(1, 0.0)]) is None


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10), st.sampled_from([0.1, 0.45, 0.9, 1.4, 1.6, 4.0])), min_size=1, max_size=12)
)
def test_looking_more_often_changes_nothing(path: list[tuple[int, float]]) -> None:
    def walk(extra: bool) -> list[tuple[datetime, str | None]]:
        memory, due, now, held = Memory("average"), None, START, 0.9
        moves: list[tuple[datetime, str | None]] = [(START, "average")]
        for days, value in [*path, (60, path[-1][1])]:
            after = now + timedelta(days=days)
            looks = {due} if due is not None and due <= after else set()
            if extra:
                looks |= {now + timedelta(days=day) for day in range(1, days)}
            for look in sorted(looks):
                memory, due = step(PATIENT, BORDERS, memory, held, look)
                moves.append((look, memory.class_))
            now, held = after, value
            memory, due = step(PATIENT, BORDERS, memory, value, now)
            moves.append((now, memory.class_))
        return [move for place, move in enumerate(moves) if place == 0 or move[1] != moves[place - 1][1]]

    assert walk(extra=False) == walk(extra=True)


CUTS = (Fraction(80, 100), Fraction(95, 100))


@pytest.mark.parametrize(
    ("values", "thresholds"),
    [
        ([80, 15, 5], (80, 15)),
        ([79, 16, 5], (16, 16)),
        ([50, 30, 30, 10], (30, 10)),
        ([10.1, 10.1, 10.1], (10.1, 10.1)),
        ([7], (7, 7)),
        ([5, 0, -3], (5, 5)),
        ([0, -1], (None, None)),
        ([], (None, None)),
    ],
)
def test_thresholds_of_shares(values: list[float], thresholds: tuple[float | None, ...]) -> None:
    assert share_thresholds(values, CUTS) == thresholds


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 10_000).map(lambda minor: minor / 100), min_size=1, max_size=40))
def test_a_share_is_the_smallest_set_that_reaches_it(values: list[float]) -> None:
    falling = sorted(values, reverse=True)
    (threshold,) = share_thresholds(falling, CUTS[:1])
    minor = [round(value * 100) for value in falling]
    assert threshold is not None
    above = sum(amount for amount, value in zip(minor, falling, strict=True) if value > threshold)
    inside = sum(amount for amount, value in zip(minor, falling, strict=True) if value >= threshold)
    assert above * 100 < 80 * sum(minor) <= inside * 100
