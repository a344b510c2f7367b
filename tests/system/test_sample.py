"""The first `make run`: the whole sample year against an independent count, and the laws of class changes."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.segment.customers import decode_customer
from services.segment.model import Customer
from shared.events.times import from_ms
from shared.log import TopicPartition
from shared.log.sqlite import open_log
from tests.system.house import House, eventually
from tests.system.independent_count import independent_count, shift
from tests.system.state import rows

ACTIVE = ("current", "active")
PERIOD = timedelta(days=180)
Change = dict[str, Any]


class Run:
    """A finished first run: what it printed and what lies in its folder."""

    def __init__(self, folder: Path, printed: str) -> None:
        self.folder = folder
        self.printed = printed
        self.now = from_ms(json.loads((folder / "sample.json").read_text())["now"])
        self.changes: list[Change] = [
            json.loads(body) for (body,) in rows(folder, "segment", "SELECT body FROM change ORDER BY seq")
        ]
        self.profiles: list[dict[str, Any]] = [
            json.loads(b) for (b,) in rows(folder, "profile", "SELECT record FROM profile")
        ]
        self.customers: dict[str, Customer] = {
            customer.profile_id: customer
            for (body,) in rows(folder, "segment", "SELECT body FROM customer")
            if (customer := decode_customer(body))
        }

    def chains(self) -> dict[tuple[str, str], list[Change]]:
        """The changes by customer and segmentation, in the order in which they were made."""
        found: dict[tuple[str, str], list[Change]] = defaultdict(list)
        for change in self.changes:
            found[change["data"]["profile_id"], change["data"]["segmentation"]].append(change)
        return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The full sample, once."""
    house = House(tmp_path_factory.mktemp("sample") / "data", sample=True).start()
    try:
        eventually(lambda: "Where to look next" in house.printed(), 400)
        printed = house.printed()
        assert house.stop() == 0
        yield Run(house.folder, printed)
    finally:
        house.end()


def test_baskets_households_and_revenue_agree_with_an_independent_count(run: Run) -> None:
    count, moved = independent_count(), shift(run.now)
    by_household = {int(_household(profile)): profile for profile in run.profiles if profile["purchases"]["count"]}
    assert len(by_household) == len(count.households) == 2469
    assert sum(profile["purchases"]["count"] for profile in by_household.values()) == count.baskets == 155_848
    revenue = sum(Decimal(profile["purchases"]["revenue"]["USD"]) for profile in by_household.values())
    assert revenue == count.revenue
    for number, household in count.households.items():
        purchases = by_household[number]["purchases"]
        assert purchases["count"] == household.purchases
        assert Decimal(purchases["revenue"]["USD"]) == household.revenue
        assert datetime.fromisoformat(purchases["last_at"]) == household.last_purchase + moved
        assert datetime.fromisoformat(purchases["first_at"]) == household.first_purchase + moved
    assert timedelta(0) <= run.now - (count.last_purchase + moved) < timedelta(days=7)


def _household(profile: dict[str, Any]) -> str:
    return next(str(known["value"]) for known in profile["identifiers"] if known["kind"] == "customer_id")


def test_the_picture_shows_the_numbers_that_are_in_the_records(run: Run) -> None:
    assert re.search(rf"{len(run.profiles):,} customers", run.printed)
    assert re.search(r"purchase\s+155,848", run.printed)
    last = {key: chain[-1]["data"]["to"] for key, chain in run.chains().items()}
    for class_ in ("current", "active", "inactive"):
        count = sum(1 for (_, name), to in last.items() if name == "status" and to == class_)
        assert re.search(rf"{class_}\s+{count:,}\s", run.printed)
    bridge = re.search(r"([\d,]+) \+ ([\d,]+) new \+ ([\d,]+) reactivated - ([\d,]+) lapsed = ([\d,]+)", run.printed)
    assert bridge
    opening, new, reactivated, lapsed, closing = (int(part.replace(",", "")) for part in bridge.groups())
    assert opening + new + reactivated - lapsed == closing
    assert closing == sum(1 for (_, name), to in last.items() if name == "status" and to in ACTIVE)
    assert "Traceback" not in run.printed


def test_changes_form_chains_with_contiguous_versions_and_end_in_the_memberships(run: Run) -> None:
    ends = {}
    for key, chain in run.chains().items():
        assert [change["data"]["version"] for change in chain] == list(range(1, len(chain) + 1)), key
        assert chain[0]["data"]["from"] is None
        for before, after in pairwise(chain):
            assert after["data"]["from"] == before["data"]["to"], key
            assert after["data"]["from"] != after["data"]["to"], key
            assert after["time"] >= before["time"], key
        ends[key] = chain[-1]["data"]["to"]
    held = {
        (p, s): c for s, p, c in rows(run.folder, "segment", 'SELECT segmentation, profile_id, "class" FROM membership')
    }
    assert {key: to for key, to in ends.items() if to is not None} == {
        key: c for key, c in held.items() if c is not None
    }
    assert len({change["id"] for change in run.changes}) == len(run.changes)


def test_a_change_by_time_carries_the_moment_it_was_due(run: Run) -> None:
    purchases = _purchase_times(run.folder)
    checked = 0
    for (profile_id, name), chain in run.chains().items():
        if name != "status":
            continue
        for change in chain:
            data = change["data"]
            if data["to"] != "inactive" or data["cause"] != "time":
                continue
            at = datetime.fromisoformat(change["time"])
            last = max(moment for moment in purchases[profile_id] if moment <= at)
            assert at == last + PERIOD, change
            checked += 1
    assert checked > 20


def test_whoever_is_active_bought_within_his_period_and_whoever_did_not_is_told(run: Run) -> None:
    purchases = _purchase_times(run.folder)
    now = datetime.now(UTC)
    for (profile_id, name), chain in run.chains().items():
        if name != "status" or profile_id not in purchases:
            continue
        silent = now - max(purchases[profile_id])
        if abs(silent - PERIOD) > timedelta(minutes=30):
            assert (chain[-1]["data"]["to"] == "inactive") == (silent >= PERIOD), profile_id


def test_the_bridge_balances_on_every_day_of_the_year(run: Run) -> None:
    moves: dict[str, list[tuple[str | None, str | None]]] = defaultdict(list)
    for change in run.changes:
        if change["data"]["segmentation"] == "status":
            moves[change["time"][:10]].append((change["data"]["from"], change["data"]["to"]))
    chains = [
        [(c["time"][:10], c["data"]["to"]) for c in chain] for (_, n), chain in run.chains().items() if n == "status"
    ]
    opening = 0
    for day in sorted(moves):
        arrived = sum(1 for before, after in moves[day] if after in ACTIVE and before not in ACTIVE)
        lapsed = sum(1 for before, after in moves[day] if before in ACTIVE and after not in ACTIVE)
        closing = sum(1 for chain in chains if _class_on(chain, day) in ACTIVE)
        assert opening + arrived - lapsed == closing, day
        opening = closing
    assert len(moves) > 300


def _class_on(chain: list[tuple[str, str | None]], day: str) -> str | None:
    last = None
    for date, to in chain:
        if date > day:
            break
        last = to
    return last


def _purchase_times(folder: Path) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = defaultdict(list)
    query = (
        "SELECT i.profile_id, e.occurred_at FROM event e JOIN identifier i ON i.kind = e.kind AND i.value = e.value "
        "WHERE e.type = 'purchase.completed'"
    )
    for profile_id, at in rows(folder, "profile", query):
        found[profile_id].append(from_ms(at))
    return found


async def test_the_topic_tells_every_change_once_and_in_order(run: Run) -> None:
    log = open_log(run.folder / "log.db", clock=lambda: 0)
    place = TopicPartition("segment-changes", 0)
    consumer = log.consumer("a-subscriber", ["segment-changes"])
    await consumer.assignment()
    consumer.seek(place, 0)
    told: list[Change] = []
    end = (await log.ends("segment-changes"))[place]
    position = 0
    while position < end:
        records = (await consumer.poll(5000, 1)).get(place, ())
        position = records[-1].offset + 1
        told += [json.loads(r.value) for r in records if r.value is not None and r.key is not None]
        for record in records:
            if record.key is not None and record.value is not None:
                assert dict(record.headers)["content-type"] == b"application/cloudevents+json"
                assert json.loads(record.value)["data"]["profile_id"] == record.key
    await consumer.close()
    await log.close()
    changes = [change for change in told if change["type"] == "segment.changed"]
    assert changes == run.changes


def test_messages_have_an_occasion_each_and_history_sends_no_mail(run: Run) -> None:
    messages = rows(run.folder, "campaign", "SELECT campaign, step, profile_id, occasion, state, reason FROM message")
    assert len({row[:4] for row in messages}) == len(messages)
    assert {"welcome", "win-back", "second-purchase", "thank-you"} <= {row[0] for row in messages}
    assert all(reason for *_, state, reason in messages if state == "refused")
    sent = [row for row in messages if row[4] == "sent"]
    files = list((run.folder / "outbox").rglob("*.eml"))
    assert len(files) >= len(sent) > 1000


def test_nothing_personal_is_in_what_the_run_wrote(run: Run) -> None:
    assert "@example.org" not in run.printed
    assert "+1" not in re.sub(r"\+ [\d,]+", "", run.printed)
