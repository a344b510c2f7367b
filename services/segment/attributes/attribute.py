"""What an attribute is: a value of a customer at a moment, in Python and SQL, and the moments at which it changes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.segment.attributes.facts import DAY_MS, Facts

Value = float | str | bool | None
"""Null is None. Counts are integers, everything else that is a number is a double."""

Population = Mapping[str, float]
"""Numbers of the whole population by need, such as `mean:revenue_91d`; what is absent is not known yet."""

Read = Callable[[Facts, int, Population], Value]
Changes = Callable[[Facts, int, Population], Iterator[tuple[int, Value]]]


class Type(StrEnum):
    """The types of the rule language. ANY is only for a trait that is asked whether it is null."""

    NUMBER = "number"
    TEXT = "text"
    FLAG = "boolean"
    ANY = "any"


class Varies(StrEnum):
    """What makes a value change besides a new version of the population numbers."""

    EVENTS = "with events only"
    CLOCK = "continuously"
    STEPS = "at known moments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One entry of the catalogue. Moments are in milliseconds since 1970.

    `read` gives the value. A CLOCK attribute is the days since the moment that `since` gives; a STEPS attribute lists
    all its later changes, in order, by `changes`. `sql` is the same value over the table `f` of features and the sums
    `w` of day buckets (`w.revenue_91d`), with the parameter `:now_ms`, and population numbers as `{mean:revenue_91d}`
    (`{ln median:…}` its logarithm); for a trait or score `path` names the JSON column and the member instead.
    """

    name: str
    type: Type
    description: str
    read: Read = field(compare=False)
    sql: str = ""
    unit: str = ""
    varies: Varies = Varies.EVENTS
    since: Callable[[Facts], int | None] | None = field(default=None, compare=False)
    changes: Changes | None = field(default=None, compare=False)
    needs: tuple[str, ...] = ()
    path: tuple[str, str] | None = None

    @property
    def time_varying(self) -> bool:
        """Whether time alone changes the value."""
        return self.varies is not Varies.EVENTS


def reading(since: Callable[[Facts], int | None]) -> Read:
    """Days since a moment, exact to the millisecond; negative before it."""

    def read(facts: Facts, ms: int, population: Population) -> float | None:
        moment = since(facts)
        return None if moment is None else (ms - moment) / DAY_MS

    return read
