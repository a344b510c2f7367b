"""How a field of ours is found in a foreign event: small rules, read once from YAML and compiled to functions. Pure."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple


class Told(NamedTuple):
    """What a rule may look at: the properties of an event (or of one product of it), and the event's context."""

    properties: Mapping[str, Any]
    context: Mapping[str, Any]


Rule = Callable[[Told], Any]
"""Gives a value of the event, None when it says nothing."""

CONTEXT = "context."
_FORMS = {
    frozenset({"value"}): "a constant",
    frozenset({"from", "words"}): "a word in other words",
    frozenset({"from", "times"}): "a number in another unit",
    frozenset({"sum"}): "a sum",
    frozenset({"sum", "less"}): "a sum less other amounts",
    frozenset({"each", "sum_of"}): "a sum over a list of objects, of the product of some of their fields",
    frozenset({"each", "fields"}): "a list of objects",
    frozenset({"object"}): "an object",
}
FORMS = "; ".join(f"{{{', '.join(sorted(keys))}}}: {meaning}" for keys, meaning in _FORMS.items())


class RuleError(ValueError):
    """A rule that means nothing. `place` says where in it, as path of keys."""

    def __init__(self, detail: str, *place: str) -> None:
        super().__init__(detail)
        self.place = place

    def within(self, *outer: str) -> "RuleError":
        """The same error, seen from outside."""
        return RuleError(str(self), *outer, *self.place)


def compiled(rule: object) -> Rule:
    """The function of a rule. Raises RuleError."""
    if isinstance(rule, str) and rule.strip():
        return _path(rule.strip())
    if isinstance(rule, Sequence) and not isinstance(rule, str) and rule:
        return _first_named(rule) if all(map(_is_name, rule)) else _first(_all(rule))
    if isinstance(rule, Mapping):
        return _form(rule)
    raise RuleError(f"a rule is the name of a property, a list of rules (the first that finds something), or {FORMS}")


def fields(rules: object) -> dict[str, Rule]:
    """The functions of `{field: rule}`. Raises RuleError."""
    if not isinstance(rules, Mapping):
        raise RuleError("must be an object of fields and their rules")
    found = {}
    for name, rule in rules.items():
        try:
            found[str(name)] = compiled(rule)
        except RuleError as error:
            raise error.within(str(name)) from error
    return found


def sources(rule: object) -> tuple[str, ...]:
    """The properties that a rule takes its value from, for pointers to what was wrong."""
    if isinstance(rule, str):
        return (rule.strip(),)
    if isinstance(rule, Mapping):
        return sources(rule.get("from", rule.get("each", rule.get("sum", ()))))
    return tuple(path for one in rule for path in sources(one)) if isinstance(rule, Sequence) else ()


def _form(rule: Mapping[Any, Any]) -> Rule:
    keys = frozenset(map(str, rule))
    if keys not in _FORMS:
        raise RuleError(f"an object in a rule is one of {FORMS}")
    if "value" in keys:
        return _constant(rule["value"])
    if "object" in keys:
        return _object(fields(rule["object"]))
    if "from" in keys:
        return _words(rule) if "words" in keys else _times(rule)
    if "each" in keys:
        return _sum_of(rule) if "sum_of" in keys else _each(rule)
    return _sum(_all(rule["sum"]), _all(rule.get("less", ())))


def _constant(value: object) -> Rule:
    if not isinstance(value, str | int | float):
        raise RuleError("must be a text, a number, true or false", "value")
    return lambda told: value


def _all(rules: object) -> tuple[Rule, ...]:
    if isinstance(rules, str) or not isinstance(rules, Sequence):
        raise RuleError("must be a list of rules")
    return tuple(compiled(rule) for rule in rules)


def _path(path: str) -> Rule:
    if path.startswith(CONTEXT):
        steps = path.removeprefix(CONTEXT).split(".")
        return lambda told: _follow(told.context, steps)
    if "." not in path:
        return lambda told: told.properties.get(path)
    parts = path.split(".")

    def look(told: Told) -> Any:
        found = told.properties.get(path)
        return _follow(told.properties, parts) if found is None else found

    return look


def _follow(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _is_name(rule: object) -> bool:
    return isinstance(rule, str) and rule.strip() != "" and "." not in rule


def _first_named(names: Sequence[str]) -> Rule:
    """The same as `_first` for nothing but names, which is what most rules are."""
    known = tuple(name.strip() for name in names)

    def first(told: Told) -> Any:
        properties = told.properties
        for name in known:
            found = properties.get(name)
            if found is not None and found != "":
                return found
        return None

    return first


def _first(rules: Sequence[Rule]) -> Rule:
    def first(told: Told) -> Any:
        for rule in rules:
            found = rule(told)
            if found is not None and found != "":
                return found
        return None

    return first


def _words(rule: Mapping[Any, Any]) -> Rule:
    if not isinstance(rule["words"], Mapping):
        raise RuleError("must be an object of words and what each means (null: nothing)", "words")
    look = compiled(rule["from"])
    words = {folded(str(word)): meaning for word, meaning in rule["words"].items()}

    def translated(told: Told) -> Any:
        found = look(told)
        return words.get(folded(found), found) if isinstance(found, str) else found

    return translated


def _times(rule: Mapping[Any, Any]) -> Rule:
    factor = _number(rule["times"])
    if factor is None:
        raise RuleError("must be a number", "times")
    look = compiled(rule["from"])

    def scaled(told: Told) -> Any:
        found = look(told)
        number = _number(found)
        return found if number is None else _plain(number * factor)

    return scaled


def _sum(rules: Sequence[Rule], less: Sequence[Rule]) -> Rule:
    def added(told: Told) -> Any:
        first = _number(rules[0](told)) if rules else None
        if first is None:
            return None
        more = sum((_number(rule(told)) or Decimal(0) for rule in rules[1:]), first)
        return _plain(more - sum((_number(rule(told)) or Decimal(0) for rule in less), Decimal(0)))

    return added


def _sum_of(rule: Mapping[Any, Any]) -> Rule:
    look, factors = compiled(rule["each"]), _all(rule["sum_of"])

    def added(told: Told) -> Any:
        lines = [_line(one, factors) for one in _objects(look(told), told)]
        known = [line for line in lines if line is not None]
        return _plain(sum(known, Decimal(0))) if known and len(known) == len(lines) else None

    return added


def _line(one: Told, factors: Sequence[Rule]) -> Decimal | None:
    """The product of the factors; the first must be there, each other one counts 1 when it is not."""
    product = _number(factors[0](one)) if factors else None
    for factor in factors[1:]:
        number = _number(factor(one))
        if product is not None and number is not None:
            product *= number
    return product


def _each(rule: Mapping[Any, Any]) -> Rule:
    look = compiled(rule["each"])
    try:
        build = _object(fields(rule["fields"]))
    except RuleError as error:
        raise error.within("fields") from error

    def listed(told: Told) -> Any:
        return [build(one) or {} for one in _objects(look(told), told)] or None

    return listed


def _objects(found: Any, told: Told) -> list[Told]:
    items = found if isinstance(found, list) else ()
    return [Told(item, told.context) for item in items if isinstance(item, Mapping)]


def _object(members: Mapping[str, Rule]) -> Rule:
    def built(told: Told) -> Any:
        found = {name: value for name, rule in members.items() if (value := rule(told)) is not None}
        return found or None

    return built


def folded(name: str) -> str:
    """A name or a word as it is compared: without regard to case and to how many spaces there are."""
    return " ".join(name.split()).casefold()


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    try:
        found = Decimal(text) if len(text) <= 40 else Decimal("nan")
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < 40 else None


def _plain(number: Decimal) -> str:
    return format(number, "f")
