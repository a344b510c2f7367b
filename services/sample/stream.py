"""The sample as one stream: all events in order of time, moved to the present, as ingest would have written them."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from heapq import merge
from operator import attrgetter

import msgspec

from services.sample.baskets import coupon_by_basket, heads, purchases, redemptions
from services.sample.calls import calls
from services.sample.chats import chats
from services.sample.draft import DAY, Draft
from services.sample.mailings import clicked, sends, sent
from services.sample.people import addresses, consents, demographics, households
from services.sample.wheel import lines
from shared.events.envelope import Event, encode
from shared.events.times import from_ms, rfc3339, to_ms

HISTORY = "sample"
"""The name of the import that the events belong to: they keep their own time and are mute."""

WEEK = 7 * DAY


def stream(now: datetime) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of every event, oldest first; the last basket lies within the seven days before `now`.

    Times move by whole weeks, so weekdays and hours stay true. Equal numbers of weeks give equal bytes. Nothing is
    later than the last basket.
    """
    bought = lines()
    baskets = heads(bought)
    redeemed = redemptions(baskets)
    mailed = sends()
    families = households(baskets, mailed)
    end = int(baskets["at"][-1])
    shift = weeks_between(end, to_ms(now)) * WEEK
    others: list[Draft] = [
        *demographics(families),
        *addresses(families),
        *consents(families, end),
        *sent(mailed),
        *clicked(redeemed),
        *calls(families, end),
        *chats(families, end),
    ]
    others.sort(key=attrgetter("at", "household", "id"))
    for draft in merge(others, purchases(bought, baskets, coupon_by_basket(redeemed)), key=attrgetter("at")):
        yield f"customer_id:{draft.household}", sealed(draft, shift)


def weeks_between(end: int, now: int) -> int:
    """How many whole weeks bring the moment `end` (milliseconds) to at most seven days before `now`, never after it."""
    return (now - end) // WEEK


def sealed(draft: Draft, shift: int) -> bytes:
    """The canonical event of a draft, `shift` milliseconds later, with the fingerprint that ingest would give it."""
    moment = from_ms(draft.at + shift)
    head = msgspec.json.encode((draft.type, rfc3339(moment)))
    content = head[:-1] + b"," + draft.data + b"]"
    event = Event(
        specversion="1.0",
        id=draft.id,
        source=draft.source,
        type=draft.type,
        time=moment,
        data=msgspec.Raw(draft.data),
        receivedat=moment,
        fingerprint=hashlib.blake2b(content, digest_size=16).hexdigest(),
        history=HISTORY,
    )
    return encode(event)
