"""Why a customer is where he is, now and at any past moment."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.segment import queries
from services.segment.definition import Definition, Look, Reason, classify, condition, left_by, why
from services.segment.model import Customer, Membership, Ruled
from services.segment.population import load_company, load_definition, load_population, load_ruleset
from services.segment.queries import Turn
from shared.events.segments import SegmentChanged
from shared.events.times import rfc3339, to_ms


def classes(connection: Connection, customer: Customer, at: datetime) -> dict[str, Any]:
    """Every class that the customer is or was in: the rule, the values, and when time alone may change it.

    Since his last evaluation nothing happened to him, so for moments after it all is computed; for earlier ones it is
    told from the history.
    """
    if at < customer.as_of:
        return {name: _past(connection, turn) for name, turn in queries.turns(connection, customer.profile_id, at)}
    came_from = queries.came_from(connection, customer)
    return {
        rule.definition.name: _present(rule, held, looks, came_from.get(rule.definition.name))
        for rule, held, looks in _placed(connection, customer, at)
    }


def _placed(
    connection: Connection, customer: Customer, at: datetime
) -> Iterator[tuple[Ruled, Membership, tuple[Look, Look]]]:
    """What holds the customer somewhere, with how he looks at the moment and how he did at his last evaluation."""
    if customer.facts is None:
        return
    numbers = load_population(connection)
    looks = (Look(customer.facts, to_ms(at), numbers), Look(customer.facts, to_ms(customer.as_of), numbers))
    for rule in load_ruleset(connection, load_company(connection)).rules:
        held = customer.memberships.get(rule.definition.name)
        if held is not None and held.class_ is not None:
            yield rule, held, looks


def _present(rule: Ruled, held: Membership, looks: tuple[Look, Look], came_from: str | None) -> dict[str, Any]:
    # A change that is due may not be made yet: then the class is explained as of when it was looked at last.
    for look in looks:
        result = classify(rule.definition, held.memory, look)
        if result.class_ == held.class_:
            break
    reason = why(rule.definition, result, look, came_from)
    return _entry(held.class_, held.since, held.version, result.next_due, reason)


def _past(connection: Connection, turn: Turn) -> dict[str, Any]:
    """A class at a past moment, with the evidence that was published then."""
    change, later = turn
    definition = load_definition(connection, change.segmentation, change.definition_version)
    rule = condition(definition, change.to, by_default=_by_default(definition, change)) if definition else ""
    left = left_by(definition, change.to, change.from_) if definition else None
    # Nothing happened to him until time moved him: so it was foreseen.
    foreseen = later is not None and later.cause == "time" and later.profile_version == change.profile_version
    due = later.occurred_at if later is not None and foreseen else None
    return _entry(change.to, change.occurred_at, change.version, due, Reason(change.to, rule, left, change.evidence))


def _by_default(definition: Definition, change: SegmentChanged) -> bool:
    return definition.scale is not None and definition.scale.attribute.name not in change.evidence


def _entry(class_: str | None, since: datetime, version: int, due: datetime | None, reason: Reason) -> dict[str, Any]:
    return {
        "class": class_,
        "since": rfc3339(since),
        "version": version,
        "next_due_at": rfc3339(due) if due else None,
        "explanation": {"rule": reason.rule, "values": reason.values, "text": reason.text},
    }
