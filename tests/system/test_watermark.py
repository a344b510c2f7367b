"""A timer never overtakes the stream: the profile service is held still under load while timers fall due.

HOLD_SECONDS says for how long; `make outage-test` takes a minute.
"""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import pytest

from tests.system.house import House, eventually
from tests.system.test_first_event import purchase

HOLD_SECONDS = float(os.environ.get("HOLD_SECONDS", "8"))
LAPSE = timedelta(seconds=4)
DEFINITION = {
    "segmentation": "seconds",
    "classes": [
        {"name": "fresh", "when": f"days_since_last_purchase < {LAPSE.total_seconds() / 86400!r}"},
        {"name": "stale", "when": "purchases_count >= 1"},
    ],
}
REGULARS = 40
PASSERS_BY = 60
"""New customers of every round, who buy once: the load."""
ROUND_SECONDS = 1.0
EXACT = timedelta(milliseconds=1)


class Bought(NamedTuple):
    """A purchase, and when we had the answer that it is accepted."""

    at: datetime
    accepted: datetime


class Market(threading.Thread):
    """The regulars buy every round, except the one who stops with it and must lapse."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self._house = house
        self._closing = threading.Event()
        self.rounds = 0
        self.bought: dict[str, list[Bought]] = defaultdict(list)

    def run(self) -> None:
        while not self._closing.is_set():
            names = [f"R-{n}" for n in range(self.rounds % REGULARS // 2, REGULARS)]
            more = [f"P-{self.rounds}-{n}" for n in range(PASSERS_BY)]
            at = datetime.now(UTC)
            events = [purchase(f"{name}/{self.rounds}", name, at) for name in names + more]
            assert self._house.post(events).status_code == 202
            for name in names:
                self.bought[name].append(Bought(at, datetime.now(UTC)))
            self.rounds += 1
            self._closing.wait(ROUND_SECONDS)

    def close(self) -> None:
        """Finish the round in hand."""
        self._closing.set()
        self.join(60)


@contextmanager
def held_still(house: House) -> Iterator[None]:
    """Its process does nothing at all within the block."""
    assert house.process is not None
    os.kill(house.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(house.process.pid, signal.SIGCONT)


def lapses(house: House) -> dict[str, list[datetime]]:
    """When the regulars became stale, as the changes say it."""
    found: dict[str, list[datetime]] = defaultdict(list)
    cursor: dict[str, str] = {}
    while (page := house.get("/v1/segment-changes", limit=1000, **cursor))["changes"]:
        for change in page["changes"]:
            name = change["data"]["customer"]["customer_id"]
            if (change["data"]["segmentation"], change["data"]["to"], name[0]) == ("seconds", "stale", "R"):
                found[name].append(datetime.fromisoformat(change["time"]))
        cursor = {"after": page["next_cursor"]}
    return found


def wrong(bought: list[Bought], stale: list[datetime]) -> list[str]:
    """What a customer was said to have done and did not, and the other way round."""
    found = []
    left = list(stale)
    for one, following in [*pairwise(bought), (bought[-1], None)]:
        due = one.at + LAPSE
        told = [at for at in left if abs(at - due) <= EXACT]
        left = [at for at in left if at not in told]
        if following is None or following.at > due:
            found += [] if len(told) == 1 else [f"lapsed at {due}, told {len(told)} times"]
        elif following.accepted < due:
            found += [f"bought at {following.at}, yet said to have lapsed at {due}" for _ in told]
    return found + [f"said to have lapsed at {at}" for at in left]


@pytest.mark.both_modes
def test_nobody_who_bought_is_reported_as_lapsed_while_profile_is_held(build_house: Callable[..., House]) -> None:
    profile = build_house(services=("profile",)).start(60)
    others = build_house(services=("ingest", "segment", "campaign")).start(60)
    assert others.ask("PUT", "/v1/segmentations/seconds", DEFINITION).status_code == 201
    market = Market(others)
    market.start()
    try:
        eventually(lambda: market.rounds >= 3, 60)
        with held_still(profile):
            begun = datetime.now(UTC)
            time.sleep(HOLD_SECONDS)
            ended = datetime.now(UTC)
        rounds = market.rounds
        eventually(lambda: market.rounds >= rounds + 3, 60)
    finally:
        market.close()
    tempting = [
        name
        for name, bought in market.bought.items()
        for one, following in pairwise(bought)
        if one.at < begun < following.at and following.accepted < one.at + LAPSE < ended
    ]
    assert len(tempting) > REGULARS / 2, "the hold was too short to tempt anybody"
    told = eventually(lambda: found if everybody(found := lapses(others), market) else None, 60)
    assert {name: faults for name, bought in market.bought.items() if (faults := wrong(bought, told[name]))} == {}
    assert sum(map(len, told.values())) >= REGULARS


def everybody(told: dict[str, list[datetime]], market: Market) -> bool:
    """Whether of all it is known that they have lapsed for good."""
    return all(
        any(abs(at - bought[-1].at - LAPSE) <= EXACT for at in told.get(name, ()))
        for name, bought in market.bought.items()
    )
