"""The purchases that all means read, the same for a seed, and what must come out."""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from benchmarks.rivals.program import Total, after
from shared.events.outgoing import CONTENT_TYPE, Outgoing
from shared.events.times import rfc3339
from shared.log import Log
from tests.builders import START

PURCHASES_EACH = 5
"""Of a customer, on average."""

AT_ONCE = 2_000
MONTH_MS = 30 * 86_400_000
EVENT = (
    '{"specversion":"1.0","id":"%(id)s","source":"shop/madrid","type":"purchase.completed","time":"%(time)s",'
    '"receivedat":"%(time)s","fingerprint":"%(print)032x","data":{"customer":{"customer_id":"%(who)s",'
    '"email":"%(who)s@example.com"},"order_id":"%(id)s","currency":"EUR","total":"%(total)s","channel":"store",'
    '"store_id":"M-%(store)d","items":[{"sku":"A%(store)d","name":"Kettle","category":"Kitchen","quantity":1,'
    '"unit_price":"%(total)s"},{"sku":"B7","name":"Tea","category":"Kitchen","quantity":2,"unit_price":"2.50"}]}}'
)
"""As our entrance writes it to `interactions`: about 600 bytes."""


class Purchase:
    """One purchase: who, for how much (text with two decimals), when (RFC 3339), and its bytes."""

    __slots__ = ("time", "total", "value", "who")

    def __init__(self, number: int, who: str, at_ms: int, chance: random.Random) -> None:
        self.who = who
        self.time = rfc3339(START + timedelta(milliseconds=at_ms))
        self.total = f"{chance.randrange(5, 500)}.{chance.randrange(100):02}"
        parts = {"id": f"o-{number}", "time": self.time, "print": number, "who": who, "total": self.total}
        self.value = (EVENT % {**parts, "store": chance.randrange(40)}).encode()


def customer(number: int) -> str:
    """The customer_id of a customer; all are of one length."""
    return f"c-{number:07}"


def purchases(count: int, seed: int = 7) -> Iterator[Purchase]:
    """So many purchases of a fifth as many customers in a month, in the order of time."""
    chance = random.Random(seed)
    customers = max(1, count // PURCHASES_EACH)
    for number in range(count):
        yield Purchase(number, customer(chance.randrange(customers)), number * MONTH_MS // count, chance)


def expected(events: Sequence[Purchase]) -> Mapping[str, Total]:
    """The totals of every customer, counted without any of the means."""
    totals: dict[str, Total] = {}
    for event in events:
        totals[event.who] = after(totals.get(event.who, (0, 0, 0)), event.total, event.time)
    return totals


async def fill(log: Log, events: Sequence[Purchase]) -> None:
    """Put them on `interactions`, which is created with the partitions that the log plans."""
    for start in range(0, len(events), AT_ONCE):
        some = events[start : start + AT_ONCE]
        await log.append([Outgoing("interactions", f"customer_id:{one.who}", one.value, CONTENT_TYPE) for one in some])
