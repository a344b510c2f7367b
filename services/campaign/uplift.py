"""How much more those who were written to did than those who were held out, with an interval."""

import math
from typing import NamedTuple

Z = 1.959963984540054
"""The 0.975 quantile of the normal distribution: intervals of 95 %."""


class Group(NamedTuple):
    """How many cases there are, and how many of them reached the goal."""

    cases: int
    converted: int

    @property
    def rate(self) -> float:
        """The share that reached the goal; of a group without cases it is not asked."""
        return self.converted / self.cases


class Uplift(NamedTuple):
    """The difference of two rates, and the interval that holds the true one in 95 of 100 campaigns."""

    difference: float
    low: float
    high: float


def wilson(group: Group) -> tuple[float, float]:
    """The score interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    n, p, square = group.cases, group.rate, Z * Z
    middle = p + square / (2 * n)
    spread = Z * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
    return max(0.0, (middle - spread) / (1 + square / n)), min(1.0, (middle + spread) / (1 + square / n))


def uplift(treated: Group, held_out: Group) -> Uplift | None:
    """Treated less held out, by method 10 of R. G. Newcombe, Statistics in Medicine 17, 1998; None without both.

    It is made of two score intervals, so it stays within -1 and 1 and is right for small groups and rare goals too.
    """
    if not treated.cases or not held_out.cases:
        return None
    difference = treated.rate - held_out.rate
    (low_t, high_t), (low_h, high_h) = wilson(treated), wilson(held_out)
    below = math.hypot(treated.rate - low_t, high_h - held_out.rate)
    above = math.hypot(high_t - treated.rate, held_out.rate - low_h)
    return Uplift(difference, difference - below, difference + above)
