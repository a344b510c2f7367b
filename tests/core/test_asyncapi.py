"""The AsyncAPI document: well formed, current, and true to what is read and published."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema_rs import Draft7Validator

from services import composition
from services.describing.asyncapi import STATES, document
from services.describing.examples import PURCHASE, published
from services.ingest.acceptance import accept
from services.ingest.contract import MODELS
from shared.events import dead_letters, messages, profiles, segments
from shared.events.envelope import decode, encode, raw
from tests.architecture.source import ROOT

DOCUMENT = document(composition.version(), "cartera.")
TYPES = {
    profiles.UPDATED: profiles.Profile,
    segments.CHANGED: segments.SegmentChanged,
    dead_letters.REJECTED: dead_letters.DeadLetter,
    **{f"message.{state}": messages.MessageChanged for state in STATES},
}


def resolved(value: Any) -> Any:
    """The value with every reference in the place where it stands."""
    while isinstance(value, dict) and "$ref" in value:
        reference, value = value["$ref"], DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            value = value[part.replace("~1", "/").replace("~0", "~")]
    if isinstance(value, dict):
        return {name: resolved(part) for name, part in value.items()}
    return [resolved(part) for part in value] if isinstance(value, list) else value


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def test_the_file_in_the_documentation_is_current() -> None:
    found = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text("utf-8"))
    assert found == DOCUMENT, "run `cartera asyncapi > docs/asyncapi.yaml`"


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > 50
    for reference in found:
        resolved({"$ref": reference})


def test_operations_name_messages_of_their_own_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        place = operation["channel"]["$ref"]
        channel = resolved(operation["channel"])
        names = [message["$ref"].removeprefix(f"{place}/messages/") for message in operation["messages"]]
        assert names == list(channel["messages"])


def test_every_topic_is_there_by_its_full_name() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == {
        *(f"cartera.{name}" for name in ("purchases", "calls", "emails", "chats", "interactions")),
        *(f"cartera.{name}" for name in ("profiles", "segment-changes", "messages", "dead-letters")),
    }
    interactions = resolved(DOCUMENT["channels"]["interactions"]["messages"])
    assert {kind for one in interactions.values() for kind in one["payload"]["properties"]["type"]["enum"]} == set(
        MODELS
    )


MESSAGES = [(name, resolved(message)) for name, message in DOCUMENT["components"]["messages"].items()]


@pytest.mark.parametrize(("name", "message"), MESSAGES, ids=[name for name, _ in MESSAGES])
def test_the_schema_of_a_message_is_one_and_its_examples_follow_it(name: str, message: dict[str, Any]) -> None:
    validator = Draft7Validator(message["payload"], validate_formats=True)
    for example in message.get("examples", ()):
        assert [error.message for error in validator.iter_errors(example["payload"])] == []
        for broken in ({**example["payload"], "type": "other"}, {**example["payload"], "data": 1}):
            assert not validator.is_valid(broken)


@pytest.mark.parametrize("event", published().values(), ids=published())
def test_a_golden_example_is_what_the_code_writes(event: dict[str, Any]) -> None:
    read = decode(msgspec.json.encode(event))
    data = msgspec.json.decode(read.data, type=TYPES[read.type], strict=True)
    again = msgspec.structs.replace(read, data=raw(data))
    assert msgspec.json.decode(encode(again)) == event


def test_the_example_of_a_shop_is_accepted() -> None:
    assert accept(PURCHASE, datetime(2026, 1, 1, tzinfo=UTC), {}).id == PURCHASE["id"]
