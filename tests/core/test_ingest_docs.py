"""The page of events tells the truth: its examples are accepted, and every type and field is on it."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.ingest.acceptance import accept
from services.ingest.contract import MODELS, Item
from shared.events.interactions import DECODERS

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]


def examples() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for block in re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL):
        value = json.loads(block)
        found.extend(value if isinstance(value, list) else [value])
    return found


@pytest.mark.parametrize("example", examples(), ids=lambda example: example["id"])
def test_examples_are_accepted(example: dict[str, Any]) -> None:
    event = accept(example, NOW, {})
    DECODERS[event.type].decode(event.data)


def test_every_type_has_an_example() -> None:
    assert {example["type"] for example in examples()} == set(MODELS)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_every_field_is_documented(kind: str) -> None:
    if kind == "purchase.refunded":
        kind = "purchase.completed"  # the page says: as that one
    (section,) = [text for text in SECTIONS if kind in text.split("\n")[0].split(", ")]
    names = set(MODELS[kind].model_fields) - {"customer"}
    if "items" in names:
        names |= set(Item.model_fields)
    assert {name for name in names if f"`{name}`" not in section} == set()
