"""From text to a checked tree: sqlglot reads the SQL, what is not in the language is refused with its place."""

import difflib
import math
from collections.abc import Callable
from typing import TypeVar

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from services.segment.attributes import CATALOGUE, Type, dynamic
from services.segment.rules.errors import RuleError
from services.segment.rules.expression import (
    And,
    Arithmetic,
    Coalesce,
    Compare,
    Const,
    Expression,
    IsNull,
    Like,
    Node,
    Not,
    Or,
    Ref,
)
from services.segment.rules.varying import check_varying

MAX_LENGTH = 4_000
MAX_DEPTH = 40
FAMILIES = ("traits", "scores")

_COMPARE: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_CONDITIONS = (*_COMPARE, exp.And, exp.Or, exp.Not, exp.In, exp.Between, exp.Is, exp.Like, exp.Boolean)


def parse(text: str) -> Expression:
    """A rule from its text. Raises RuleError."""
    if len(text) > MAX_LENGTH:
        raise RuleError(f"the rule is longer than {MAX_LENGTH} characters", MAX_LENGTH + 1)
    if "\0" in text:
        raise RuleError("a NUL character is not allowed", text.index("\0") + 1)
    return Expression(text, _build(_read(text), Type.FLAG, 0))


def _read(text: str) -> exp.Expr:
    try:
        return sqlglot.parse_one(text, into=exp.Condition)
    except ParseError as error:
        raise RuleError("this is not a condition", _place(text, error)) from None
    except TokenError:
        raise RuleError("this is not a condition: a quotation mark is not closed", _open_quote(text)) from None
    except RecursionError:
        raise RuleError("the rule is nested too deeply", 1) from None


def _place(text: str, error: ParseError) -> int:
    details = error.errors[0] if error.errors else {}
    line, column = details.get("line"), details.get("col")
    if not line or not column:
        return 1
    before = sum(len(each) + 1 for each in text.split("\n")[: line - 1])
    return max(1, before + int(column) - len(str(details.get("highlight") or " ")) + 1)


def _open_quote(text: str) -> int:
    return max(text.rfind("'"), text.rfind('"'), 0) + 1


def _position(node: exp.Expr) -> int:
    starts = [int(part.meta["start"]) for part in node.walk() if "start" in part.meta]
    return min(starts, default=0) + 1


def _infer(node: exp.Expr) -> Type | None:
    """The type a part has by itself; None for null and for traits, which take the type of what they meet."""
    node = node.unnest()
    if isinstance(node, exp.Column):
        family, name = _names(node)
        return CATALOGUE[name].type if not family and name in CATALOGUE else None
    if isinstance(node, exp.Literal):
        return Type.TEXT if node.is_string else Type.NUMBER
    if isinstance(node, exp.Coalesce):
        return next((kind for part in (node.this, *node.expressions) if (kind := _infer(part))), None)
    if isinstance(node, exp.Neg | exp.Add | exp.Sub | exp.Mul | exp.Div):
        return Type.NUMBER
    return Type.FLAG if isinstance(node, _CONDITIONS) else None


def _shared_type(parts: list[exp.Expr]) -> Type:
    known = next((kind for part in parts if (kind := _infer(part))), None)
    if known is None:
        for part in parts:
            if next(part.find_all(exp.Column), None) is not None:
                raise RuleError(
                    f"the type of {part.sql()} is not known here: compare it with a literal, or use coalesce",
                    _position(part),
                )
    return known or Type.TEXT


def _build(node: exp.Expr, wanted: Type, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise RuleError("the rule is nested too deeply", _position(node))
    while isinstance(node, exp.Paren):
        node = node.this
    for kinds, build in _BUILDERS:
        if isinstance(node, kinds):
            return build(node, wanted, depth + 1)
    raise RuleError(f"{node.sql()[:40]} is not part of the rule language", _position(node))


def _expect(node: exp.Expr, found: Type, wanted: Type) -> None:
    if wanted not in (found, Type.ANY):
        raise RuleError(f"{node.sql()[:40]} is a {found.value}, but a {wanted.value} is needed here", _position(node))


def _names(node: exp.Column) -> tuple[str, str]:
    family = node.table.lower()
    return (family, node.name) if family else ("", node.name if node.this.quoted else node.name.lower())


def _column(node: exp.Column, wanted: Type, depth: int) -> Node:
    family, name = _names(node)
    position = _position(node)
    if isinstance(node.this, exp.Star) or node.args.get("db"):
        raise RuleError(f"unknown attribute {node.sql()}", position)
    if family in FAMILIES:
        if '"' in name or "\\" in name:
            raise RuleError(f'the name of a member of {family} cannot contain " or \\', position)
        return Ref(dynamic(family, name, wanted), position)
    attribute = CATALOGUE.get(name) if not family else None
    if attribute is None:
        raise RuleError(f"unknown attribute {node.sql()}{_suggestion(name)}", position)
    _expect(node, attribute.type, wanted)
    return Ref(attribute, position)


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _literal(node: exp.Literal, wanted: Type, depth: int) -> Node:
    kind = Type.TEXT if node.is_string else Type.NUMBER
    _expect(node, kind, wanted)
    if node.is_string:
        return Const(str(node.this), kind)
    number = float(node.this)
    if not math.isfinite(number):
        raise RuleError("the number is too large", _position(node))
    return Const(number, kind)


def _boolean(node: exp.Boolean, wanted: Type, depth: int) -> Node:
    _expect(node, Type.FLAG, wanted)
    return Const(bool(node.this), Type.FLAG)


def _null(node: exp.Null, wanted: Type, depth: int) -> Node:
    return Const(None, Type.TEXT if wanted is Type.ANY else wanted)


def _arithmetic(node: exp.Binary, wanted: Type, depth: int) -> Node:
    _expect(node, Type.NUMBER, wanted)
    left, right = _build(node.left, Type.NUMBER, depth), _build(node.right, Type.NUMBER, depth)
    return Arithmetic(_ARITHMETIC[type(node)], left, right)


def _negative(node: exp.Neg, wanted: Type, depth: int) -> Node:
    _expect(node, Type.NUMBER, wanted)
    inner = _build(node.this, Type.NUMBER, depth)
    if isinstance(inner, Const) and isinstance(inner.value, float):
        return Const(-inner.value, Type.NUMBER)
    return Arithmetic("-", Const(0.0, Type.NUMBER), inner)


def _coalesce(node: exp.Coalesce, wanted: Type, depth: int) -> Node:
    parts = [node.this, *node.expressions]
    kind = _shared_type(parts) if wanted is Type.ANY else wanted
    return Coalesce(tuple(_build(part, kind, depth) for part in parts))


def _compare(node: exp.Binary, wanted: Type, depth: int) -> Node:
    _expect(node, Type.FLAG, wanted)
    kind = _shared_type([node.left, node.right])
    op = _COMPARE[type(node)]
    if kind is Type.FLAG and op not in ("=", "<>"):
        raise RuleError("booleans can only be compared with = and <>", _position(node))
    return _leaf(Compare(op, _build(node.left, kind, depth), _build(node.right, kind, depth), kind))


def _in(node: exp.In, wanted: Type, depth: int) -> Node:
    _expect(node, Type.FLAG, wanted)
    if not node.expressions:
        raise RuleError("in needs a list of values", _position(node))
    kind = _shared_type([node.this, *node.expressions])
    value = _build(node.this, kind, depth)
    return _either([_leaf(Compare("=", value, _build(each, kind, depth), kind)) for each in node.expressions])


def _either(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))


def _between(node: exp.Between, wanted: Type, depth: int) -> Node:
    _expect(node, Type.FLAG, wanted)
    low, high = node.args["low"], node.args["high"]
    kind = _shared_type([node.this, low, high])
    if kind is Type.FLAG or node.args.get("symmetric"):
        raise RuleError("between needs numbers or texts", _position(node))
    value = _build(node.this, kind, depth)
    above = _leaf(Compare(">=", value, _build(low, kind, depth), kind))
    return And((above, _leaf(Compare("<=", value, _build(high, kind, depth), kind))))


def _is(node: exp.Is, wanted: Type, depth: int) -> Node:
    _expect(node, Type.FLAG, wanted)
    if isinstance(node.expression, exp.Null):
        return _leaf(IsNull(_build(node.this, _infer(node.this) or Type.ANY, depth)))
    if not isinstance(node.expression, exp.Boolean):
        raise RuleError("is can be followed by null, true or false only", _position(node))
    flag = _build(node.this, Type.FLAG, depth)
    return Coalesce((flag if node.expression.this else Not(flag), Const(False, Type.FLAG)))


def _like(node: exp.Like, wanted: Type, depth: int) -> Node:
    _expect(node, Type.FLAG, wanted)
    if not (isinstance(node.expression, exp.Literal) and node.expression.is_string):
        raise RuleError("like needs a pattern in single quotes", _position(node))
    like = _leaf(Like(_build(node.this, Type.TEXT, depth), str(node.expression.this)))
    return Not(like) if node.args.get("negate") else like


def _not(node: exp.Not, wanted: Type, depth: int) -> Node:
    _expect(node, Type.FLAG, wanted)
    return Not(_build(node.this, Type.FLAG, depth))


def _chain(node: exp.Expr, wanted: Type, depth: int) -> Node:
    _expect(node, Type.FLAG, wanted)
    args = tuple(_build(part, Type.FLAG, depth) for part in node.flatten())
    return And(args) if isinstance(node, exp.And) else Or(args)


NodeT = TypeVar("NodeT", Compare, IsNull, Like)


def _leaf(node: NodeT) -> NodeT:
    check_varying(node)
    return node


_BUILDERS: tuple[tuple[type[exp.Expr] | tuple[type[exp.Expr], ...], Callable[..., Node]], ...] = (
    (exp.Column, _column),
    (exp.Literal, _literal),
    (exp.Boolean, _boolean),
    (exp.Null, _null),
    (tuple(_ARITHMETIC), _arithmetic),
    (exp.Neg, _negative),
    (exp.Coalesce, _coalesce),
    (tuple(_COMPARE), _compare),
    (exp.In, _in),
    (exp.Between, _between),
    (exp.Is, _is),
    (exp.Like, _like),
    (exp.Not, _not),
    ((exp.And, exp.Or), _chain),
)
