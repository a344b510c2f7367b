"""The published schemas: as they were published, never narrower, obeyed by the examples, understood by acceptance."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator, meta

from services.ingest.acceptance import accept
from services.ingest.admission import admit
from services.ingest.contract import MODELS
from services.ingest.judging import judge
from services.ingest.model import Rule
from services.ingest.schemas import VERSIONS, name_of, schema_of, violations
from shared.errors import InvalidEvent, SetAside
from tests.core.test_ingest_docs import examples

NOW = datetime(2026, 11, 25, tzinfo=UTC)
FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
PUBLISHED = sorted(FOLDER.rglob("*.json"))


def read(kind: str, version: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / kind / f"{version}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_what_was_published_stays(kind: str) -> None:
    """A change needs the next number in VERSIONS, and `cartera schemas docs/schemas` for its file."""
    assert sorted(path.name for path in (FOLDER / kind).iterdir()) == sorted(
        f"{version}.json" for version in range(1, VERSIONS[kind] + 1)
    )
    assert read(kind, VERSIONS[kind]) == schema_of(kind)
    for version in range(1, VERSIONS[kind]):
        assert list(narrower(read(kind, version), read(kind, version + 1))) == []


def test_every_schema_is_one() -> None:
    assert {path.parent.name for path in PUBLISHED} == set(MODELS)
    for path in PUBLISHED:
        schema = json.loads(path.read_text("utf-8"))
        meta.validate(schema)
        assert schema["$id"] == f"urn:cartera:schema:{path.parent.name}:{path.stem}"
    assert name_of("call.completed") == "urn:cartera:schema:call.completed:1"


@pytest.mark.parametrize("example", examples(), ids=lambda example: example["id"])
def test_the_examples_keep_to_the_schema(example: dict[str, Any]) -> None:
    assert violations(example["type"], example["data"]) == ()


def narrower(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Where something that the old schema allows is not allowed any more; only what our schemas use."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return
    yield from (f"{place}: {keyword}" for keyword in (*fewer(old, new), *tighter(old, new)))
    yield from narrower(old.get("items"), new.get("items"), f"{place}/items")
    for group in ("properties", "$defs"):
        for name, schema in old.get(group, {}).items():
            if name not in new.get(group, {}):
                yield f"{place}/{name}: gone"
            yield from narrower(schema, new.get(group, {}).get(name), f"{place}/{name}")


def fewer(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Keywords that list what is allowed and list less than before, or more of what must be there."""
    if "type" in new and not set(listed(new["type"])) >= set(listed(old.get("type", ["anything"]))):
        yield "type"
    for name in ("enum", "anyOf"):
        if name in new and not all(item in new[name] for item in old.get(name, ["anything"])):
            yield name
    if not set(old.get("required", [])) >= set(new.get("required", [])):
        yield "required"


def tighter(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Keywords that bound a value and do so more closely than before."""
    for name in ("maxLength", "maximum", "exclusiveMaximum", "maxItems"):
        if new.get(name, float("inf")) < old.get(name, float("inf")):
            yield name
    for name in ("minLength", "minimum", "exclusiveMinimum", "minItems"):
        if new.get(name, float("-inf")) > old.get(name, float("-inf")):
            yield name
    for name in ("pattern", "format", "additionalProperties"):
        if name in new and new[name] != old.get(name):
            yield name


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_a_narrower_schema_is_noticed() -> None:
    old = json.loads(json.dumps(schema_of("purchase.completed")))

    def changed(*path: str, **keywords: Any) -> list[str]:
        new = json.loads(json.dumps(old))
        place = new
        for step in path:
            place = place[step]
        place.update(keywords)
        return list(narrower(old, new))

    assert changed() == []
    assert changed("properties", fresh={"type": "string"}) == []
    assert changed("properties", "coupon", maxLength=999) == []
    assert changed(required=["customer", "order_id", "total", "currency"])
    assert changed("properties", "total", type="string")
    assert changed("properties", "coupon", maxLength=10)
    assert changed("properties", "tax", minimum=1)
    assert changed("properties", "channel", enum=["store"])
    assert changed("properties", "currency", pattern="^EUR$")
    assert changed("$defs", "Item", "properties", "sku", minLength=2)
    assert changed("properties", "customer", anyOf=[{"required": ["email"]}])
    assert changed("properties", "store_id", format="uuid")
    assert changed("$defs", "Item", required=["sku"])
    gone = json.loads(json.dumps(old))
    del gone["properties"]["coupon"]
    assert list(narrower(old, gone)) == ["/coupon: gone"]


def event(**data: Any) -> dict[str, Any]:
    content = {"customer": {"customer_id": "C-1"}, "order_id": "1", "total": "5.00", **data}
    return {"specversion": "1.0", "id": "1", "source": "shop", "type": "purchase.completed", "data": content}


LAX = {"total": " 5 ", "currency": "eur", "channel": "Store", "items": [{"quantity": "2", "colour": "red"}]}
PLACES = ["/data/channel", "/data/currency", "/data/items/0/quantity", "/data/total"]


def test_what_acceptance_reads_beyond_the_schema_is_found_by_place() -> None:
    accept(event(**LAX), NOW, {})
    found = violations("purchase.completed", event(**LAX)["data"])
    assert [fault.pointer for fault in found] == PLACES
    assert not any("eur" in fault.detail or "Store" in fault.detail.split("one of")[0] for fault in found)


def test_an_unknown_field_is_no_violation() -> None:
    assert violations("purchase.completed", event(colour={"red": 1})["data"]) == ()


def test_lenient_marks_strict_rejects_and_without_a_rule_nothing_happens() -> None:
    accepted = judge(event(**LAX), NOW, {})
    assert admit(accepted, None) is accepted
    assert admit(accepted, Rule()) is accepted
    marked = msgspec.json.decode(admit(accepted, Rule("lenient")).value)
    assert marked == {**msgspec.json.decode(accepted.value), "violations": " ".join(PLACES)}
    assert marked["data"]["items"][0]["colour"] == "red"
    with pytest.raises(InvalidEvent) as caught:
        admit(accepted, Rule("strict"))
    assert (caught.value.code, [fault.pointer for fault in caught.value.faults]) == ("schema_violation", PLACES)
    good = judge(event(), NOW, {})
    assert admit(good, Rule("strict")) is admit(good, Rule("lenient")) is good


def test_a_source_in_quarantine_is_set_aside() -> None:
    with pytest.raises(SetAside) as caught:
        admit(judge(event(), NOW, {}), Rule("lenient", quarantined=True))
    assert caught.value.code == "quarantined"


def test_a_sender_cannot_mark_an_event_himself() -> None:
    sent = {**event(), "violations": "/data/total"}
    assert b"violations" not in judge(sent, NOW, {}).value


def test_data_in_base64_is_checked_as_well() -> None:
    sent = {key: value for key, value in event(**LAX).items() if key != "data"}
    sent["data_base64"] = base64.b64encode(json.dumps(event(**LAX)["data"]).encode()).decode()
    with pytest.raises(InvalidEvent):
        admit(judge(sent, NOW, {}), Rule("strict"))


def test_a_schema_can_be_used_by_any_validator() -> None:
    validator = Draft202012Validator(read("purchase.refunded", 1))
    customer = {"customer": {"email": "a@b.es"}, "order_id": "1"}
    assert validator.is_valid({**customer, "total": 1})
    assert validator.is_valid({**customer, "items": []})
    assert not validator.is_valid(customer)
    assert not Draft202012Validator(read("purchase.refunded", 1)).is_valid({**customer, "total": 1, "customer": {}})
