"""Why a customer is where he is, now and at any past moment."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.segment.definition import classify, explain
from services.segment.model import Customer
from services.segment.population import load_company, load_population, load_ruleset
from shared.events.segments import SegmentChanged
from shared.events.times import rfc3339


def current(connection: Connection, customer: Customer, now: datetime) -> dict[str, Any]:
    """Every class the customer is in, with the rule and the values of this moment, and when it may change next."""
    company = load_company(connection)
    numbers = load_population(connection)
    shown: dict[str, Any] = {}
    for rule in load_ruleset(connection, company).rules:
        held = customer.memberships.get(rule.definition.name)
        if held is None or held.class_ is None or customer.facts is None:
            continue
        result = classify(rule.definition, held.memory, customer.facts, max(now, customer.as_of), numbers)
        shown[rule.definition.name] = {
            "class": held.class_,
            "since": rfc3339(held.since),
            "version": held.version,
            "next_due_at": rfc3339(result.next_due) if result.next_due else None,
            "explanation": {
                "rule": result.rule_text,
                "values": result.evidence,
                "text": explain(rule.definition, result),
            },
        }
    return shown


def past(changes: Mapping[str, SegmentChanged]) -> dict[str, Any]:
    """The classes at a past moment, with the evidence that was published then."""
    return {
        name: {
            "class": change.to,
            "since": rfc3339(change.occurred_at),
            "version": change.version,
            "next_due_at": None,
            "explanation": {
                "rule": None,
                "values": change.evidence,
                "text": f"{change.to}: by {change.cause} at {rfc3339(change.occurred_at)} ({_listed(change.evidence)})",
            },
        }
        for name, change in changes.items()
    }


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
