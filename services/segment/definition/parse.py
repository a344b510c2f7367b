"""Definitions from documents (YAML or JSON, already read) and back: strict, every fault with its place."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from services.segment.attributes import CATALOGUE, Attribute, Type, Varies, dynamic
from services.segment.definition.model import ClassRule, Default, Definition, Scale
from services.segment.definition.population import cut_key
from services.segment.definition.values import (
    DefinitionError,
    duration,
    fields,
    items,
    name_of,
    number,
    percent,
    show_duration,
    show_number,
    show_percent,
    text,
    unique,
)
from services.segment.ladder import Ladder, widened
from services.segment.rules import Rule, RuleError, compile_python
from services.segment.rules import parse as parse_rule

__all__ = ["DefinitionError", "parse", "to_dict"]

Document = Mapping[str, object]


def parse(document: Document) -> Definition:
    """A definition from its document. Raises DefinitionError."""
    body = fields(document, "", required=("segmentation",), optional=("description", *_KINDS))
    name = name_of(body["segmentation"], "/segmentation")
    description = text(body["description"], "/description") if "description" in body else None
    kinds = [kind for kind in _KINDS if kind in body]
    if len(kinds) != 1:
        raise DefinitionError("write exactly one of classes, ladder or share", "")
    return _KINDS[kinds[0]](name, description, body[kinds[0]])


def _rules(name: str, description: str | None, value: object) -> Definition:
    entries = items(value, "/classes")
    rules = tuple(
        _class_rule(entry, f"/classes/{place}", place == len(entries) - 1) for place, entry in enumerate(entries)
    )
    classes = unique([each.name for each in rules], "/classes", "/name")
    return Definition(name, "rules", classes, rules=rules, description=description)


def _class_rule(value: object, pointer: str, last: bool) -> ClassRule:
    body = fields(value, pointer, required=("name",), optional=("when",))
    name = name_of(body["name"], f"{pointer}/name")
    if "when" not in body:
        if not last:
            raise DefinitionError("only the last class may be without a condition", f"{pointer}/when")
        return ClassRule(name, None)
    return ClassRule(name, _rule(body["when"], f"{pointer}/when"))


def _rule(value: object, pointer: str) -> Rule:
    # YAML reads `when: true` as a boolean.
    source = str(value).lower() if isinstance(value, bool) else text(value, pointer)
    try:
        return compile_python(parse_rule(source))
    except RuleError as error:
        raise DefinitionError(error.message, pointer, error.position) from None


def _ladder(name: str, description: str | None, value: object) -> Definition:
    optional = ("hysteresis", "dwell", "default")
    body = fields(value, "/ladder", required=("attribute", "steps", "classes"), optional=optional)
    attribute = _attribute(body["attribute"], "/ladder/attribute")
    steps = tuple(number(each, f"/ladder/steps/{n}") for n, each in enumerate(items(body["steps"], "/ladder/steps")))
    _ascending(steps, "/ladder/steps")
    classes = _classes(body["classes"], "/ladder/classes", len(steps))
    hysteresis = percent(body.get("hysteresis", "0%"), "/ladder/hysteresis")
    scale = Scale(
        attribute,
        Ladder(classes, duration(body.get("dwell", "0s"), "/ladder/dwell")),
        _step_texts(attribute.name, steps),
        hysteresis,
        default=_default(body, "/ladder/default", classes),
        fixed=widened(steps, float(hysteresis)),
    )
    return Definition(name, "ladder", classes, scale=scale, description=description)


def _share(name: str, description: str | None, value: object) -> Definition:
    optional = ("hysteresis", "dwell", "default")
    body = fields(value, "/share", required=("attribute", "cuts", "classes"), optional=optional)
    attribute = _summable(_attribute(body["attribute"], "/share/attribute"), "/share/attribute")
    cuts = tuple(percent(each, f"/share/cuts/{n}") for n, each in enumerate(items(body["cuts"], "/share/cuts")))
    _ascending(cuts, "/share/cuts")
    classes = _classes(body["classes"], "/share/classes", len(cuts))
    hysteresis = percent(body.get("hysteresis", "0%"), "/share/hysteresis")
    if not (hysteresis < cuts[0] and cuts[-1] < 1):
        raise DefinitionError("cuts must lie between the hysteresis and 100%", "/share/cuts")
    rising = cuts[::-1]
    sides = (
        rising,
        tuple(cut - hysteresis for cut in rising),
        tuple(min(cut + hysteresis, Fraction(1)) for cut in rising),
    )
    scale = Scale(
        attribute,
        Ladder(classes[::-1], duration(body.get("dwell", "0s"), "/share/dwell")),
        _share_texts(attribute.name, [show_percent(cut) for cut in cuts])[::-1],
        hysteresis,
        default=_default(body, "/share/default", classes),
        cuts=cuts,
        keys=tuple(tuple(cut_key(attribute.name, cut) for cut in side) for side in sides),
    )
    return Definition(name, "share", classes, scale=scale, description=description)


_KINDS: dict[str, Callable[[str, str | None, object], Definition]] = {
    "classes": _rules,
    "ladder": _ladder,
    "share": _share,
}


def _attribute(value: object, pointer: str) -> Attribute:
    name = text(value, pointer)
    family, _, member = name.partition(".")
    if member and family in ("traits", "scores"):
        return dynamic(family, member, Type.NUMBER)
    found = CATALOGUE.get(name)
    if found is None:
        raise DefinitionError(f"unknown attribute {name}", pointer)
    if found.type is not Type.NUMBER:
        raise DefinitionError(f"{name} is a {found.type.value}, but a number is needed here", pointer)
    return found


def _summable(attribute: Attribute, pointer: str) -> Attribute:
    """An attribute of which the whole has a total that is measured at the close of a day."""
    if attribute.varies is Varies.CLOCK or attribute.needs:
        raise DefinitionError(f"{attribute.name} cannot be shared out: it is no amount of the customer's own", pointer)
    if ":" in attribute.name:
        raise DefinitionError("a trait or score with a colon in its name cannot be shared out", pointer)
    return attribute


def _classes(value: object, pointer: str, borders: int) -> tuple[str, ...]:
    names = [name_of(each, f"{pointer}/{place}") for place, each in enumerate(items(value, pointer))]
    if len(names) != borders + 1:
        raise DefinitionError(f"{borders} borders part {borders + 1} classes, not {len(names)}", pointer)
    return unique(names, pointer, "")


def _ascending(values: Sequence[Fraction | float], pointer: str) -> None:
    for place in range(1, len(values)):
        if not values[place - 1] < values[place]:
            raise DefinitionError("must be greater than the one before", f"{pointer}/{place}")


def _default(body: Document, pointer: str, classes: Sequence[str]) -> Default | None:
    if "default" not in body:
        return None
    inner = fields(body["default"], pointer, required=("when", "class"), optional=())
    class_ = text(inner["class"], f"{pointer}/class")
    if class_ not in classes:
        raise DefinitionError(f"{class_} is none of the classes", f"{pointer}/class")
    return Default(_rule(inner["when"], f"{pointer}/when"), class_)


def _step_texts(name: str, steps: Sequence[float]) -> tuple[str, ...]:
    shown = [show_number(step) for step in steps]
    inner = (f"{low} <= {name} < {high}" for low, high in pairwise(shown))
    return (f"{name} < {shown[0]}", *inner, f"{name} >= {shown[-1]}")


def _share_texts(name: str, cuts: Sequence[str]) -> tuple[str, ...]:
    inner = (f"{name} between {low} and {high} of the total" for low, high in pairwise(cuts))
    return (
        f"{name} among the highest that make {cuts[0]} of the total",
        *inner,
        f"{name} beyond {cuts[-1]} of the total",
    )


def to_dict(definition: Definition) -> dict[str, object]:
    """The document of a definition: reading it again gives an equal definition."""
    head: dict[str, object] = {"segmentation": definition.name}
    if definition.description is not None:
        head["description"] = definition.description
    scale = definition.scale
    if scale is None:
        return {**head, "classes": [_class_document(each) for each in definition.rules]}
    borders: dict[str, object] = (
        {"cuts": [show_percent(cut) for cut in scale.cuts]}
        if scale.fixed is None
        else {"steps": list(scale.fixed.plain)}
    )
    body = {"attribute": scale.attribute.name, **borders, "classes": list(definition.classes)}
    if scale.hysteresis:
        body["hysteresis"] = show_percent(scale.hysteresis)
    if scale.ladder.dwell:
        body["dwell"] = show_duration(scale.ladder.dwell)
    if scale.default is not None:
        body["default"] = {"when": scale.default.rule.text, "class": scale.default.class_}
    return {**head, definition.kind: body}


def _class_document(each: ClassRule) -> dict[str, object]:
    return {"name": each.name} if each.rule is None else {"name": each.name, "when": each.rule.text}
