"""Reproducible draws for what is generated: the same name gives the same sequence on every machine and every run."""

from collections.abc import Sequence
from itertools import accumulate
from math import exp, log
from random import Random
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")
_NORMAL = NormalDist()


class Draws:
    """One sequence of draws by name, made of `Random.random` only: the one sequence that Python promises to keep."""

    def __init__(self, name: str) -> None:
        self._random = Random(name)

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1, all equally likely."""
        return int(self._random.random() * limit)

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def happens(self, share: float) -> bool:
        """True in that share of the cases."""
        return self._random.random() < share

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[self.below(len(options))]

    def weighted(self, weights: Sequence[int]) -> int:
        """A position, as likely as its weight."""
        point = self.below(sum(weights))
        return next(position for position, bound in enumerate(accumulate(weights)) if point < bound)

    def log_normal(self, median: float, sigma: float) -> int:
        """A log-normal number, rounded, by inverse transform of a uniform one."""
        uniform = (self.below(1_000_000) + 0.5) / 1_000_000
        return round(exp(log(median) + sigma * _NORMAL.inv_cdf(uniform)))
