"""The value language of a mapping: what of a payload stands for one attribute or field of an event. Pure.

Paths and conditions are JSONPath as RFC 9535 has it.

A value is one of

- text that begins with `$` (path from the payload) or `@` (path from the part that the event is about): a JSONPath
- any other text, a number, true or false: itself
- a list: the first of its values that is there
- `{path or sum, less, as, currency, words, else}`: what a path finds, or the sum of all that it finds, converted
- `{join: [value…], with: "/"}`: texts joined; absent when one of them is
- `{each: path, fields: {target: value}}`: a list of objects

What is null, empty text, or nowhere in the payload is absent.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError

from services.ingest.sources.conversions import CONVERSIONS, decimal, minor_units

_paths = JSONPathEnvironment(strict=True)


class MappingError(ValueError):
    """A mapping that cannot be read; `place` says where in it, as path elements."""

    def __init__(self, detail: str, place: Sequence[str | int] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.place = tuple(place)


class Scope(NamedTuple):
    """Where paths begin: `$` and `@`."""

    payload: Any
    part: Any


Value = Callable[[Scope], Any]
"""Gives the value in a scope, None when it is absent. Raises ValueError when it cannot be converted."""

Place = tuple[str | int, ...]


def compiled(value: Any, place: Place) -> Value:
    """A value ready for use. Raises MappingError."""
    if isinstance(value, str) and value[:1] in ("$", "@"):
        query = path(value, place)
        return lambda scope: _first(query(scope))
    if isinstance(value, list):
        choices = [compiled(item, (*place, index)) for index, item in enumerate(value)]
        return lambda scope: next((found for one in choices if (found := one(scope)) is not None), None)
    if isinstance(value, Mapping):
        return _object(value, place)
    if value is None:
        raise MappingError("a value is text, a number, true, false, a list or an object", place)
    return lambda scope: value


def path(text: str, place: Place) -> Callable[[Scope], list[Any]]:
    """A JSONPath that begins with `$` or `@`; gives all that it finds. Raises MappingError."""
    if text[:1] not in ("$", "@"):
        raise MappingError("a path begins with $ or @", place)
    query = _query(f"${text[1:]}", place)
    if text[0] == "$":
        return lambda scope: query.findall(scope.payload)
    return lambda scope: query.findall(scope.part)


_QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def condition(text: str, place: Place, whole: bool) -> Callable[[Scope], bool]:
    """A JSONPath filter expression about `@`, such as `@.kind == 'sale' && @.paid`. Raises MappingError.

    `whole` says that the part is the payload; `$` then means the same as `@`.
    """
    pieces = _QUOTED.split(text)
    if any("$" in piece for piece in pieces[::2]):
        if not whole or any("[?" in piece for piece in pieces[::2]):
            raise MappingError("begin the paths of this condition with @", place)
        pieces[::2] = [piece.replace("$", "@") for piece in pieces[::2]]
    query = _query(f"$[?{''.join(pieces)}]", place)
    return lambda scope: bool(query.findall([scope.part]))


def _query(text: str, place: Place) -> JSONPath:
    try:
        found = _paths.compile(text)
    except JSONPathError as error:
        raise MappingError(f"this is no JSONPath (RFC 9535): {str(error).splitlines()[0]}", place) from error
    if not isinstance(found, JSONPath):
        raise MappingError("this is no single JSONPath (RFC 9535)", place)
    return found


def _first(found: list[Any]) -> Any:
    return next((value for value in found if value is not None and value != ""), None)


def _object(value: Mapping[str, Any], place: Place) -> Value:
    if "join" in value:
        return _join(value, place)
    if "each" in value:
        return _each(value, place)
    if "path" in value or "sum" in value:
        return _converted(value, place)
    raise MappingError("an object has path, sum, join or each", place)


def _only(value: Mapping[str, Any], names: Sequence[str], place: Place) -> None:
    for name in value:
        if name not in names:
            raise MappingError(f"beside these stand only {', '.join(names)}", (*place, name))


def _join(value: Mapping[str, Any], place: Place) -> Value:
    _only(value, ("join", "with"), place)
    if not isinstance(value["join"], list) or not value["join"]:
        raise MappingError("join is a list of values", (*place, "join"))
    parts = [compiled(item, (*place, "join", index)) for index, item in enumerate(value["join"])]
    between = str(value.get("with", "/"))

    def joined(scope: Scope) -> str | None:
        found = [part(scope) for part in parts]
        return None if any(one is None for one in found) else between.join(str(one) for one in found)

    return joined


def _each(value: Mapping[str, Any], place: Place) -> Value:
    _only(value, ("each", "fields"), place)
    items = path(str(value["each"]), (*place, "each"))
    inside = fields(value.get("fields"), (*place, "fields"))

    def listed(scope: Scope) -> list[dict[str, Any]] | None:
        return [inside(Scope(scope.payload, item)) for item in items(scope)] or None

    return listed


def fields(value: Any, place: Place) -> Callable[[Scope], dict[str, Any]]:
    """Targets such as `customer.email` with their values; absent ones are left out. Raises MappingError."""
    if not isinstance(value, Mapping) or not value:
        raise MappingError("fields are an object of {target: value}", place)
    targets = [(tuple(str(name).split(".")), compiled(item, (*place, name))) for name, item in value.items()]

    def built(scope: Scope) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for target, one in targets:
            found = _named(one, scope, target)
            if found is not None:
                _put(content, target, found)
        return content

    return built


def _named(one: Value, scope: Scope, target: tuple[str, ...]) -> Any:
    try:
        return one(scope)
    except UnfitError:
        raise
    except ValueError as error:
        raise UnfitError(str(error), target) from error


class UnfitError(ValueError):
    """A value of a payload that cannot be converted; `target` is the field it was for."""

    def __init__(self, detail: str, target: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.detail = detail
        self.target = target


def _put(content: dict[str, Any], target: tuple[str, ...], found: Any) -> None:
    *folders, name = target
    place = content
    for folder in folders:
        inner = place.setdefault(folder, {})
        if not isinstance(inner, dict):
            raise UnfitError("another field stands in the way", target)
        place = inner
    place[name] = found


def _converted(value: Mapping[str, Any], place: Place) -> Value:
    _only(value, ("path", "sum", "as", "words", "else", "less", "currency"), place)
    source = _sum(str(value["sum"]), (*place, "sum")) if "sum" in value else compiled(value["path"], (*place, "path"))
    if "less" in value:
        source = _less(source, compiled(value["less"], (*place, "less")))
    if "as" in value:
        source = _as(source, value, place)
    if "words" in value:
        source = _words(source, value, place)
    return source


def _sum(text: str, place: Place) -> Value:
    query = path(text, place)

    def total(scope: Scope) -> str | None:
        found = [decimal(one) for one in query(scope)]
        return format(sum(found, Decimal(0)), "f") if found else None

    return total


def _less(source: Value, other: Value) -> Value:
    def difference(scope: Scope) -> str | None:
        found = source(scope)
        return None if found is None else format(decimal(found) - decimal(other(scope) or 0), "f")

    return difference


def _as(source: Value, value: Mapping[str, Any], place: Place) -> Value:
    name = value["as"]
    if name == "minor_units":
        currency = compiled(value.get("currency"), (*place, "currency"))
        return _present(source, lambda found, scope: minor_units(found, str(currency(scope))))
    if name not in CONVERSIONS:
        known = ", ".join((*CONVERSIONS, "minor_units"))
        raise MappingError(f"as is one of {known}", (*place, "as"))
    convert = CONVERSIONS[name]
    return _present(source, lambda found, _: convert(found))


def _present(source: Value, convert: Callable[[Any, Scope], Any]) -> Value:
    def converted(scope: Scope) -> Any:
        found = source(scope)
        return None if found is None else convert(found, scope)

    return converted


def _words(source: Value, value: Mapping[str, Any], place: Place) -> Value:
    words = value["words"]
    if not isinstance(words, Mapping) or not words:
        raise MappingError("words are an object of {theirs: ours}", (*place, "words"))
    known = {str(theirs): ours for theirs, ours in words.items()}
    return _present(source, lambda found, _: known.get(str(found), value.get("else")))
