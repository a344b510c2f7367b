"""A checked rule as a tree. `in`, `between`, `is true` and the like are already written in these few nodes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.segment.attributes import Attribute, Type


@dataclass(frozen=True, slots=True)
class Const:
    """A literal. Numbers are doubles; null has the type that its place asks for."""

    value: float | str | bool | None
    type: Type


@dataclass(frozen=True, slots=True)
class Ref:
    """An attribute at a position of the text (characters from 1)."""

    attribute: Attribute
    position: int


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`op` is one of + - * /; dividing by zero gives null."""

    op: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Coalesce:
    """The first argument that is not null."""

    args: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """`op` is one of < <= > >= = <>; null when a side is null."""

    op: str
    left: "Node"
    right: "Node"
    type: Type


@dataclass(frozen=True, slots=True)
class IsNull:
    """True or false, never null."""

    arg: "Node"


@dataclass(frozen=True, slots=True)
class Like:
    """`pattern` with % for any text and _ for any character, in exact case, with no escape character."""

    arg: "Node"
    pattern: str


@dataclass(frozen=True, slots=True)
class Not:
    """Null stays null."""

    arg: "Node"


@dataclass(frozen=True, slots=True)
class And:
    """False when one is false, else null when one is null."""

    args: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True when one is true, else null when one is null."""

    args: tuple["Node", ...]


Node = Const | Ref | Arithmetic | Coalesce | Compare | IsNull | Like | Not | And | Or


def children(node: Node) -> tuple[Node, ...]:
    """The parts of a node, left to right."""
    match node:
        case Const() | Ref():
            return ()
        case Arithmetic() | Compare():
            return node.left, node.right
        case IsNull() | Like() | Not():
            return (node.arg,)
        case _:
            return node.args


def references(node: Node) -> Iterator[Ref]:
    """Every mention of an attribute, left to right."""
    if isinstance(node, Ref):
        yield node
    for part in children(node):
        yield from references(part)


def varying(node: Node) -> tuple[Ref, ...]:
    """The mentions of attributes that time alone changes."""
    return tuple(ref for ref in references(node) if ref.attribute.time_varying)


def is_condition(node: Node) -> bool:
    """Whether a node is true, false or null rather than a number or a text."""
    match node:
        case Const():
            return node.type is Type.FLAG
        case Ref():
            return node.attribute.type is Type.FLAG
        case Coalesce():
            return is_condition(node.args[0])
        case _:
            return not isinstance(node, Arithmetic)


@dataclass(frozen=True, slots=True)
class Expression:
    """A rule that has passed every check; `text` is as it was written."""

    text: str
    root: Node = field(compare=False)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes it reads, each once, in the order of the text."""
        return tuple({ref.attribute.name: ref.attribute for ref in references(self.root)}.values())

    @property
    def needs(self) -> frozenset[str]:
        """The population numbers it reads."""
        return frozenset(need for attribute in self.attributes for need in attribute.needs)
