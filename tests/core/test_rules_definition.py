"""Definitions: read strictly, classified, explained; the four that are shipped."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from services.segment import definition as package
from services.segment.attributes import Facts
from services.segment.definition import (
    Definition,
    DefinitionError,
    Look,
    Memory,
    Reason,
    Result,
    needs,
    parse,
    population,
    to_dict,
    why,
)
from services.segment.definition import classify as classify_look
from shared.events.times import from_ms, to_ms

SHIPPED = Path(package.__file__).parents[1] / "shipped"
NOW = datetime(2026, 5, 25, 9, 15, tzinfo=UTC)
MS = to_ms(NOW)
DAY = 86_400_000
TODAY = MS // DAY
RULES: dict[str, Any] = {"segmentation": "s", "classes": [{"name": "a", "when": "reachable"}, {"name": "rest"}]}
LADDER: dict[str, Any] = {"attribute": "revenue_91d", "steps": [10, 20], "classes": ["x", "y", "z"]}
SHARE: dict[str, Any] = {"attribute": "revenue_365d", "cuts": ["80%", "95%"], "classes": ["A", "B", "C"]}


def shipped(name: str) -> Definition:
    return parse(yaml.safe_load((SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")))


def classify(
    definition: Definition, memory: Memory | None, facts: Facts, at: datetime, numbers: Mapping[str, float]
) -> Result:
    return classify_look(definition, memory, Look(facts, to_ms(at), numbers))


def reason(
    definition: Definition,
    result: Result,
    facts: Facts,
    left: str | None = None,
    numbers: Mapping[str, float] | None = None,
) -> Reason:
    return why(definition, result, Look(facts, MS, numbers or {}), left)


def ladder(**changes: object) -> dict[str, object]:
    return {"segmentation": "s", "ladder": {**LADDER, **changes}}


def share(**changes: object) -> dict[str, object]:
    return {"segmentation": "s", "share": {**SHARE, **changes}}


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({}, "/segmentation"),
        ({"segmentation": "s"}, ""),
        ({**RULES, "ladder": LADDER}, ""),
        ({**RULES, "segmentation": "a b"}, "/segmentation"),
        ({**RULES, "extra/field": 1}, "/extra~1field"),
        ({"segmentation": "s", "classes": []}, "/classes"),
        ({"segmentation": "s", "classes": [{"name": "", "when": "true"}]}, "/classes/0/name"),
        ({"segmentation": "s", "classes": [{"name": "a"}, {"name": "b"}]}, "/classes/0/when"),
        ({"segmentation": "s", "classes": [{"name": "a", "when": "reachable"}] * 2}, "/classes/1/name"),
        ({"segmentation": "s", "classes": [{"name": "a", "when": "foo"}]}, "/classes/0/when"),
        ({"segmentation": "s", "classes": [{"name": "a", "if": "reachable"}]}, "/classes/0/if"),
        (ladder(attribute="foo"), "/ladder/attribute"),
        (ladder(attribute="reachable"), "/ladder/attribute"),
        (ladder(steps=[20, 10]), "/ladder/steps/1"),
        (ladder(steps=[10, "20"]), "/ladder/steps/1"),
        (ladder(steps=[10, True]), "/ladder/steps/1"),
        (ladder(classes=["x", "y"]), "/ladder/classes"),
        (ladder(classes=["x", "y", "x"]), "/ladder/classes/2"),
        (ladder(hysteresis="20"), "/ladder/hysteresis"),
        (ladder(hysteresis="120%"), "/ladder/hysteresis"),
        (ladder(dwell="14"), "/ladder/dwell"),
        (ladder(dwell="0.5ms"), "/ladder/dwell"),
        (ladder(default={"when": "reachable", "class": "q"}), "/ladder/default/class"),
        (ladder(default={"when": "foo > 1", "class": "x"}), "/ladder/default/when"),
        (share(cuts=["95%", "80%"]), "/share/cuts/1"),
        (share(cuts=["80%", "100%"]), "/share/cuts"),
        (share(hysteresis="80%"), "/share/cuts"),
        (share(cuts=[80, 95]), "/share/cuts/0"),
    ],
)
def test_faults_have_their_place(document: Mapping[str, object], pointer: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse(document)
    assert caught.value.pointer == pointer


def test_a_fault_in_a_rule_has_its_character() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse({"segmentation": "s", "classes": [{"name": "a", "when": "reachable and foo"}]})
    assert caught.value.position == 15
    assert str(caught.value) == "/classes/0/when at character 15: unknown attribute foo"


@pytest.mark.parametrize(
    "document",
    [
        RULES,
        {**RULES, "description": "Who is who"},
        ladder(hysteresis="12.5%", dwell="36h", default={"when": "purchases_count = 0", "class": "y"}),
        ladder(attribute="scores.churn"),
        share(hysteresis="2%", dwell="90s"),
    ],
)
def test_a_document_survives_the_round_trip(document: Mapping[str, object]) -> None:
    assert to_dict(parse(document)) == document
    assert parse(to_dict(parse(document))) == parse(document)


def test_yaml_true_is_a_rule() -> None:
    everybody = parse({"segmentation": "s", "classes": [{"name": "all", "when": True}]})
    assert classify(everybody, None, Facts(), NOW, {}).class_ == "all"


REGULAR = Facts(
    purchases=5,
    last_purchase=MS - 12 * DAY,
    first_purchase=MS - 200 * DAY,
    gap_q90=30.0,
    reachable=True,
    purchase_days=5,
)


@pytest.mark.parametrize(
    ("facts", "class_", "due"),
    [
        (REGULAR, "current", MS + 18 * DAY + 1),
        (Facts(contract_active=True), "current", None),
        (Facts(purchases=2, last_purchase=MS - 10 * DAY), "active", MS + 170 * DAY),
        (Facts(purchases=2, last_purchase=MS - 180 * DAY), "inactive", None),
        (Facts(interests=1, interest_days=(TODAY - 9,), interest_counts=(1,)), "potential", (TODAY + 81) * DAY),
        (
            Facts(
                interests=1,
                interest_days=(TODAY,),
                interest_counts=(1,),
                traits={"income_band_rank": 0},
                reachable=True,
            ),
            "probable",
            None,
        ),
        (Facts(), None, None),
    ],
)
def test_status(facts: Facts, class_: str | None, due: int | None) -> None:
    result = classify(shipped("status"), None, facts, NOW, {})
    assert (result.class_, result.next_due, result.memory) == (class_, None if due is None else from_ms(due), None)


def test_a_customer_who_does_nothing_goes_through_his_classes_at_exact_moments() -> None:
    status, at, seen = shipped("status"), NOW, []
    while True:
        result = classify(status, None, REGULAR, at, {})
        seen.append((result.class_, at))
        if result.next_due is None:
            break
        at = result.next_due
    last = NOW - timedelta(days=12)
    assert seen == [
        ("current", NOW),
        ("active", last + timedelta(days=30, milliseconds=1)),
        ("inactive", last + timedelta(days=180)),
    ]


def test_the_reason_is_told() -> None:
    active, status = Facts(purchases=2, last_purchase=MS - 1_071_360_000), shipped("status")
    told = reason(status, classify(status, None, active, NOW, {}), active)
    assert told.values == {"purchases_count": 2, "days_since_last_purchase": 12.4}
    assert told.text == (
        "active: purchases_count >= 1 and days_since_last_purchase < 180 "
        "(purchases_count = 2, days_since_last_purchase = 12.4)"
    )
    nobody = reason(status, classify(status, None, Facts(), NOW, {}), Facts())
    assert nobody.text.startswith("no class: no condition holds (contract_active = false, purchases_count = 0")
    rest = reason(parse(RULES), classify(parse(RULES), None, Facts(), NOW, {}), Facts())
    assert (rest.class_, rest.rule, rest.values) == ("rest", "otherwise", {"reachable": False})


def test_the_reason_holds_what_ceased_to_be_true() -> None:
    status, lapsed = shipped("status"), Facts(purchases=5, last_purchase=MS - 180 * DAY, gap_q90=30.0)
    result = classify(status, None, lapsed, NOW, {})
    told = reason(status, result, lapsed, "active")
    assert (told.class_, told.values) == ("inactive", {"purchases_count": 5, "days_since_last_purchase": 180})
    assert told.text == (
        "inactive: purchases_count >= 1, no longer active: purchases_count >= 1 and days_since_last_purchase < 180 "
        "(purchases_count = 5, days_since_last_purchase = 180)"
    )
    assert set(reason(status, result, lapsed, "current").values) == {
        "contract_active",
        "purchases_count",
        "days_since_last_purchase",
        "usual_gap_days_q90",
    }
    # What comes after the rule that holds now says nothing: it may well hold still.
    assert reason(status, result, lapsed, "probable").values == {"purchases_count": 5}
    assert reason(status, result, lapsed, "inactive").left is None


def test_who_leaves_the_default_of_a_ladder_is_told_why() -> None:
    frequency, middle = shipped("frequency"), {"median:usual_gap_days_median": 10.0}
    known = Facts(purchases=4, purchase_days=4, gaps=3, gap_median=10.0, gap_log=2.302585092994046)
    told = reason(frequency, classify(frequency, None, known, NOW, middle), known, "occasional", middle)
    assert told.class_ == "regular"
    assert told.values == {"purchase_days": 4, "usual_gap_to_median": pytest.approx(1)}


def spender(*amounts: tuple[int, int]) -> Facts:
    days = tuple(TODAY - ago for ago, _ in amounts)
    ones = tuple(1 for _ in amounts)
    return Facts(purchases=len(amounts), days=days, counts=ones, revenues=tuple(minor for _, minor in amounts))


def test_volume_waits_for_its_dwell_and_foresees_the_window() -> None:
    volume, mean = shipped("volume"), {"mean:revenue_91d": 100.0}
    first = classify(volume, None, spender((80, 10_000), (1, 5_000)), NOW, mean)
    assert (first.class_, first.next_due) == ("high", from_ms((TODAY - 80 + 91) * DAY))
    assert first.next_due is not None
    falling = classify(volume, first.memory, spender((80, 10_000), (1, 5_000)), first.next_due, mean)
    assert (falling.class_, falling.next_due) == ("high", first.next_due + timedelta(days=14))
    assert falling.next_due is not None
    look = Look(spender((80, 10_000), (1, 5_000)), to_ms(first.next_due), mean)
    assert "not yet left" in why(volume, falling, look).rule
    fallen = classify(volume, falling.memory, spender((80, 10_000), (1, 5_000)), falling.next_due, mean)
    assert (fallen.class_, fallen.memory) == ("average", Memory("average"))
    assert (
        why(volume, fallen, look).text == "average: 0.5 <= revenue_91d_to_average < 1.25 (revenue_91d_to_average = 0.5)"
    )


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("days_since_last_purchase", "cannot be shared out"),
        ("revenue_91d_to_average", "cannot be shared out"),
        ("usual_gap_days", "cannot be shared out"),
        ("traits.a:b", "colon"),
    ],
)
def test_only_amounts_of_the_customers_own_are_shared_out(attribute: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        parse(share(attribute=attribute))
    assert caught.value.pointer == "/share/attribute"
    assert parse(share(attribute="traits.value")).scale is not None


def test_no_volume_without_a_purchase_or_a_population() -> None:
    volume = shipped("volume")
    assert classify(volume, None, Facts(), NOW, {"mean:revenue_91d": 100.0}).class_ is None
    assert classify(volume, None, spender((1, 100)), NOW, {}).class_ is None
    assert classify(volume, None, spender((100, 100)), NOW, {"mean:revenue_91d": 100.0}).class_ == "low"


def test_frequency_is_occasional_until_enough_is_known() -> None:
    frequency, middle = shipped("frequency"), {"median:usual_gap_days_median": 10.0}
    daily = Facts(purchase_days=10, gaps=9, gap_median=1.0, gap_log=0.0, purchases=10)
    assert classify(frequency, None, daily, NOW, middle).class_ == "frequent"
    few = classify(frequency, None, replace(daily, purchase_days=3), NOW, middle)
    assert (few.class_, few.memory) == ("occasional", None)
    assert reason(frequency, few, replace(daily, purchase_days=3), None, middle).values == {"purchase_days": 3}
    assert classify(frequency, None, Facts(), NOW, middle).class_ is None


def test_pareto_has_hysteresis_in_points_of_the_total() -> None:
    pareto = shipped("pareto")
    values = [float(amount) for amount in range(100, 0, -1)]
    numbers = population({"revenue_365d": values}, needs(pareto))
    plain, up, down = (numbers[f"cut:revenue_365d:0.{cut}"] for cut in (80, 78, 82))
    assert up > plain > down

    def class_of(value: float, held: str | None) -> str | None:
        memory = None if held is None else Memory(held)
        return classify(pareto, memory, spender((1, round(value * 100))), NOW, numbers).class_

    assert [class_of(plain, None), class_of(plain - 1, None)] == ["A", "B"]
    assert [class_of(plain, "B"), class_of(up, "B")] == ["B", "A"]
    assert [class_of(down, "A"), class_of(down - 1, "A")] == ["A", "B"]
    assert [class_of(0, None), class_of(-5, "A")] == ["C", "C"]
    assert classify(pareto, None, Facts(), NOW, numbers).class_ is None
    assert classify(pareto, None, spender((1, 100)), NOW, {}).class_ is None


def test_a_ladder_on_the_running_clock_foresees_its_moments() -> None:
    waiting = parse(
        {
            "segmentation": "s",
            "ladder": {
                "attribute": "days_since_last_purchase",
                "steps": [0.0001, 2],
                "classes": ["new", "fresh", "old"],
            },
        }
    )
    facts, at, memory, seen = Facts(last_purchase=MS), NOW, None, []
    while True:
        result = classify(waiting, memory, facts, at, {})
        memory = result.memory
        seen.append((result.class_, to_ms(at) - MS))
        if result.next_due is None:
            break
        at = result.next_due
    assert seen == [("new", 0), ("fresh", 8_640), ("old", 2 * DAY)]


def test_population_numbers_do_not_depend_on_the_order() -> None:
    needed = {"mean:a", "median:a", "median:b", "cut:a:0.80", "mean:c"}
    values: dict[str, list[float]] = {"a": [0.1, 0.2, 0.3, 0.0, -1.0, 7.7], "b": [3, 1]}
    numbers = population(values, needed)
    assert numbers == {"mean:a": 2.075, "median:a": pytest.approx(0.15), "median:b": 2.0, "cut:a:0.80": 7.7}
    assert population({name: each[::-1] for name, each in values.items()}, needed) == numbers


def test_needs_of_the_shipped_definitions() -> None:
    assert needs(shipped("status")) == frozenset()
    assert needs(shipped("volume")) == {"mean:revenue_91d"}
    assert needs(shipped("frequency")) == {"median:usual_gap_days_median"}
    cuts = ("0.78", "0.80", "0.82", "0.93", "0.95", "0.97")
    assert needs(shipped("pareto")) == {f"cut:revenue_365d:{cut}" for cut in cuts}
    for path in SHIPPED.glob("*.yaml"):
        assert shipped(path.stem).name == path.stem
