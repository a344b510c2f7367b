"""Rules as Python closures: one customer at one moment, and the next moment at which the answer may change."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.segment.attributes import Attribute, Facts, Population
from services.segment.attributes.attribute import Read
from services.segment.rules.crossing import Crossing, earliest, leaf_crossing
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
    children,
    is_condition,
    varying,
)
from services.segment.rules.scalars import OPERATORS, Predicate, clock_first, predicate
from shared.events.times import from_ms, to_ms

Test = Callable[[Facts, int, Population], bool | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule. `test` and `crossing` work in milliseconds since 1970; without a crossing it never changes."""

    expression: Expression
    attributes: tuple[Attribute, ...] = field(compare=False)
    test: Test = field(compare=False)
    crossing: Crossing | None = field(compare=False)

    @property
    def text(self) -> str:
        """The rule as it was written."""
        return self.expression.text

    def holds(self, facts: Facts, at: datetime, population: Population) -> bool | None:
        """True, false or null, as SQL has it."""
        return self.test(facts, to_ms(at), population)

    def next_crossing(self, facts: Facts, at: datetime, population: Population) -> datetime | None:
        """The earliest moment after `at` at which the answer may change without any event, to the millisecond."""
        if self.crossing is None:
            return None
        moment = self.crossing(facts, to_ms(at), population)
        return None if moment is None else from_ms(moment)


def compile_python(expression: Expression) -> Rule:
    """The fast form of a checked rule."""
    return Rule(expression, expression.attributes, _test(expression.root), _crossing(expression.root))


def _test(node: Node) -> Test:
    match node:
        case And() | Or():
            return _junction(_fixed_first(node.args), isinstance(node, Or))
        case Not():
            return _not(_test(node.arg))
        case Compare() | IsNull() | Like():
            return _nested(node) if _over_conditions(node) else _leaf(node)
        case Coalesce():
            return _first([_test(part) for part in node.args])
        case Ref():
            return _flag(node.attribute.read)
        case Const():
            return _constant(None if node.value is None else node.value is True)
        case Arithmetic():
            raise TypeError("a number is no condition")


def _nested(node: Compare | IsNull | Like) -> Test:
    parts = [_test(part) for part in children(node)]
    return _same(OPERATORS[node.op], *parts) if isinstance(node, Compare) else _null(parts[0])


def _over_conditions(node: Node) -> bool:
    return any(is_condition(part) for part in children(node))


def _fixed_first(nodes: Sequence[Node]) -> list[Test]:
    # The order of `and` and `or` does not matter to the answer; what needs no window sum is cheaper.
    return [_test(part) for part in sorted(nodes, key=lambda part: len(varying(part)))]


def _leaf(node: Compare | IsNull | Like) -> Test:
    turned = clock_first(node) if isinstance(node, Compare) else node
    holds = predicate(turned)
    attribute = next((ref.attribute for ref in varying(turned)), None)
    if attribute is None and isinstance(turned, Compare) and isinstance(turned.left, Ref):
        attribute = turned.left.attribute
        if isinstance(turned.right, Const) and turned.right.value is not None:
            return _bare(attribute.read, OPERATORS[turned.op], turned.right.value)
        return _still(holds)
    return _still(holds) if attribute is None else _moving(attribute.read, holds)


def _bare(read: Read, compare: Callable[[object, object], bool], constant: object) -> Test:
    def test(facts: Facts, ms: int, population: Population) -> bool | None:
        value = read(facts, ms, population)
        return None if value is None else compare(value, constant)

    return test


def _moving(read: Read, holds: Predicate) -> Test:
    return lambda facts, ms, population: holds(read(facts, ms, population), facts, population)


def _still(holds: Predicate) -> Test:
    return lambda facts, ms, population: holds(None, facts, population)


def _constant(value: bool | None) -> Test:
    return lambda facts, ms, population: value


def _flag(read: Read) -> Test:
    def test(facts: Facts, ms: int, population: Population) -> bool | None:
        value = read(facts, ms, population)
        return None if value is None else value is True

    return test


def _not(test: Test) -> Test:
    def negated(facts: Facts, ms: int, population: Population) -> bool | None:
        answer = test(facts, ms, population)
        return None if answer is None else not answer

    return negated


def _junction(tests: Sequence[Test], decisive: bool) -> Test:
    """`and` is decided by one false, `or` by one true."""

    def test(facts: Facts, ms: int, population: Population) -> bool | None:
        answer: bool | None = not decisive
        for each in tests:
            part = each(facts, ms, population)
            if part is decisive:
                return decisive
            if part is None:
                answer = None
        return answer

    return test


def _first(tests: Sequence[Test]) -> Test:
    def test(facts: Facts, ms: int, population: Population) -> bool | None:
        return next((answer for each in tests if (answer := each(facts, ms, population)) is not None), None)

    return test


def _same(compare: Callable[[object, object], bool], left: Test, right: Test) -> Test:
    def test(facts: Facts, ms: int, population: Population) -> bool | None:
        a, b = left(facts, ms, population), right(facts, ms, population)
        return None if a is None or b is None else compare(a, b)

    return test


def _null(inner: Test) -> Test:
    return lambda facts, ms, population: inner(facts, ms, population) is None


def _crossing(node: Node) -> Crossing | None:
    match node:
        case And():
            return _undecided(node.args, False)
        case Or():
            return _undecided(node.args, True)
        case Compare() | IsNull() | Like() if not _over_conditions(node):
            return leaf_crossing(node)
        case _:
            return earliest(_crossings(children(node)))


def _crossings(nodes: Sequence[Node]) -> Iterator[Crossing]:
    for node in nodes:
        crossing = _crossing(node)
        if crossing is not None:
            yield crossing


def _undecided(nodes: Sequence[Node], decisive: bool) -> Crossing | None:
    """The crossing of `and` or `or`: none as long as a part that only events change decides it."""
    moving = earliest(_crossings(nodes))
    fixed = [_test(part) for part in nodes if not varying(part)]
    if moving is None or not fixed:
        return moving

    def crossing(facts: Facts, ms: int, population: Population) -> int | None:
        for test in fixed:
            if test(facts, ms, population) is decisive:
                return None
        return moving(facts, ms, population)

    return crossing
