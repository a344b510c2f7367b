"""What is counted for one identifier."""

from collections.abc import Mapping

import msgspec

from shared.events.profiles import Day

Stamp = tuple[int, int]
"""When something was said (ms) and by which event (digest): a total order of statements, the same everywhere."""

PURCHASE_DAYS = 731
"""Days with purchases are kept up to this many days before the latest one."""

INTEREST_DAYS = 400
"""Days with interest are kept up to this many days before the latest one."""

SKETCH = 512
"""Distinct conversations are exact up to this many, then estimated (K minimum values, ±5 %)."""

SOFT_KEPT = 3
"""So many of the latest soft bounces are known one by one."""

DIGEST_RANGE = 1 << 63
"""Digests are evenly spread over 0 … this."""


class Ranking(msgspec.Struct, frozen=True, array_like=True):
    """How often each name occurred; `top` is the most frequent, ties go to the smaller name."""

    counts: Mapping[str, int] = {}
    top: str = ""


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A consent statement on one channel for one purpose: times in ms."""

    status: str
    at: int
    digest: int
    expires: int | None = None


class Trait(msgspec.Struct, frozen=True, array_like=True):
    """The last value of a trait; None is a trait taken away, and is remembered as such."""

    at: int
    digest: int
    value: object


class Bought(msgspec.Struct, frozen=True, array_like=True):
    """Purchases and refunds; money in minor units by currency, `orders` is the number of purchases by currency."""

    count: int = 0
    refunds: int = 0
    revenue: Mapping[str, int] = {}
    orders: Mapping[str, int] = {}
    first: int | None = None
    last: int | None = None
    days: tuple[Day, ...] = ()
    channels: Ranking = Ranking()
    categories: Ranking = Ranking()
    stores: Ranking = Ranking()


class Called(msgspec.Struct, frozen=True, array_like=True):
    """Phone calls; `duration` in whole seconds."""

    count: int = 0
    inbound: int = 0
    outbound: int = 0
    missed: int = 0
    duration: int = 0
    last: int | None = None


class Mailed(msgspec.Struct, frozen=True, array_like=True):
    """E-mails by action; hard bounces are counted as `hard_bounced` too, and `hard` is the last of them.

    `soft` are the SOFT_KEPT latest soft bounces; those after `good`, the last sign that mail arrives, are in a row.
    """

    counts: Mapping[str, int] = {}
    last: int | None = None
    hard: int | None = None
    soft: tuple[Stamp, ...] = ()
    good: int | None = None


class Chatted(msgspec.Struct, frozen=True, array_like=True):
    """Chats; conversations are sets of digests (the SKETCH smallest): one conversation is told by many events."""

    conversations: tuple[int, ...] = ()
    resolved: tuple[int, ...] = ()
    handed_over: tuple[int, ...] = ()
    messages: int = 0
    last: int | None = None


class Interested(msgspec.Struct, frozen=True, array_like=True):
    """Interest short of buying, by UTC date."""

    count: int = 0
    last: int | None = None
    days: Mapping[str, int] = {}


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """Answers to surveys; `latest` is the last score by survey."""

    count: int = 0
    latest: Mapping[str, tuple[int, int, float]] = {}
    last: int | None = None


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """All that was counted for one identifier: of the events whose strongest identifier it is. Times in ms."""

    first: int | None = None
    last: int | None = None
    bought: Bought = Bought()
    called: Called = Called()
    mailed: Mailed = Mailed()
    chatted: Chatted = Chatted()
    interested: Interested = Interested()
    answered: Answered = Answered()
    traits: Mapping[str, Trait] = {}
    points: int = 0


EMPTY = Tally()
