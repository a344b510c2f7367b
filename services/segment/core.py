"""How classes change, and what is worth telling. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

import msgspec

from services.segment.attributes import facts_of
from services.segment.definition import Result, classify
from services.segment.feed import as_event
from services.segment.model import (
    Customer,
    Due,
    Gone,
    Marked,
    Membership,
    Population,
    Recheck,
    Refresh,
    Ruled,
    Ruleset,
    Seen,
    SegmentEvent,
    State,
)
from shared.events.outgoing import Outgoing, say
from shared.events.profiles import identifiers_of
from shared.events.segments import TOPIC, CauseEvent, SegmentChanged
from shared.events.times import from_ms, to_ms

__all__ = ["evolve", "react"]

_Changes = list[SegmentChanged]


def evolve(state: State, event: SegmentEvent) -> State:
    """The state after an event. The customer's timers that fell due before it fire first, each as of its moment."""
    match event:
        case Seen():
            return _seen(state, event)
        case Gone():
            return _gone(state, event)
        case Due():
            return _due(state, event)
        case Recheck():
            return _recheck(state, event)
        case Refresh():
            return _refresh(state)
        case Marked():
            return state
    assert_never(event)


def react(before: State, after: State) -> Sequence[Outgoing]:
    """One message per class change, in the order of their moments."""
    if after is before:
        return ()
    return [say(TOPIC, change.profile_id, as_event(change, after.history)) for change in after.changes]


def _seen(state: State, seen: Seen) -> State:
    customer = state.customer
    profile = seen.profile
    if customer is not None and profile.version <= customer.profile_version:
        return state
    changes: _Changes = []
    if customer is not None:
        customer = _fire(customer, seen.at, state.ruleset, state.population, changes)
    customer = Customer(
        profile_id=profile.profile_id,
        profile_version=profile.version,
        facts=facts_of(profile, state.ruleset.currency),
        as_of=max(seen.at, customer.as_of) if customer else seen.at,
        memberships=customer.memberships if customer else {},
        shown=identifiers_of(profile),
        due_at=None,
        ruleset=state.ruleset.version,
        held_by=seen.history or (customer.held_by if customer else None),
        part=seen.part,
    )
    customer = _evaluate(customer, seen.cause, state.ruleset, state.population, changes, seen.cause_event)
    return _with(state, customer, changes, seen.history)


def _gone(state: State, gone: Gone) -> State:
    customer = state.customer
    removal = gone.removal
    if customer is None or customer.facts is None:
        return state
    changes: _Changes = []
    if removal.reason == "erasure":
        customer = msgspec.structs.replace(customer, shown={})
    customer = _fire(customer, removal.time, state.ruleset, state.population, changes)
    customer = _leave(customer, customer.memberships, max(removal.time, customer.as_of), removal.reason, changes)
    customer = msgspec.structs.replace(
        customer, facts=None, due_at=None, shown={}, profile_version=max(removal.version, customer.profile_version)
    )
    return _with(state, customer, changes, removal.history)


def _due(state: State, due: Due) -> State:
    customer = state.customer
    if customer is None or customer.facts is None or customer.due_at is None or customer.due_at > to_ms(due.until):
        return state
    changes: _Changes = []
    customer = _fire(customer, due.until, state.ruleset, state.population, changes)
    return _with(state, customer, changes, customer.held_by)


def _recheck(state: State, recheck: Recheck) -> State:
    customer = state.customer
    if customer is None or customer.facts is None:
        return state
    changes: _Changes = []
    customer = _evaluate(_at(customer, recheck.at), "time", state.ruleset, state.former, changes)
    customer = _evaluate(customer, "population", state.ruleset, state.population, changes)
    return _with(state, customer, changes, customer.held_by)


def _refresh(state: State) -> State:
    customer = state.customer
    if customer is None or customer.ruleset == state.ruleset.version:
        return state
    changes: _Changes = []
    ruleset = state.ruleset
    moment = max([customer.as_of, *(rule.applied_at for rule in ruleset.rules if _is_new(customer, rule))])
    if customer.facts is not None and customer.held_by is None:
        customer = _fire(customer, moment, ruleset, state.population, changes)
    dropped = {name: m for name, m in customer.memberships.items() if name in ruleset.dropped}
    customer = _leave(customer, dropped, moment, "definition", changes)
    customer = msgspec.structs.replace(customer, ruleset=ruleset.version)
    if customer.facts is not None:
        customer = _evaluate(_at(customer, moment), "definition", ruleset, state.population, changes)
    return _with(state, customer, changes, customer.held_by)


def _is_new(customer: Customer, rule: Ruled) -> bool:
    held = customer.memberships.get(rule.definition.name)
    return held is None or held.definition_version != rule.version


def _with(state: State, customer: Customer, changes: _Changes, history: str | None) -> State:
    return msgspec.structs.replace(state, customer=customer, changes=tuple(changes), history=history)


def _at(customer: Customer, moment: datetime) -> Customer:
    return msgspec.structs.replace(customer, as_of=max(moment, customer.as_of))


def _fire(customer: Customer, until: datetime, ruleset: Ruleset, population: Population, changes: _Changes) -> Customer:
    """Evaluate at every due moment up to `until`, each as of itself: the delay of a timer leaves no trace."""
    limit = to_ms(until)
    while customer.facts is not None and customer.due_at is not None and customer.due_at <= limit:
        moment = customer.due_at
        customer = _evaluate(_at(customer, from_ms(moment)), "time", ruleset, population, changes)
        if customer.due_at is not None and customer.due_at <= moment:
            raise AssertionError(f"a timer must move on: {moment} gave {customer.due_at}")
    return customer


def _evaluate(
    customer: Customer,
    cause: str,
    ruleset: Ruleset,
    population: Population,
    changes: _Changes,
    cause_event: CauseEvent | None = None,
) -> Customer:
    """Classify under every definition as of `customer.as_of`; appends what changed."""
    assert customer.facts is not None
    memberships = dict(customer.memberships)
    due: int | None = None
    at = customer.as_of
    for rule in ruleset.rules:
        name = rule.definition.name
        held = memberships.get(name)
        result = classify(rule.definition, held.memory if held else None, customer.facts, at, population, drift=False)
        if result.next_due_ms is not None and (due is None or result.next_due_ms < due):
            due = result.next_due_ms
        after = _membership(held, result, at, rule)
        if after is held:
            continue
        memberships[name] = after
        if after.class_ != (held.class_ if held else None):
            change = _change(customer, rule, held, after, _cause(cause, held, rule))
            changes.append(msgspec.structs.replace(change, cause_event=cause_event, evidence=dict(result.evidence)))
    return msgspec.structs.replace(customer, memberships=memberships, due_at=due)


def _membership(held: Membership | None, result: Result, at: datetime, rule: Ruled) -> Membership:
    """The membership that a classification leads to; the same object when nothing is new."""
    moved = result.class_ != (held.class_ if held else None)
    if held is not None and not moved and held.memory == result.memory and held.definition_version == rule.version:
        return held
    return Membership(
        class_=result.class_,
        since=at if moved or held is None else held.since,
        version=(held.version if held else 0) + (1 if moved else 0),
        definition_version=rule.version,
        memory=result.memory,
    )


def _change(customer: Customer, rule: Ruled, held: Membership | None, after: Membership, cause: str) -> SegmentChanged:
    return SegmentChanged(
        profile_id=customer.profile_id,
        segmentation=rule.definition.name,
        from_=held.class_ if held else None,
        to=after.class_,
        version=after.version,
        cause=cause,
        occurred_at=customer.as_of,
        definition_version=rule.version,
        profile_version=customer.profile_version,
        customer=customer.shown,
    )


def _cause(cause: str, held: Membership | None, rule: Ruled) -> str:
    if cause in ("time", "population") and held is not None and held.definition_version != rule.version:
        return "definition"
    return cause


def _leave(
    customer: Customer, memberships: dict[str, Membership], at: datetime, cause: str, changes: _Changes
) -> Customer:
    """Leave classes: `to` is null, the version goes on so that a return continues the chain."""
    left = dict(customer.memberships)
    for name, held in sorted(memberships.items()):
        if held.class_ is None:
            continue
        version = held.version + 1
        left[name] = Membership(
            class_=None, since=at, version=version, definition_version=held.definition_version, memory=None
        )
        changes.append(
            SegmentChanged(
                profile_id=customer.profile_id,
                segmentation=name,
                from_=held.class_,
                to=None,
                version=version,
                cause=cause,
                occurred_at=at,
                definition_version=held.definition_version,
                profile_version=customer.profile_version,
                customer=customer.shown,
            )
        )
    return msgspec.structs.replace(customer, memberships=left)
