"""What a comparison may do with time: one attribute that time changes, and linear terms of the running clock only."""

from services.segment.attributes import Varies
from services.segment.rules.errors import RuleError
from services.segment.rules.expression import (
    Arithmetic,
    Compare,
    IsNull,
    Like,
    Node,
    Ref,
    children,
    is_condition,
    varying,
)


def check_varying(node: Compare | IsNull | Like) -> None:
    """Refuse a comparison whose moments of crossing could not be told in advance. Raises RuleError."""
    if any(is_condition(part) for part in children(node)):
        return
    found = varying(node)
    if len(found) > 1:
        first, second = found[0], found[1]
        raise RuleError(
            f"{first.attribute.name} and {second.attribute.name} both change with time, so they cannot be compared "
            "with each other",
            second.position,
        )
    if found and found[0].attribute.varies is Varies.CLOCK:
        _check_linear(node, found[0])


def _check_linear(node: Node, clock: Ref) -> None:
    for part in children(node):
        if clock not in varying(part):
            continue
        if isinstance(node, Arithmetic) and node.op == "/" and part is node.right:
            raise RuleError(
                f"{clock.attribute.name} changes with time and cannot stand below a division", clock.position
            )
        _check_linear(part, clock)
