"""From a foreign payload to CloudEvents of ours, by the rules of a mapping. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from services.ingest.contract import MODELS
from services.ingest.sources.values import (
    MappingError,
    Scope,
    UnfitError,
    Value,
    compiled,
    condition,
    fields,
    path,
)
from shared.errors import Fault, InvalidEvent
from shared.events.storable import pointer

UNMAPPED = "unmapped"
MOST_EVENTS = 2_500
"""Events from one payload."""


class Rule(NamedTuple):
    """One kind of event that a payload may hold."""

    headers: Mapping[str, str]
    parts: Callable[[Scope], list[Any]] | None
    applies: Callable[[Scope], bool] | None
    type: Value
    id: Value
    time: Value | None
    content: Callable[[Scope], dict[str, Any]]


_WORDS = ("when", "headers", "each", "type", "id", "time", "fields")


def compiled_rules(mapping: Any) -> tuple[Rule, ...]:
    """The rules of a mapping, a list of `{when, headers, each, type, id, time, fields}`. Raises MappingError."""
    if not isinstance(mapping, list) or not mapping:
        raise MappingError("a mapping is a list of rules, at least one")
    return tuple(_rule(rule, (index,)) for index, rule in enumerate(mapping))


def _rule(rule: Any, place: tuple[str | int, ...]) -> Rule:
    if not isinstance(rule, Mapping):
        raise MappingError(f"a rule is an object of {', '.join(_WORDS)}", place)
    for name in rule:
        if name not in _WORDS:
            raise MappingError(f"a rule has only {', '.join(_WORDS)}", (*place, str(name)))
    for name in ("type", "id", "fields"):
        if name not in rule:
            raise MappingError(f"a rule needs {name}", place)
    kind = rule["type"]
    if isinstance(kind, str) and kind[:1] not in ("$", "@") and kind not in MODELS:
        raise MappingError("there is no such type: see /v1/schemas", (*place, "type"))
    return Rule(
        headers=_headers(rule.get("headers", {}), place),
        parts=path(str(rule["each"]), (*place, "each")) if "each" in rule else None,
        applies=condition(str(rule["when"]), (*place, "when"), "each" not in rule) if "when" in rule else None,
        type=compiled(kind, (*place, "type")),
        id=compiled(rule["id"], (*place, "id")),
        time=compiled(rule["time"], (*place, "time")) if "time" in rule else None,
        content=fields(rule["fields"], (*place, "fields")),
    )


def _headers(wanted: Any, place: tuple[str | int, ...]) -> dict[str, str]:
    if not isinstance(wanted, Mapping):
        raise MappingError("headers are an object of {name: value}", (*place, "headers"))
    return {str(name).lower(): str(value) for name, value in wanted.items()}


def header_names(rules: Sequence[Rule]) -> frozenset[str]:
    """The headers that rules look at, in lower case."""
    return frozenset(name for rule in rules for name in rule.headers)


Mapped = dict[str, Any] | InvalidEvent
"""A CloudEvent, or why there is none where a rule applies (`unmapped`)."""


def events_of(rules: Sequence[Rule], source: str, headers: Mapping[str, str], payload: Any) -> list[Mapped]:
    """What the rules make of a payload, nothing when none applies. Raises InvalidEvent when it is too much."""
    found: list[Mapped] = []
    for rule in rules:
        if any(headers.get(name) != value for name, value in rule.headers.items()):
            continue
        for part in rule.parts(Scope(payload, payload)) if rule.parts is not None else [payload]:
            scope = Scope(payload, part)
            if rule.applies is None or rule.applies(scope):
                found.extend(_tried(rule, source, scope))
            if len(found) > MOST_EVENTS:
                raise InvalidEvent(UNMAPPED, (Fault(f"a payload may hold at most {MOST_EVENTS} events"),))
    return found


def _tried(rule: Rule, source: str, scope: Scope) -> Sequence[Mapped]:
    try:
        return _event(rule, source, scope)
    except InvalidEvent as error:
        return [error]


def _event(rule: Rule, source: str, scope: Scope) -> list[dict[str, Any]]:
    kind = _attribute(rule.type, "type", scope)
    if kind is None:
        return []
    name = _attribute(rule.id, "id", scope)
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise InvalidEvent(UNMAPPED, (Fault("the payload has no id where the mapping looks for it", "/id"),))
    event = {"specversion": "1.0", "id": str(name), "source": source, "type": kind}
    when = _attribute(rule.time, "time", scope) if rule.time is not None else None
    if when is not None:
        event["time"] = when
    try:
        event["data"] = rule.content(scope)
    except UnfitError as error:
        place = pointer(("data", *error.target))
        raise InvalidEvent(UNMAPPED, (Fault(f"what the payload has for this {error.detail}", place),)) from error
    return [event]


def _attribute(value: Value, name: str, scope: Scope) -> Any:
    try:
        return value(scope)
    except ValueError as error:
        raise InvalidEvent(UNMAPPED, (Fault(f"what the payload has for this {error}", f"/{name}"),)) from error
