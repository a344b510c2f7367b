"""Numbers, texts and single comparisons as closures over (the value that time changes, facts, population)."""

import math
import operator
import re
from collections.abc import Callable
from typing import Any

from services.segment.attributes import Attribute, Facts, Population
from services.segment.rules.expression import Arithmetic, Coalesce, Compare, Const, IsNull, Like, Node, Ref, varying

Scalar = Callable[[Any, Facts, Population], Any]
"""The first argument stands for the one attribute of a comparison that changes with time. Types are checked before."""

Predicate = Callable[[Any, Facts, Population], bool | None]
Leaf = Compare | IsNull | Like

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "<>": operator.ne,
}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def clock_first(node: Compare) -> Compare:
    """The same comparison with the side that time changes on the left."""
    if varying(node.right):
        return Compare(MIRRORED[node.op], node.right, node.left, node.type)
    return node


def varying_attribute(node: Node) -> Attribute | None:
    """The one attribute of a comparison that time changes."""
    return next((ref.attribute for ref in varying(node)), None)


def scalar(node: Node) -> Scalar:
    """The value of a number or text."""
    match node:
        case Const():
            return _constant(node.value)
        case Ref():
            return _slot if node.attribute.time_varying else _fixed(node.attribute)
        case Arithmetic():
            left, right = scalar(node.left), scalar(node.right)
            return _quotient(left, right) if node.op == "/" else _combined(_ARITHMETIC[node.op], left, right)
        case Coalesce():
            return _first([scalar(part) for part in node.args])
        case _:
            raise TypeError(f"{type(node).__name__} is a condition")


def predicate(node: Leaf) -> Predicate:
    """Whether a single comparison holds."""
    match node:
        case Compare():
            return _compared(OPERATORS[node.op], scalar(node.left), node.right)
        case IsNull():
            arg = scalar(node.arg)
            return lambda value, facts, population: arg(value, facts, population) is None
        case Like():
            return _matching(scalar(node.arg), pattern(node.pattern))


def pattern(like: str) -> re.Pattern[str]:
    """A LIKE pattern as a regular expression."""
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(letter) or re.escape(letter) for letter in like), re.DOTALL)


def _slot(value: Any, facts: Facts, population: Population) -> Any:
    return value


def _constant(constant: Any) -> Scalar:
    return lambda value, facts, population: constant


def _fixed(attribute: Attribute) -> Scalar:
    read = attribute.read
    return lambda value, facts, population: read(facts, 0, population)


def _combined(combine: Callable[[Any, Any], Any], left: Scalar, right: Scalar) -> Scalar:
    def compute(value: Any, facts: Facts, population: Population) -> Any:
        a, b = left(value, facts, population), right(value, facts, population)
        if a is None or b is None:
            return None
        result = combine(float(a), float(b))
        # Infinity minus infinity: SQL databases have null where IEEE has NaN.
        return None if math.isnan(result) else result

    return compute


def _quotient(left: Scalar, right: Scalar) -> Scalar:
    def compute(value: Any, facts: Facts, population: Population) -> Any:
        a, b = left(value, facts, population), right(value, facts, population)
        if a is None or not b:
            return None
        result = float(a) / float(b)
        return None if math.isnan(result) else result

    return compute


def _first(parts: list[Scalar]) -> Scalar:
    def compute(value: Any, facts: Facts, population: Population) -> Any:
        for part in parts:
            found = part(value, facts, population)
            if found is not None:
                return found
        return None

    return compute


def _compared(compare: Callable[[Any, Any], Any], left: Scalar, other: Node) -> Predicate:
    if left is _slot and isinstance(other, Const) and other.value is not None:
        return _against(compare, other.value)
    right = scalar(other)

    def holds(value: Any, facts: Facts, population: Population) -> bool | None:
        a = left(value, facts, population)
        if a is None:
            return None
        b = right(value, facts, population)
        return None if b is None else compare(a, b)

    return holds


def _against(compare: Callable[[Any, Any], Any], constant: Any) -> Predicate:
    return lambda value, facts, population: None if value is None else compare(value, constant)


def _matching(arg: Scalar, regex: re.Pattern[str]) -> Predicate:
    def holds(value: Any, facts: Facts, population: Population) -> bool | None:
        text = arg(value, facts, population)
        return None if text is None else regex.fullmatch(text) is not None

    return holds
