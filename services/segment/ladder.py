"""Moving between ordered classes by a value: hysteresis at the borders, dwell before a move. Pure.

A customer goes up only when his value reaches a border widened by the hysteresis, down only when it falls below the
border narrowed by it, and only after the wish to move in that direction has lasted for the dwell. The first class is
taken at once, by the plain borders.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import accumulate

import msgspec

from shared.events.times import from_ms, to_ms


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a ladder remembers: the class, and since when (in ms since 1970) a move up (1) or down (-1) is wished."""

    class_: str | None = None
    direction: int = 0
    since: int | None = None

    @property
    def pending(self) -> bool:
        """Whether a move waits out its dwell."""
        return self.direction != 0


NOWHERE = Memory()


@dataclass(frozen=True, slots=True)
class Borders:
    """The borders between classes from the lowest up: as they stand, to move up over, and to move down below."""

    plain: tuple[float, ...]
    up: tuple[float, ...]
    down: tuple[float, ...]

    def first(self, value: float) -> int:
        """The place by the plain borders."""
        return bisect_right(self.plain, value)

    def target(self, place: int, value: float) -> int:
        """Where a value wishes to be from a place, as far as the hysteresis lets it."""
        higher = place
        while higher < len(self.up) and value >= self.up[higher]:
            higher += 1
        if higher > place:
            return higher
        lower = place
        while lower > 0 and value < self.down[lower - 1]:
            lower -= 1
        return lower


@dataclass(frozen=True, slots=True)
class Ladder:
    """Classes from the lowest up and the time a wish must last, in milliseconds. Borders may move from day to day."""

    classes: tuple[str, ...]
    dwell: int = 0


def widened(steps: Sequence[float], hysteresis: float) -> Borders:
    """Fixed borders with a hysteresis as a share of each border: 0.2 is a fifth up and a fifth down."""
    return Borders(
        tuple(steps),
        tuple(step + abs(step) * hysteresis for step in steps),
        tuple(step - abs(step) * hysteresis for step in steps),
    )


def step(
    ladder: Ladder, borders: Borders, memory: Memory, value: float | None, at: datetime
) -> tuple[Memory, datetime | None]:
    """The memory after looking at a value, and when the dwell of a wished move ends if the value stays."""
    after, due = advance(ladder, borders, memory, value, to_ms(at))
    return after, None if due is None else from_ms(due)


def advance(
    ladder: Ladder, borders: Borders, memory: Memory, value: float | None, ms: int
) -> tuple[Memory, int | None]:
    """The same as `step` in milliseconds."""
    if value is None:
        return NOWHERE, None
    if memory.class_ not in ladder.classes:
        return Memory(ladder.classes[borders.first(value)]), None
    place = ladder.classes.index(memory.class_)
    target = borders.target(place, value)
    if target == place:
        return (memory if not memory.pending else Memory(memory.class_)), None
    direction = 1 if target > place else -1
    lasting = memory.direction == direction
    since = memory.since if lasting and memory.since is not None else ms
    due = since + ladder.dwell
    if ms >= due:
        return Memory(ladder.classes[target]), None
    return (memory if lasting else Memory(memory.class_, direction, since)), due


def next_turn(
    ladder: Ladder, borders: Borders, memory: Memory, value: float, changes: Iterable[tuple[int, float]]
) -> int | None:
    """The first of later changes of a value that turns the wish to move; from `memory` as it is after the value."""
    if memory.class_ is None:
        return None
    place = ladder.classes.index(memory.class_)
    wish = _direction(borders, place, value)
    for moment, later in changes:
        if _direction(borders, place, later) != wish:
            return moment
    return None


def edges(ladder: Ladder, borders: Borders, memory: Memory) -> tuple[float, ...]:
    """The two values at which the wish to move turns."""
    if memory.class_ is None:
        return ()
    place = ladder.classes.index(memory.class_)
    return (*borders.down[max(place - 1, 0) : place], *borders.up[place : place + 1])


def _direction(borders: Borders, place: int, value: float) -> int:
    if place < len(borders.up) and value >= borders.up[place]:
        return 1
    return -1 if place > 0 and value < borders.down[place - 1] else 0


SCALE = 1_000_000
"""Shares are cut from whole millionths: exact sums, whatever the order of the customers."""


def millionths(value: float) -> int:
    """A value in whole millionths, exact for money in any currency."""
    return round(value * SCALE)


def share_thresholds(values: Sequence[float], cuts: Iterable[Fraction]) -> tuple[float | None, ...]:
    """For each cut, the least value in the smallest set that reaches this share of the sum, highest values first.

    `values` descend. Values of zero and less count for nothing. None without any value above zero. Who equals the
    threshold is in: equal values, equal class.
    """
    positive = [value for value in values if value > 0]
    if not positive:
        return tuple(None for _ in cuts)
    sums = list(accumulate(map(millionths, positive)))
    return tuple(_reached(positive, sums, cut) for cut in cuts)


def _reached(positive: Sequence[float], sums: Sequence[int], cut: Fraction) -> float:
    goal = min(cut, Fraction(1)) * sums[-1]
    return positive[min(_first(sums, lambda total: total >= goal), len(positive) - 1)]


def _first(sums: Sequence[int], enough: Callable[[int], bool]) -> int:
    low, high = 0, len(sums)
    while low < high:
        middle = (low + high) // 2
        if enough(sums[middle]):
            high = middle
        else:
            low = middle + 1
    return low
