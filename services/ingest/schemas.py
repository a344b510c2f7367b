"""The published JSON Schema of every type's `data`, and what in an event goes against it. Pure.

Acceptance reads more than the schemas publish: numbers in strings, words in any case. How strictly a sender is held to
the schema is decided per source. What no schema says (a usable identifier, the scale of a survey) acceptance checks.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator

from services.ingest.contract import MODELS, IdentityStated, PurchaseRefunded
from shared.errors import Fault
from shared.events.storable import pointer

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOST_VIOLATIONS = 20
"""So many are told of one event."""

VERSIONS: Mapping[str, int] = {kind: 1 for kind in MODELS}
"""The version of every type's schema. A change of a schema needs the next number and a file of its own."""


def name_of(kind: str) -> str:
    """The `$id` of a type's current schema; a sender may put it into `dataschema`."""
    return f"urn:cartera:schema:{kind}:{VERSIONS[kind]}"


@cache
def schema_of(kind: str) -> Mapping[str, Any]:
    """The current JSON Schema (2020-12) of a type's `data`; unknown fields are allowed everywhere and kept."""
    model = MODELS[kind]
    found = _plain(model.model_json_schema(mode="validation"))
    found["title"] = kind
    needed = "identifiers" if issubclass(model, IdentityStated) else "customer"
    found["required"] = [needed, *found.get("required", [])]
    if model is PurchaseRefunded:
        found["anyOf"] = [{"required": ["total"]}, {"required": ["items"]}]
    return {"$schema": DIALECT, "$id": name_of(kind), **found}


def violations(kind: str, data: object) -> tuple[Fault, ...]:
    """What goes against the published schema, by place; the texts never quote a value."""
    found = [
        Fault(error.message, "/data" + pointer(error.instance_path)) for error in _validator(kind).iter_errors(data)
    ]
    return tuple(sorted(found, key=lambda fault: (fault.pointer, fault.detail))[:MOST_VIOLATIONS])


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(dict(schema_of(kind)), validate_formats=True, mask="the value")


def _plain(schema: Any, *, names: bool = False) -> Any:
    """The same schema without titles and null defaults, alternatives of types as one list: exact places of faults.

    `names` says that the keys are names of fields, not keywords.
    """
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {name: _plain(value) for name, value in schema.items()}
    branches = schema.get("anyOf", [])
    if branches and all("type" in branch for branch in branches):
        schema = _merged(schema, branches)
    dropped = {"title", *(["default"] if schema.get("default", 0) is None else [])}
    return {
        key: _plain(value, names=key in ("properties", "$defs")) for key, value in schema.items() if key not in dropped
    }


def _merged(schema: Mapping[str, Any], branches: list[dict[str, Any]]) -> dict[str, Any]:
    """Alternatives of different types as one schema: every keyword is about one type only, but for `enum`."""
    merged = {key: value for key, value in schema.items() if key != "anyOf"}
    for branch in branches:
        merged |= {key: value for key, value in branch.items() if key != "type"}
    merged["type"] = [branch["type"] for branch in branches]
    if "enum" in merged and "null" in merged["type"]:
        merged["enum"] = [*merged["enum"], None]
    return merged
