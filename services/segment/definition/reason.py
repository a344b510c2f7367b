"""Why a customer is in a class: the condition that holds, the one that ceased to, the values that decided. Pure."""

from typing import NamedTuple

from services.segment.attributes import Attribute, Value
from services.segment.definition.classify import Look, Result
from services.segment.definition.model import Definition, Scale
from services.segment.rules import Rule


class Left(NamedTuple):
    """The class that a customer comes from, and its condition, which ceased to hold."""

    class_: str
    rule: Rule


class Reason(NamedTuple):
    """`rule` is the condition met, empty when none is; `values` are those of all attributes that decided.

    `left` is known when its condition goes before the one that is met: there something crossed a threshold, so the
    values of its attributes are among `values`.
    """

    class_: str | None
    rule: str
    left: Left | None
    values: dict[str, object]

    @property
    def text(self) -> str:
        """One line for people: `active: purchases_count >= 1 and … (purchases_count = 5, …)`."""
        shown = ", ".join(f"{name} = {_plain(value)}" for name, value in self.values.items())
        lost = f", no longer {self.left.class_}: {self.left.rule.text}" if self.left is not None else ""
        told = f"{self.class_ or 'no class'}: {self.rule or 'no condition holds'}{lost}"
        return f"{told} ({shown})" if shown else told


def why(definition: Definition, result: Result, look: Look, left: str | None = None) -> Reason:
    """The reason of a classification; `left` names the class that the customer was in before."""
    former = left_by(definition, result.class_, left)
    scale = definition.scale
    if scale is None:
        attributes = _of_rules(definition, result.class_)
        rule = condition(definition, result.class_)
    elif scale.default is not None and result.memory is None and result.class_ is not None:
        attributes, rule, former = scale.default.rule.attributes, scale.default.rule.text, None
    else:
        attributes, rule = (scale.attribute,), _on_scale(scale, result, look)
    if former is not None:
        attributes = (*former.rule.attributes, *attributes)
    return Reason(result.class_, rule, former, {a.name: _shown(a.read(*look)) for a in attributes})


def condition(definition: Definition, class_: str | None, *, by_default: bool = False) -> str:
    """The condition of a class in words; a class of a scale may be had by its place or by default."""
    scale = definition.scale
    if class_ is None or class_ not in definition.classes:
        return ""
    if scale is None:
        rule = next(each.rule for each in definition.rules if each.name == class_)
        return "otherwise" if rule is None else rule.text
    if by_default and scale.default is not None:
        return scale.default.rule.text
    return scale.texts[scale.ladder.classes.index(class_)]


def left_by(definition: Definition, class_: str | None, left: str | None) -> Left | None:
    """The class that was left, when its condition goes before that of the class that is taken."""
    if left is None or left == class_:
        return None
    default = definition.scale.default if definition.scale is not None else None
    if default is not None and left == default.class_:
        return Left(left, default.rule)
    for each in definition.rules:
        if each.name == class_:
            return None
        if each.name == left and each.rule is not None:
            return Left(left, each.rule)
    return None


def _of_rules(definition: Definition, class_: str | None) -> tuple[Attribute, ...]:
    """The attributes of the rule that holds; when it is the last resort or none, those of all before it."""
    seen: dict[str, Attribute] = {}
    for each in definition.rules:
        if each.name == class_ and each.rule is not None:
            return each.rule.attributes
        if each.rule is not None:
            seen |= {attribute.name: attribute for attribute in each.rule.attributes}
    return tuple(seen.values())


def _on_scale(scale: Scale, result: Result, look: Look) -> str:
    if result.class_ is None or result.memory is None:
        return ""
    place = scale.ladder.classes.index(result.class_)
    text, borders, value = scale.texts[place], scale.borders(look.population), scale.attribute.read(*look)
    if borders is None or not isinstance(value, int | float) or borders.first(value) == place:
        return text
    return f"{text}, not yet left for its hysteresis or dwell"


def _shown(value: Value) -> Value:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 0.01 else f"{value:.3g}"
    return f"'{value}'" if isinstance(value, str) else str(value)
