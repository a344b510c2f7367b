"""The checker of the chaos suite: content with an undisturbed platform, and not with any fault that is planted."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.ingest.acceptance import accept
from shared.database import transaction
from shared.events.envelope import encode
from shared.events.outgoing import Outgoing
from tests.chain import Chain
from tests.chaos import classes
from tests.chaos.checks import CHECKS, Found, Version, overtaken, violations
from tests.chaos.load import LATE_SHARE, LATEST_DAYS, drafts
from tests.chaos.plan import SESSION_SECONDS, Sizes, plan

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BATCH = 250
EVENTS = 750


def _version(said: Outgoing) -> Version:
    if said.value is None:
        return Version(said.key or "", f"gone {said.key}", b"", None)
    event = json.loads(said.value)
    return Version(said.key or "", event["id"], said.value, event["data"])


def _message(state: str, name: str, profile_id: str, number: int) -> dict[str, Any]:
    data = {"message_id": name, "campaign": "c", "step": 0, "profile_id": profile_id, "occasion": name}
    return {"id": f"{name}/{number}", "type": f"message.{state}", "data": data}


@pytest.fixture(scope="module")
def undisturbed() -> Found:
    """What profile and segment make of a load that nobody disturbs, and two messages beside it."""
    chain = Chain(by_events=False)
    chain.put(*classes.DEFINITIONS)
    told, published = [], []
    for draft in drafts(3, EVENTS, "t"):
        time = NOW - timedelta(milliseconds=draft.age_ms)
        if not draft.wrong:
            told.append({**draft.event, "time": time.isoformat()})
    for start in range(0, len(told), BATCH):
        events = [accept(event, NOW, {}) for event in told[start : start + BATCH]]
        said = chain.profile.feed([Outgoing("interactions", "", encode(event)) for event in events])
        published += [_version(one) for one in said if one.key]
        chain.apply(said)
        chain.tick(NOW + timedelta(seconds=start))
    now = NOW + timedelta(hours=1)
    chain.tick(now)
    with transaction(chain.profile.engine) as connection:
        kept = [json.loads(body) for (body,) in connection.execute(text("SELECT record FROM profile"))]
        bodies = [json.loads(body) for (body,) in connection.execute(text("SELECT body FROM event"))]
    with transaction(chain.engine) as connection:
        rows = connection.execute(text('SELECT segmentation, profile_id, "class" FROM membership')).all()
    one = kept[0]["profile_id"]
    return Found(
        told=told,
        wrong=frozenset({"t-wrong"}),
        letters=frozenset({"t-wrong"}),
        timeline=[(body["source"], body["id"]) for body in bodies],
        records={record["profile_id"]: record for record in kept},
        by_rest=kept[:3],
        published=published,
        changes=chain.changes,
        memberships={(row[0], row[1]): row[2] for row in rows},
        messages=[_message("planned", "m1", one, 1), _message("refused", "m1", one, 2)],
        outboxes={"profile": 0},
        now_ms=int(now.timestamp() * 1000),
    )


def test_it_is_content_with_an_undisturbed_platform(undisturbed: Found) -> None:
    assert violations(undisturbed) == {name: [] for name in violations(undisturbed)}
    ends = {(row[0], name) for row, name in undisturbed.memberships.items() if name}
    wanted = {("volume", name) for name in classes.SIZES} | {("frequency", "occasional"), ("status", "current")}
    assert wanted <= ends, "every class occurs, so that a wrong one would show"
    assert any(one.record is None for one in undisturbed.published), "customers merge"


def _first(found: Found) -> str:
    """A customer with purchases."""
    return next(name for name, record in found.records.items() if record["purchases"]["count"] > 2)


def _changed(found: Found, change: Callable[[Any], None]) -> Mapping[str, Any]:
    records = copy.deepcopy(dict(found.records))
    change(records[_first(found)])
    return records


def _lost(found: Found) -> Found:
    return replace(found, timeline=found.timeline[1:])


def _twice(found: Found) -> Found:
    return replace(found, timeline=[*found.timeline, found.timeline[5]])


def _never_sent(found: Found) -> Found:
    return replace(found, timeline=[*found.timeline, ("chaos", "nobody-sent-this")])


def _no_letter(found: Found) -> Found:
    return replace(found, letters=frozenset())


def _counted_twice(found: Found) -> Found:
    return replace(found, records=_changed(found, lambda record: record["purchases"].update(count=99)))


def _a_cent(found: Found) -> Found:
    def change(record: Any) -> None:
        record["purchases"]["revenue"]["EUR"] = str(float(record["purchases"]["revenue"]["EUR"]) + 0.01)

    return replace(found, records=_changed(found, change))


def _other_moment(found: Found) -> Found:
    return replace(found, records=_changed(found, lambda record: record.update(last_seen_at="2026-01-01T00:00:00Z")))


def _customer_gone(found: Found) -> Found:
    return replace(found, records={name: one for name, one in found.records.items() if name != _first(found)})


def _version_missing(found: Found) -> Found:
    place = next(n for n, one in enumerate(found.published) if one.record and one.record["version"] == 2)
    return replace(found, published=[*found.published[:place], *found.published[place + 1 :]])


def _newest_missing(found: Found) -> Found:
    record = found.records[_first(found)]
    return replace(found, published=[one for one in found.published if one.record != record])


def _copy_differs(found: Found) -> Found:
    one = found.published[0]
    return replace(found, published=[*found.published, replace(one, body=one.body + b" ")])


def _outbox_left(found: Found) -> Found:
    return replace(found, outboxes={"segment": 1})


def _change_missing(found: Found) -> Found:
    return replace(found, changes=found.changes[:-1])


def _changes_swapped(found: Found) -> Found:
    key = [(one["data"]["segmentation"], one["data"]["profile_id"]) for one in found.changes]
    second = next(n for n, one in enumerate(found.changes) if one["data"]["version"] == 2)
    first = key.index(key[second])
    changes = list(found.changes)
    changes[first], changes[second] = changes[second], changes[first]
    return replace(found, changes=changes)


def _change_twice(found: Found) -> Found:
    return replace(found, changes=[*found.changes, {**found.changes[0], "id": "another"}])


def _other_class(found: Found) -> Found:
    """Everybody agrees, and all are wrong."""
    place = max(n for n, one in enumerate(found.changes) if one["data"]["segmentation"] == "volume")
    change = copy.deepcopy(found.changes[place])
    data = change["data"]
    data["to"] = next(name for name in classes.SIZES if name != data["to"])
    key = ("volume", data["profile_id"])
    changes = [*found.changes[:place], change, *found.changes[place + 1 :]]
    return replace(found, changes=changes, memberships={**found.memberships, key: data["to"]})


def _sent_twice(found: Found) -> Found:
    said = [_message("sent", "m2", _first(found), 1), _message("sent", "m2", _first(found), 2)]
    return replace(found, messages=[*found.messages, *said], arrived={"m2": 1})


def _arrived_twice(found: Found) -> Found:
    return replace(found, messages=[*found.messages, _message("held", "m2", _first(found), 1)], arrived={"m2": 2})


def _never_arrived(found: Found) -> Found:
    return replace(found, messages=[*found.messages, _message("sent", "m2", _first(found), 1)])


def _not_planned(found: Found) -> Found:
    return replace(found, arrived={"m9": 1})


def _went_back(found: Found) -> Found:
    return replace(found, backwards=["interactions/0: 7 then 6"])


def _slow(found: Found) -> Found:
    return replace(found, recovery=61.0)


def _rest_differs(found: Found) -> Found:
    return replace(found, by_rest=[{**found.by_rest[0], "version": 0}])


def _leak(found: Found) -> Found:
    return replace(found, leaks=["profile.out: Ana"])


def _noise(found: Found) -> Found:
    return replace(found, noise=["segment.out: exit code 1"])


PLANTED = [
    ("1 no loss", _lost),
    ("2 exactly once", _twice),
    ("2 exactly once", _never_sent),
    ("1 no loss", _no_letter),
    ("2 exactly once", _counted_twice),
    ("3 sums", _counted_twice),
    ("2 exactly once", _a_cent),
    ("2 exactly once", _other_moment),
    ("2 exactly once", _customer_gone),
    ("4 outboxes and versions", _version_missing),
    ("4 outboxes and versions", _newest_missing),
    ("4 outboxes and versions", _copy_differs),
    ("4 outboxes and versions", _outbox_left),
    ("5 class changes", _change_missing),
    ("5 class changes", _changes_swapped),
    ("5 class changes", _change_twice),
    ("5 class changes", _other_class),
    ("6 messages", _sent_twice),
    ("6 messages", _arrived_twice),
    ("6 messages", _never_arrived),
    ("6 messages", _not_planned),
    ("7 offsets", _went_back),
    ("8 recovery", _slow),
    ("9 REST", _rest_differs),
    ("10 privacy", _leak),
    ("11 quiet", _noise),
]


@pytest.mark.parametrize(("name", "fault"), PLANTED, ids=[f"{name} {fault.__name__}" for name, fault in PLANTED])
def test_a_planted_fault_is_found(undisturbed: Found, name: str, fault: Callable[[Found], Found]) -> None:
    assert CHECKS[name](fault(undisturbed))


def test_a_copy_is_no_fault_and_one_that_came_late_is_counted(undisturbed: Found) -> None:
    old = next(one for one in undisturbed.published if one.record and one.record["version"] == 1)
    late = replace(undisturbed, published=[*undisturbed.published, old], changes=undisturbed.changes * 2)
    assert not any(violations(late).values())
    assert (overtaken(undisturbed), overtaken(late)) == (0, 1)


def test_the_load_is_what_it_says_and_the_same_for_a_seed() -> None:
    load = list(drafts(3, EVENTS, "t"))
    assert load == list(drafts(3, EVENTS, "t"))
    assert len({draft.event["id"] for draft in load}) == EVENTS
    late = sum(draft.age_ms > 86_400_000 for draft in load)
    assert LATE_SHARE * EVENTS * 0.7 < late < LATE_SHARE * EVENTS * 1.3
    assert max(draft.age_ms for draft in load) < LATEST_DAYS * 86_400_000
    assert {"purchases", "calls", "emails", "chats", None} == {draft.topic for draft in load}


def test_a_plan_has_as_many_faults_as_were_asked_for() -> None:
    sizes = Sizes(events=1, kills=50, stops=5, short=2, brokers=3, databases=4, scalings=2, seconds=100)
    faults = plan(1, sizes)
    assert faults == plan(1, sizes)
    assert sum(fault.count for fault in faults if fault.kind == "kill") == 50
    assert sum(fault.kind == "stop" and fault.lasting > SESSION_SECONDS for fault in faults) == 5
    kinds = [fault.kind for fault in faults]
    assert [kinds.count(kind) for kind in ("broker_kill", "broker_pause", "database", "scale")] == [3, 1, 4, 2]
    assert all(0 <= fault.at <= sizes.seconds for fault in faults)
