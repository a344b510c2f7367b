"""Which event of ours a foreign name means: the shipped mapping file and the one a company adds. Read once."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from services.ingest.compatible.rules import CONTEXT, Rule, RuleError, fields, folded, sources
from services.ingest.contract import MODELS
from shared.errors import WrongSetting
from shared.events.identifiers import KINDS

SHIPPED = Path(__file__).parents[1] / "mapping.yaml"
_KEYS = frozenset({"name", "also", "type", "fields", "identifiers"})
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Meaning(NamedTuple):
    """What one foreign event means. `origins` are the places (JSON Pointers into the foreign event) behind the fields.

    `optional` fields may be left out where their values do not fit.
    """

    type: str
    fields: Mapping[str, Rule]
    identifiers: Mapping[str, Rule]
    origins: Mapping[str, str]
    optional: frozenset[str]


class Vocabulary(NamedTuple):
    """Meanings by folded name, and traits of users that are called otherwise here."""

    meanings: Mapping[str, Meaning]
    traits: Mapping[str, str]

    def meaning(self, name: str) -> Meaning | None:
        """What a track event of this name means; None for a name that is in no mapping file."""
        return self.meanings.get(folded(name))


def load(more: Path | None = None) -> Vocabulary:
    """The shipped vocabulary with a company's file on top. Raises WrongSetting with one line that names the place."""
    if more is None:
        return _shipped()
    try:
        text = more.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSetting(f"CARTERA_MAPPING_FILE: cannot read {more}: name a readable YAML file in UTF-8") from error
    try:
        added = parse(text)
    except RuleError as error:
        place = "/".join(error.place)
        raise WrongSetting(f"CARTERA_MAPPING_FILE: {more}{f' at {place}' if place else ''}: {error}") from error
    shipped = _shipped()
    return Vocabulary({**shipped.meanings, **added.meanings}, {**shipped.traits, **added.traits})


@cache
def _shipped() -> Vocabulary:
    return parse(SHIPPED.read_text("utf-8"))


def parse(text: str) -> Vocabulary:
    """The vocabulary of a mapping file. Raises RuleError."""
    try:
        document = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise RuleError(f"this is no YAML{line}") from error
    if not isinstance(document, Mapping) or document.keys() - {"events", "traits", "parts"}:
        raise RuleError("a mapping file is an object with events, traits, or both")
    return Vocabulary(_meanings(document.get("events") or []), _renamed(document.get("traits") or {}))


def _meanings(entries: object) -> dict[str, Meaning]:
    if not isinstance(entries, list):
        raise RuleError("must be a list of {name, also, type, fields, identifiers}", "events")
    found: dict[str, Meaning] = {}
    for number, entry in enumerate(entries):
        try:
            names, meaning = _entry(entry)
        except RuleError as error:
            raise error.within("events", _label(entry, number)) from error
        for name in names:
            if found.setdefault(name, meaning) is not meaning:
                raise RuleError("this name has a meaning already", "events", _label(entry, number))
    return found


def _label(entry: object, number: int) -> str:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name if isinstance(name, str) else str(number)


def _entry(entry: object) -> tuple[list[str], Meaning]:
    if not isinstance(entry, Mapping) or entry.keys() - _KEYS:
        raise RuleError(f"an event is an object of {', '.join(sorted(_KEYS))}")
    names = [entry.get("name"), *(entry.get("also") or ())]
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise RuleError("name is a text, also is a list of texts")
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in MODELS:
        raise RuleError(f"there is no type {kind!r}: use one of {', '.join(MODELS)}", "type")
    return [folded(name) for name in names], _meaning(kind, entry)


def _meaning(kind: str, entry: Mapping[str, Any]) -> Meaning:
    wanted, named = entry.get("fields") or {}, entry.get("identifiers") or {}
    known = frozenset(MODELS[kind].model_fields) - {"customer"}
    found = _fields("fields", wanted, known, f"{kind} has no such field: it has {', '.join(sorted(known))}")
    required = frozenset(name for name in known if MODELS[kind].model_fields[name].is_required())
    missing = required - found.keys()
    if missing:
        raise RuleError(f"{kind} needs {', '.join(sorted(missing))}", "fields")
    identifiers = _fields("identifiers", named, frozenset(KINDS), f"an identifier is one of {', '.join(KINDS)}")
    origins = {name: _place(paths[0]) for name in found if (paths := sources(wanted[name]))}
    return Meaning(kind, found, identifiers, origins, frozenset(found) - required)


def _place(path: str) -> str:
    inside = "" if path.startswith(CONTEXT) else "/properties"
    return f"{inside}/{path.replace('.', '/')}"


def _fields(part: str, rules: object, known: frozenset[str], unknown: str) -> dict[str, Rule]:
    try:
        found = fields(rules)
    except RuleError as error:
        raise error.within(part) from error
    for name in found:
        if name not in known:
            raise RuleError(unknown, part, name)
    return found


def _renamed(names: object) -> dict[str, str]:
    if not isinstance(names, Mapping) or not all(
        isinstance(old, str) and isinstance(new, str) and new for old, new in names.items()
    ):
        raise RuleError("must be an object of foreign names and ours", "traits")
    return dict(names)
