"""How classes change, and what is worth telling. Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, assert_never

import msgspec

from services.segment.attributes import facts_of
from services.segment.attributes.facts import DAY_MS
from services.segment.definition import Look, Result, classify, why
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
    standards = _of(state)
    if customer is not None:
        customer = _fire(_renewed(customer, state, changes), to_ms(seen.at), standards, changes)
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
    customer = _evaluate(customer, seen.cause, standards, changes, seen.cause_event)
    return _with(state, customer, changes, seen.history)


def _gone(state: State, gone: Gone) -> State:
    customer = state.customer
    removal = gone.removal
    if customer is None or customer.facts is None:
        return state
    changes: _Changes = []
    if removal.reason == "erasure":
        customer = msgspec.structs.replace(customer, shown={})
    customer = _fire(_renewed(customer, state, changes), to_ms(removal.time), _of(state), changes)
    customer = _leave(customer, customer.memberships, max(removal.time, customer.as_of), removal.reason, changes)
    customer = msgspec.structs.replace(
        customer, facts=None, due_at=None, shown={}, profile_version=max(removal.version, customer.profile_version)
    )
    return _with(state, customer, changes, removal.history)


def _due(state: State, due: Due) -> State:
    customer, until = state.customer, to_ms(due.until)
    if customer is None or customer.facts is None or customer.due_at is None or customer.due_at > until:
        return state
    changes: _Changes = []
    customer = _fire(customer, until, _of(state), changes)
    return _with(state, customer, changes, customer.held_by)


def _recheck(state: State, recheck: Recheck) -> State:
    customer = state.customer
    if customer is None or customer.facts is None:
        return state
    changes: _Changes = []
    standards = _of(state)
    # First what time alone brings, under the numbers before; a definition that needs others has no answer under them.
    rules = [r for r in standards.rules if r.needs <= state.former.keys() or not _placed(customer, r.definition.name)]
    before = standards._replace(rules=rules, population=state.former)
    customer = _at(_fire(customer, to_ms(recheck.at) - 1, before, changes), recheck.at)
    customer = _evaluate(customer, "time", before, changes)
    customer = _evaluate(customer, "population", standards, changes)
    return _with(state, customer, changes, customer.held_by)


def _placed(customer: Customer, name: str) -> bool:
    held = customer.memberships.get(name)
    return held is not None and held.class_ is not None


def _refresh(state: State) -> State:
    customer = state.customer
    if customer is None or customer.ruleset == state.ruleset.version:
        return state
    changes: _Changes = []
    customer = _renewed(customer, state, changes)
    return _with(state, customer, changes, customer.held_by)


def _renewed(customer: Customer, state: State, changes: _Changes) -> Customer:
    """The customer under the definitions of today: each came or went at its own moment, and so do the classes.

    History keeps its own time: whom an open import holds, they meet where he stands.
    """
    ruleset = state.ruleset
    if customer.ruleset == ruleset.version:
        return customer
    if customer.facts is not None:
        coming = {rule.definition.name: rule.applied_at for rule in ruleset.rules if _is_new(customer, rule)}
        going = {name: at for name, at in ruleset.dropped.items() if _placed(customer, name)}
        stands, held = customer.as_of, customer.held_by is not None
        for moment in sorted({stands if held else max(at, stands) for at in (*coming.values(), *going.values())}):
            ahead = {name for name, at in coming.items() if at > moment and not held}
            left = [name for name, at in going.items() if at <= moment or held]
            customer = _turned(customer, state, moment, (ahead, left), changes)
    return msgspec.structs.replace(customer, ruleset=ruleset.version)


def _turned(
    customer: Customer,
    state: State,
    moment: datetime,
    moves: tuple[Collection[str], Collection[str]],
    changes: _Changes,
) -> Customer:
    """The customer after definitions turned at a moment: those `ahead` have not come yet, those `left` are gone."""
    ahead, left = moves
    standards = _of(state)
    rules = [rule for rule in standards.rules if rule.definition.name not in ahead]
    settled = [rule for rule in rules if not _is_new(customer, rule)]
    customer = _at(_fire(customer, to_ms(moment), standards._replace(rules=settled), changes), moment)
    customer = _leave(customer, {n: customer.memberships[n] for n in left}, customer.as_of, "definition", changes)
    return _evaluate(customer, "definition", standards._replace(rules=rules), changes)


def _is_new(customer: Customer, rule: Ruled) -> bool:
    held = customer.memberships.get(rule.definition.name)
    return held is None or held.definition_version != rule.version


class _Standards(NamedTuple):
    """What customers are held against."""

    rules: Sequence[Ruled]
    population: Population
    closed_day: int | None


def _of(state: State) -> _Standards:
    return _Standards(state.ruleset.rules, state.population, state.closed_day)


def _with(state: State, customer: Customer, changes: _Changes, history: str | None) -> State:
    return msgspec.structs.replace(state, customer=customer, changes=tuple(changes), history=history)


def _at(customer: Customer, moment: datetime) -> Customer:
    return msgspec.structs.replace(customer, as_of=moment) if moment > customer.as_of else customer


def _fire(customer: Customer, until: int, standards: _Standards, changes: _Changes) -> Customer:
    """Evaluate at every due moment up to `until` (ms), each as of itself: the delay of a timer leaves no trace."""
    while customer.facts is not None and customer.due_at is not None and customer.due_at <= until:
        moment = customer.due_at
        customer = _evaluate(_at(customer, from_ms(moment)), "time", standards, changes)
        if customer.due_at is not None and customer.due_at <= moment:
            raise AssertionError(f"a timer must move on: {moment} gave {customer.due_at}")
    return customer


def _evaluate(
    customer: Customer, cause: str, standards: _Standards, changes: _Changes, cause_event: CauseEvent | None = None
) -> Customer:
    """Classify under every definition as of `customer.as_of`; appends what changed."""
    assert customer.facts is not None
    memberships = customer.memberships
    due: int | None = None
    at = to_ms(customer.as_of)
    look = Look(customer.facts, at, standards.population)
    # The close of each day sees to values that drift; where it has passed already, timers do.
    drift = standards.closed_day is not None and at < (standards.closed_day + 1) * DAY_MS
    for rule in standards.rules:
        held = memberships.get(rule.definition.name)
        result = classify(rule.definition, held.memory if held else None, look, drift=drift)
        if result.next_due_ms is not None and (due is None or result.next_due_ms < due):
            due = result.next_due_ms
        after = _membership(held, result, customer.as_of, rule)
        if after is held:
            continue
        memberships = {**memberships, rule.definition.name: after}
        before = held.class_ if held else None
        if after.class_ != before:
            reason = why(rule.definition, result, look, before)
            change = _change(customer, rule, held, after, _cause(cause, held, rule))
            changes.append(msgspec.structs.replace(change, cause_event=cause_event, evidence=reason.values))
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
