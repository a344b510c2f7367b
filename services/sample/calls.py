"""Generated phone calls: how many and at what hour follows two real sets, everything else is an assumption."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.sample.draft import DAY, HOUR, LOCAL, MINUTE, SECOND, SYNTHETIC, Draft, customer, written
from services.sample.draws import Draws
from services.sample.people import Household, phone

SERVICE_CALLS = (1_023, 1_786, 1_127, 665, 252, 96, 34, 13, 2, 2)
"""Customers with 0, 1, 2 … service calls, of 5,000: `number_customer_service_calls` in `mlc_churn` (modeldata)."""

OPENING_HOUR = 7
HOURLY = (166, 315, 528, 557, 538, 510, 489, 476, 456, 402, 302, 234, 186, 152, 11)
"""Thousands of calls by hour of the day, from 07 to 21 o'clock: `bank_calls` (fpp3), 5,323,661 calls."""

WEEKDAYS = (1_129, 1_078, 1_047, 1_046, 1_023)
"""Thousands of calls from Monday to Friday, in the same set."""

WEEKS = 52

EPOCH_WEEKDAY = 3
"""1970 began on a Thursday (Monday is 0)."""

LOSES_TOUCH = 30 * DAY
"""How long after its last basket a household may still call or chat."""

INBOUND = (("completed", 88), ("missed", 9), ("voicemail", 3))
OUTBOUND = (("completed", 65), ("no_answer", 20), ("voicemail", 10), ("busy", 5))


class Topic(NamedTuple):
    """What calls are about: how often, the mean sentiment in hundredths, the share that is resolved at once."""

    name: str
    weight: int
    sentiment: int
    resolved: float


TOPICS = (
    Topic("coupon", 25, 5, 0.85),
    Topic("product_quality", 20, -40, 0.65),
    Topic("store_hours", 15, 25, 0.97),
    Topic("loyalty_card", 15, 10, 0.90),
    Topic("refund", 15, -30, 0.70),
    Topic("price", 10, -20, 0.75),
)


def calls(families: Sequence[Household], end: int) -> Iterator[Draft]:
    """`call.completed`: a year's calls to the service per household while it is in touch, and calls back to them."""
    for family in families:
        draws = Draws(f"calls/{family.number}")
        for number in range(draws.weighted(SERVICE_CALLS)):
            yield from _occasion(family, number, draws, end)


def in_touch(family: Household, at: int, end: int) -> bool:
    """Whether the household is a customer at that moment, as far as the set can tell."""
    return family.first_basket <= at <= min(family.last_basket + LOSES_TOUCH, end)


def sentiment(draws: Draws, mean: int) -> float:
    """A sentiment around a mean given in hundredths, within -0.95 and 0.95."""
    return max(-95, min(95, mean + draws.between(-45, 45))) / 100


def stars(draws: Draws, resolved: bool) -> int:
    """A satisfaction score from 1 to 5, higher when the matter was settled."""
    return 1 + draws.weighted((4, 6, 15, 35, 40) if resolved else (30, 30, 22, 13, 5))


def _occasion(family: Household, number: int, draws: Draws, end: int) -> Iterator[Draft]:
    """A call, and the call back that follows a missed or unresolved one."""
    at = _moment(draws, end)
    topic = TOPICS[draws.weighted([topic.weight for topic in TOPICS])]
    inbound = _call("inbound", topic, draws)
    open_matter = inbound["status"] != "completed" or inbound["resolved"] is False
    back_at = at + draws.between(10, 120) * MINUTE
    outbound = _call("outbound", topic, draws)
    name = f"call-{family.number}-{number}"
    if in_touch(family, at, end):
        yield _draft(family, at, name, inbound)
        if open_matter and draws.happens(0.7) and back_at <= end:
            yield _draft(family, back_at, f"{name}-back", outbound)


def _moment(draws: Draws, end: int) -> int:
    """A moment of a weekday in the 52 full weeks before `end`, at the hours at which people call a bank."""
    today = end // DAY
    monday = today - (today + EPOCH_WEEKDAY) % 7
    midnight = (monday - 7 * draws.between(1, WEEKS) + draws.weighted(WEEKDAYS)) * DAY
    hour = OPENING_HOUR + draws.weighted(HOURLY)
    return midnight + LOCAL + hour * HOUR + draws.below(3_600) * SECOND


def _call(direction: str, topic: Topic, draws: Draws) -> dict[str, object]:
    mix = INBOUND if direction == "inbound" else OUTBOUND
    status = mix[draws.weighted([weight for _, weight in mix])][0]
    data: dict[str, object] = {"direction": direction, "status": status, "topic": topic.name}
    if direction == "inbound":
        data["wait_seconds"] = draws.log_normal(median=40, sigma=0.9)
    if status == "completed":
        data |= _conversation(topic, draws)
    return data


def _conversation(topic: Topic, draws: Draws) -> dict[str, object]:
    """What a call that came about adds. Service times of call centres are near log-normal; the median is assumed."""
    resolved = draws.happens(topic.resolved)
    said: dict[str, object] = {
        "duration_seconds": draws.log_normal(median=190, sigma=0.8),
        "agent_id": f"agent-{draws.between(1, 12)}",
        "resolved": resolved,
        "disposition": "resolved" if resolved else "follow_up",
        "sentiment": sentiment(draws, topic.sentiment + (15 if resolved else -25)),
    }
    if draws.happens(0.25):
        said["csat"] = stars(draws, resolved)
    return said


def _draft(family: Household, at: int, name: str, call: dict[str, object]) -> Draft:
    who = customer(family.number, phone=phone(family.number))
    return Draft(
        at, family.number, "call.completed", SYNTHETIC, name, written({"customer": who, "call_id": name, **call})
    )
