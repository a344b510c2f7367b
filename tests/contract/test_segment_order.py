"""L3: in what order events come, and in which batches, leaves no trace in classes that remember nothing."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import select

from services.segment import tables
from services.segment.definitions import shipped
from shared.events.envelope import Event, raw
from shared.events.interactions import BEGIN, END, Mark
from tests.builders import identified, interaction, moment, purchase
from tests.chain import Chain

DAY = 24 * 60
LAST = 33
STATUS = next(document for document in shipped() if document["segmentation"] == "status")
WITHOUT_MEMORY: list[dict[str, Any]] = [
    STATUS,
    {
        "segmentation": "rhythm",
        "classes": [
            {"name": "frequent", "when": "usual_gap_to_median <= 0.7"},
            {"name": "regular", "when": "usual_gap_to_median <= 1.3"},
            {"name": "seldom", "when": "purchases_count > 0"},
        ],
    },
    {
        "segmentation": "weight",
        "ladder": {"attribute": "revenue_91d_to_average", "steps": [0.5, 1.25], "classes": ["low", "mid", "high"]},
    },
    {
        "segmentation": "shares",
        "share": {"attribute": "revenue_28d", "cuts": ["60%", "90%"], "classes": ["A", "B", "C"]},
    },
    {
        "segmentation": "looks",
        "share": {"attribute": "interest_count_30d", "cuts": ["50%"], "classes": ["much", "little"]},
    },
    {
        "segmentation": "gaps",
        "share": {"attribute": "usual_gap_days_median", "cuts": ["50%"], "classes": ["long", "short"]},
    },
]


@st.composite
def lives(draw: st.DrawFn) -> list[Event]:
    """What some customers did within five weeks, in time order; no two at the same moment."""
    count = draw(st.integers(2, 14))
    days = st.sampled_from([0, 1, 2, 27, 28, 29, 30, 31, LAST - 1, LAST])
    moments = sorted({draw(days) * DAY + draw(st.integers(0, 14 * 60)) for _ in range(count)})
    return [draw(happening(at)) for at in moments]


def happening(at: int) -> st.SearchStrategy[Event]:
    who = st.sampled_from([{"customer_id": f"C{number}"} for number in range(4)])
    bought = st.builds(purchase, who, st.sampled_from(["10", "20.50", "45", "300"]), st.just(at))
    looked = st.builds(lambda one: interaction("interest.shown", one, at, kind="visit"), who)
    told = st.builds(lambda one, yes: identified(one, at, contract_active=yes), who, st.booleans())
    return st.one_of(bought, bought, bought, looked, told)


class Plan:
    """An order of arrival: which event when, where a batch ends, and where time goes on in between."""

    def __init__(self, order: Sequence[int], ends: Sequence[bool], ticks: Sequence[bool]) -> None:
        self.order, self.ends, self.ticks = order, ends, ticks

    def __repr__(self) -> str:
        return f"Plan({self.order}, {self.ends}, {self.ticks})"


def plans(count: int) -> st.SearchStrategy[Plan]:
    flags = st.lists(st.booleans(), min_size=count, max_size=count)
    return st.builds(Plan, st.permutations(range(count)), flags, flags)


def arrived(events: Sequence[Event], plan: Plan) -> Chain:
    """Everything applied in this order, by the clock of the events."""
    chain = Chain().only(*WITHOUT_MEMORY)
    batch: list[Event] = []
    latest = events[0].time
    for place, number in enumerate(plan.order):
        batch.append(events[number])
        if plan.ends[place] or place == len(plan.order) - 1:
            chain.feed(*batch)
            latest = max(latest, *(event.time for event in batch))
            batch = []
            if plan.ticks[place]:
                chain.tick(latest)
    chain.tick(moment(LAST * DAY + 15 * 60))
    return chain


def measured(chain: Chain) -> dict[str, Any]:
    """The population, and what it is measured from."""
    with chain.engine.connect() as connection:
        numbers = connection.execute(
            select(tables.snapshot.c.body).order_by(tables.snapshot.c.day.desc(), tables.snapshot.c.version.desc())
        ).scalars()
        rolling = {tuple(row) for row in connection.execute(select(tables.rolling)) if row.value}
        days = {tuple(row) for row in connection.execute(select(tables.feature_day))}
        features = {tuple(row) for row in connection.execute(select(tables.features))}
        return {"numbers": json.loads(next(iter(numbers))), "rolling": rolling, "days": days, "features": features}


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), lives())
def test_final_classes_do_not_depend_on_the_order_of_arrival(data: st.DataObject, events: list[Event]) -> None:
    count = len(events)
    in_order = arrived(events, Plan(range(count), [True] * count, [True] * count))
    other = arrived(events, data.draw(plans(count)))
    assert other.classes() == in_order.classes()
    assert measured(other)["numbers"] == measured(in_order)["numbers"]


def mark(kind: str, at: Event) -> Event:
    mark_id, past = f"mark/{kind}", raw(Mark(name="past"))
    return Event(specversion="1.0", id=mark_id, source="cartera/import", type=kind, time=at.time, data=past)


def imported(events: Sequence[Event], sizes: Sequence[int]) -> Chain:
    """The same as the history of an import, in time order, in batches of these sizes."""
    chain = Chain(by_events=False)
    past = [replace(event, history="past") for event in events]
    records = [mark(BEGIN, events[0]), *past, mark(END, events[-1])]
    for size in [*sizes, len(records)]:
        chain.feed(*records[:size])
        records = records[size:]
    chain.tick(events[-1].time + timedelta(days=3))
    return chain


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(lives(), st.lists(st.integers(1, 5), max_size=6))
def test_histories_of_an_import_do_not_depend_on_its_batches(events: list[Event], sizes: list[int]) -> None:
    one, other = imported(events, []), imported(events, sizes)
    assert sorted(map(str, other.changes)) == sorted(map(str, one.changes))
    assert measured(other) == measured(one)
