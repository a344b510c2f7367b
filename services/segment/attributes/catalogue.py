"""The catalogue: every attribute by name, and the open families `traits.NAME` and `scores.NAME`."""

import math
from collections.abc import Callable, Iterator
from operator import attrgetter

from services.segment.attributes.attribute import Attribute, Population, Read, Type, Value, Varies, reading
from services.segment.attributes.facts import CONSENT_CHANNELS, Facts
from services.segment.attributes.windows import windows

MEDIAN = "median:usual_gap_days_median"
PRIOR = 3.0
"""How many gaps of its own the population's median weighs as much as, when a customer's gap is shrunk towards it."""

_COUNTS = (
    ("purchases_count", "purchases", "purchases", "Purchases of all times."),
    ("refunds_count", "refunds", "refunds", "Refunds of all times."),
    ("purchase_days", "purchase_days", "days", "Distinct days (UTC) with a purchase."),
    ("calls_count", "calls", "calls", "Phone calls."),
    ("calls_missed", "calls_missed", "calls", "Phone calls that were missed."),
    ("emails_sent", "emails_sent", "e-mails", "E-mails sent to the customer."),
    ("emails_opened", "emails_opened", "e-mails", "E-mails opened by a person, not by a machine."),
    ("emails_clicked", "emails_clicked", "e-mails", "E-mails clicked by a person, not by a machine."),
    ("emails_replied", "emails_replied", "e-mails", "E-mails answered."),
    ("chats_conversations", "chats", "conversations", "Chat conversations."),
    ("interest_count", "interests", "events", "Interest events of all times."),
    ("loyalty_points", "points", "points", "Loyalty points."),
    ("usual_gap_days_median", "gap_median", "days", "Median of the last 16 gaps between purchase days."),
    ("usual_gap_days_q90", "gap_q90", "days", "0.9 quantile of the last 16 gaps, linear interpolation."),
    ("satisfaction_nps", "nps", "points", "Last answer to the NPS survey (0 to 10)."),
    ("satisfaction_csat", "csat", "points", "Last answer to the satisfaction survey (1 to 5)."),
)
_FLAGS = (
    ("reachable", "Has an email, phone or chat_handle identifier."),
    ("contract_active", "Trait contract_active; false when absent."),
    ("churned_for_price", "Trait churned_for_price; false when absent."),
)
_MOMENTS = (
    ("days_since_last_purchase", "last_purchase", "Days since the last purchase."),
    ("days_since_first_purchase", "first_purchase", "Days since the first purchase."),
    ("days_since_last_call", "last_call", "Days since the last phone call."),
    ("days_since_last_email", "last_email", "Days since the last e-mail event."),
    ("days_since_last_chat", "last_chat", "Days since the last chat event."),
    ("days_since_last_interest", "last_interest", "Days since the last interest event."),
    ("days_since_first_seen", "first_seen", "Days since the first interaction."),
    ("days_since_last_seen", "last_seen", "Days since the last interaction."),
)


def _field(name: str) -> Read:
    get = attrgetter(name)

    def read(facts: Facts, ms: int, population: Population) -> Value:
        value: Value = get(facts)
        return value

    return read


def _plain() -> Iterator[Attribute]:
    for name, field, unit, text in _COUNTS:
        yield Attribute(name=name, type=Type.NUMBER, description=text, unit=unit, read=_field(field), sql=f"f.{field}")
    for name, text in _FLAGS:
        yield Attribute(name=name, type=Type.FLAG, description=text, read=_field(name), sql=f"f.{name}")


def _moments() -> Iterator[Attribute]:
    for name, field, text in _MOMENTS:
        since: Callable[[Facts], int | None] = attrgetter(field)
        sql = f"CAST(CAST(:now_ms AS BIGINT) - f.{field}_ms AS DOUBLE PRECISION) / 86400000.0"
        yield Attribute(
            name=name,
            type=Type.NUMBER,
            description=text,
            unit="days",
            varies=Varies.CLOCK,
            read=reading(since),
            since=since,
            sql=sql,
        )


def _money() -> Iterator[Attribute]:
    def revenue(facts: Facts, ms: int, population: Population) -> Value:
        return facts.revenue / facts.scale

    def average(facts: Facts, ms: int, population: Population) -> Value:
        return None if facts.average is None else facts.average / facts.scale

    for name, read, field, text in (
        ("revenue", revenue, "revenue", "Net revenue of all times."),
        ("average_order_value", average, "average", "Mean net value of a purchase; null without one."),
    ):
        sql = f"CAST(f.{field}_minor AS DOUBLE PRECISION) / f.scale"
        yield Attribute(name=name, type=Type.NUMBER, description=text, unit="currency", read=read, sql=sql)


def _usual_gap() -> Iterator[Attribute]:
    def gap(facts: Facts, ms: int, population: Population) -> float | None:
        middle = population.get(MEDIAN)
        if facts.gap_log is None or not middle:
            return None
        return math.exp((facts.gaps * facts.gap_log + PRIOR * math.log(middle)) / (facts.gaps + PRIOR))

    def ratio(facts: Facts, ms: int, population: Population) -> Value:
        own = gap(facts, ms, population)
        return None if own is None else own / population[MEDIAN]

    shrunk = f"EXP((f.gaps * f.gap_log + {PRIOR} * {{ln {MEDIAN}}}) / (f.gaps + {PRIOR}))"
    yield Attribute(
        name="usual_gap_days",
        type=Type.NUMBER,
        unit="days",
        read=gap,
        needs=(MEDIAN,),
        sql=shrunk,
        description="Median gap drawn in log space towards the population's median M with the weight of 3 gaps.",
    )
    yield Attribute(
        name="usual_gap_to_median",
        type=Type.NUMBER,
        unit="ratio",
        read=ratio,
        needs=(MEDIAN,),
        description="usual_gap_days divided by the population's median gap M.",
        sql=f"{shrunk} / {{{MEDIAN}}}",
    )


def _consent(channel: str) -> Attribute:
    def read(facts: Facts, ms: int, population: Population) -> Value:
        status, expires = facts.consents.get(channel, (None, None))
        return None if status == "granted" and expires is not None and expires <= ms else status

    def changes(facts: Facts, ms: int, population: Population) -> Iterator[tuple[int, Value]]:
        status, expires = facts.consents.get(channel, (None, None))
        if status == "granted" and expires is not None and expires > ms:
            yield expires, None

    column = f"f.consent_{channel}"
    ended = f"{column} = 'granted' AND {column}_until_ms <= CAST(:now_ms AS BIGINT)"
    return Attribute(
        name=f"consent_{channel}",
        type=Type.TEXT,
        varies=Varies.STEPS,
        read=read,
        changes=changes,
        description=f"'granted', 'denied' or null (never asked, or the grant has expired) for {channel}.",
        sql=f"CASE WHEN {ended} THEN NULL ELSE {column} END",
    )


def dynamic(family: str, member: str, kind: Type) -> Attribute:
    """`traits.NAME` or `scores.NAME` read as one type: a value of another type counts as null."""
    values: Callable[[Facts], dict[str, Value]] = attrgetter(family)

    def read(facts: Facts, ms: int, population: Population) -> Value:
        value = values(facts).get(member)
        return value if _is(value, kind) else None

    text = "A trait of the customer." if family == "traits" else "A score given to the customer."
    return Attribute(name=f"{family}.{member}", type=kind, description=text, read=read, path=(family, member))


def _is(value: Value, kind: Type) -> bool:
    if kind is Type.NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is Type.TEXT:
        return isinstance(value, str)
    return kind is Type.ANY or isinstance(value, bool)


def _all() -> Iterator[Attribute]:
    yield from _plain()
    yield from _money()
    yield from windows()
    yield from _moments()
    yield from _usual_gap()
    yield from map(_consent, CONSENT_CHANNELS)


CATALOGUE: dict[str, Attribute] = {attribute.name: attribute for attribute in sorted(_all(), key=attrgetter("name"))}
"""Every attribute with a fixed name, in alphabetical order."""
