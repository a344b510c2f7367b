"""The facts of a customer: the little of a record that rules need, as plain numbers, computed once per version."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from itertools import pairwise
from operator import gt
from typing import Any

import msgspec

from shared.events.money import exponent, to_minor
from shared.events.profiles import Consent, Profile, Purchases
from shared.events.times import to_ms

DAY_MS = 86_400_000
GAPS = 16
"""How many of the latest gaps between purchase days make the usual gap: habits change, so older ones do not count."""

CONSENT_CHANNELS = ("email", "sms", "phone", "whatsapp")
_REACHABLE = frozenset({"email", "phone", "chat_handle"})
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_YES = frozenset({"true", "yes", "1"})

Plain = str | int | float | bool


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """One customer in numbers: moments in milliseconds since 1970, days since 1970 (UTC), money in minor units.

    `days`, `counts` and `revenues` run in parallel, oldest first, as do `interest_days` and `interest_counts`.
    `scale` is the number of minor units in a major one. Fields are stored by position: new ones go to the end.
    """

    scale: int = 100
    purchases: int = 0
    refunds: int = 0
    revenue: int = 0
    average: int | None = None
    first_purchase: int | None = None
    last_purchase: int | None = None
    days: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    revenues: tuple[int, ...] = ()
    purchase_days: int = 0
    gaps: int = 0
    gap_median: float | None = None
    gap_q90: float | None = None
    gap_log: float | None = None
    calls: int = 0
    calls_missed: int = 0
    last_call: int | None = None
    emails_sent: int = 0
    emails_opened: int = 0
    emails_clicked: int = 0
    emails_replied: int = 0
    last_email: int | None = None
    chats: int = 0
    last_chat: int | None = None
    interests: int = 0
    last_interest: int | None = None
    interest_days: tuple[int, ...] = ()
    interest_counts: tuple[int, ...] = ()
    first_seen: int | None = None
    last_seen: int | None = None
    reachable: bool = False
    contract_active: bool = False
    churned_for_price: bool = False
    consents: dict[str, tuple[str, int | None]] = {}
    nps: float | None = None
    csat: float | None = None
    points: int = 0
    traits: dict[str, Plain] = {}
    scores: dict[str, Plain] = {}

    def buckets(self) -> dict[int, tuple[int, int]]:
        """Purchases and net revenue in minor units by day, oldest first."""
        return dict(zip(self.days, zip(self.counts, self.revenues, strict=True), strict=True))


def facts_of(profile: Profile, currency: str) -> Facts:
    """The facts of a record; money counts in `currency` (the company's), amounts in others are left out."""
    interest = sorted((day_number(text), count) for text, count in profile.interest.days.items())
    calls, emails, chats, last = profile.calls, profile.emails, profile.chats, profile.satisfaction.last
    return Facts(
        **_bought(profile.purchases, currency),
        calls=calls.count,
        calls_missed=calls.missed,
        last_call=_ms(calls.last_at),
        emails_sent=emails.sent,
        emails_opened=emails.opened,
        emails_clicked=emails.clicked,
        emails_replied=emails.replied,
        last_email=_ms(emails.last_at),
        chats=chats.conversations,
        last_chat=_ms(chats.last_at),
        interests=profile.interest.count,
        last_interest=_ms(profile.interest.last_at),
        interest_days=tuple(day for day, _ in interest),
        interest_counts=tuple(count for _, count in interest),
        first_seen=to_ms(profile.first_seen_at),
        last_seen=to_ms(profile.last_seen_at),
        reachable=any(known.kind in _REACHABLE for known in profile.identifiers),
        contract_active=_yes(profile.traits.get("contract_active")),
        churned_for_price=_yes(profile.traits.get("churned_for_price")),
        consents=_consents(profile.consents),
        nps=last.get("nps"),
        csat=last.get("csat"),
        points=profile.loyalty.points,
        traits=_plain(profile.traits),
        scores=_plain(profile.scores),
    )


def _bought(bought: Purchases, currency: str) -> dict[str, Any]:
    """The facts that purchases give, by field."""
    days, counts, revenues = _buckets(bought, currency)
    gaps, median, q90 = usual_gap([day for day, count in zip(days, counts, strict=True) if count > 0])
    average = bought.average_order_value.get(currency)
    return {
        "scale": 10 ** exponent(currency),
        "purchases": bought.count,
        "refunds": bought.refunds,
        "revenue": to_minor(bought.revenue.get(currency, "0"), currency),
        "average": None if average is None else to_minor(average, currency),
        "first_purchase": _ms(bought.first_at),
        "last_purchase": _ms(bought.last_at),
        "days": days,
        "counts": counts,
        "revenues": revenues,
        "purchase_days": sum(count > 0 for count in counts),
        "gaps": gaps,
        "gap_median": median,
        "gap_q90": q90,
        "gap_log": None if median is None else math.log(median),
    }


def usual_gap(days: Sequence[int]) -> tuple[int, float | None, float | None]:
    """Number, median and 0.9 quantile (linear interpolation) of the latest gaps between ascending day numbers."""
    recent = days[-GAPS - 1 :]
    gaps = sorted(later - earlier for earlier, later in pairwise(recent))
    if not gaps:
        return 0, None, None
    return len(gaps), quantile(gaps, 0.5), quantile(gaps, 0.9)


def quantile(ascending: Sequence[float], share: float) -> float:
    """The quantile of ascending values with linear interpolation (type 7 of Hyndman and Fan)."""
    place = share * (len(ascending) - 1)
    low = int(place)
    if low + 1 == len(ascending):
        return float(ascending[low])
    return float(ascending[low] + (ascending[low + 1] - ascending[low]) * (place - low))


@lru_cache(maxsize=8192)
def day_number(text: str) -> int:
    """Days since 1970 of an ISO date: the same few thousand dates come again and again."""
    return date.fromisoformat(text).toordinal() - _EPOCH_DAY


def _buckets(bought: Purchases, currency: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    rows = bought.days
    days = tuple([day_number(day.date) for day in rows])
    if any(map(gt, days, days[1:])):
        rows = tuple(sorted(rows, key=lambda day: day.date))
        days = tuple([day_number(day.date) for day in rows])
    return days, tuple([day.count for day in rows]), tuple([day.revenue.get(currency, 0) for day in rows])


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _yes(trait: object) -> bool:
    # Imported files carry text, so the spellings of yes count like the JSON true.
    return trait is True or (trait is not None and str(trait).strip().lower() in _YES)


def _consents(given: Mapping[str, Consent]) -> dict[str, tuple[str, int | None]]:
    return {
        channel: (given[channel].status, _ms(given[channel].expires_at))
        for channel in CONSENT_CHANNELS
        if channel in given
    }


def _plain(values: Mapping[str, object]) -> dict[str, Plain]:
    return dict(_comparable(values.items()))


def _comparable(items: Iterable[tuple[str, object]]) -> Iterable[tuple[str, Plain]]:
    # Only what both evaluators can compare alike: no lists, no objects, no numbers beyond 64 bits, no NUL in text.
    for name, value in items:
        if "\0" in name:
            continue
        if isinstance(value, bool):
            yield name, value
        elif isinstance(value, str):
            yield name, value.replace("\0", "")
        elif isinstance(value, int | float) and abs(value) < 2**63:
            yield name, value
