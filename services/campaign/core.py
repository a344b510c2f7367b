"""The two verbs of the campaign service: evolve plans and decides messages, react tells what became of them."""

from collections.abc import Iterator
from datetime import datetime
from operator import is_

import msgspec

from services.campaign.announcement import as_interaction, told
from services.campaign.company import LONGEST_CAP_MS
from services.campaign.decision import Verdict, decide, moment_of, start
from services.campaign.definition import Campaign
from services.campaign.model import (
    FAILED,
    HELD,
    HOLD_OUT,
    OPEN,
    PLANNED,
    REFUSED,
    SENDING,
    SENT,
    CampaignEvent,
    Claim,
    ClassChanged,
    Customer,
    Due,
    Message,
    Outcome,
    Policy,
    ProfileGone,
    ProfileSeen,
    Standing,
    State,
)
from services.campaign.occasion import ANSWERED, Occasion, message_id, of_change, of_event
from services.campaign.tracking import advanced, awaits_goal, passed, past_goal, told_of
from shared.events.outgoing import Outgoing
from shared.events.times import from_ms, rfc3339, to_ms

__all__ = ["evolve", "react"]


_replace = msgspec.structs.replace


def evolve(state: State, event: CampaignEvent) -> State:
    """The customer after an event. His timers that fell due before it are decided first, as of their own moments."""
    customer = _settled(state.customer, event)
    if isinstance(event, ProfileSeen | ClassChanged):
        customer = _fire_before(customer, state.policy, event.time, event.appended)
    match event:
        case ProfileSeen():
            customer = _seen(customer, state.policy, event)
        case ClassChanged():
            customer = _changed(customer, state.policy, event)
        case ProfileGone():
            customer = _gone(customer, event)
        case Due():
            customer = _due(customer, state.policy, event)
        case Outcome():
            customer = _outcome(customer, state.policy, event)
    return state if customer is state.customer else State(customer, state.policy)


def react(before: State, after: State) -> tuple[Outgoing, ...]:
    """One `messages` event per message that reached a state that others see, and the mail itself as an interaction."""
    if before.customer.messages is after.customer.messages:
        return ()
    known = {message.message_id: message for message in before.customer.messages}
    said: list[Outgoing] = []
    for now in after.customer.messages:
        for message in passed(known.get(now.message_id), now):
            if message.state == SENDING:
                continue
            said.append(told(message))
            if message.state == SENT and message.channel == "email" and message.history is None:
                mail = as_interaction(message, after.customer.view)
                said += [] if mail is None else [mail]
    return tuple(said)


def _settled(customer: Customer, event: CampaignEvent) -> Customer:
    """Without the messages that were finished before, but for those that may still reach their goal.

    Only what lies in the log says how late it is: when a timer fires and when the gateway tells of a send is chance,
    and the wall clock is years ahead of an import.
    """
    if not isinstance(event, ProfileSeen | ClassChanged):
        return customer
    about, now_ms = getattr(event, "about", None), to_ms(event.time)
    kept = tuple(
        past_goal(message, now_ms)
        for message in customer.messages
        if message.state in OPEN
        or message.message_id == about
        or (message.profile_id == customer.profile_id and awaits_goal(message, now_ms))
    )
    same = len(kept) == len(customer.messages) and all(map(is_, kept, customer.messages))
    return customer if same else _replace(customer, messages=kept)


def _with(customer: Customer, message: Message) -> Customer:
    kept = tuple(message if m.message_id == message.message_id else m for m in customer.messages)
    return _replace(customer, messages=kept)


def _fire_before(customer: Customer, policy: Policy, moment: datetime, appended: datetime) -> Customer:
    """Decide what fell due before a moment, each as of its own; but what is live is as late as the log says it is."""
    if not customer.messages:
        return customer
    limit = to_ms(moment)
    while True:
        waiting = [m for m in customer.messages if m.state == PLANNED and m.due_at < limit]
        if not waiting:
            return customer
        first = min(waiting, key=lambda message: (message.due_at, message.message_id))
        due = from_ms(first.due_at)
        live = policy.by_wall_clock and first.history is None
        customer = _decided(customer, policy, first, due, max(due, appended) if live else due)


def _decided(
    customer: Customer, policy: Policy, message: Message, now: datetime, real: datetime | None = None
) -> Customer:
    campaign = policy.campaigns.get(message.campaign)
    if message.started or campaign is None or message.step >= len(campaign.steps):
        return _moved(customer, message, decide(message, customer, policy, now, real), now)
    verdict = start(message, policy, real or now, campaign.steps[message.step].wait_ms)
    if verdict.state == PLANNED and verdict.due_at is not None:
        # still the same plan for everybody else: no new revision
        return _with(customer, _replace(message, started=True, due_at=verdict.due_at))
    return _moved(customer, message, verdict, now)


def _moved(customer: Customer, message: Message, verdict: Verdict, now: datetime) -> Customer:
    now_ms = to_ms(now)
    moved = _replace(
        message,
        state=verdict.state,
        reason=verdict.reason,
        channel=verdict.channel or message.channel,
        due_at=message.due_at if verdict.due_at is None else verdict.due_at,
        changed_at=now_ms,
        sent_at=now_ms if verdict.state == SENT else None,
        decided_at=now_ms if verdict.state == SENDING or verdict.reason == HOLD_OUT else message.decided_at,
        revision=message.revision + 1,
    )
    customer = _with(customer, moved)
    return _counted(customer, moved, now_ms)


def _counted(customer: Customer, message: Message, now_ms: int) -> Customer:
    """The claims after a message moved: claimed and held sends count towards the caps, those not sent do not."""
    if message.state == SENT or (message.state == HELD and message.reason != "sending_stopped"):
        return customer
    claims = tuple(
        claim
        for claim in customer.claims
        if claim.message_id != message.message_id and claim.at > now_ms - LONGEST_CAP_MS
    )
    if message.state == SENDING:
        claims = (*claims, Claim(now_ms, message.category, message.message_id))
    return customer if claims == customer.claims else _replace(customer, claims=claims)


def _seen(customer: Customer, policy: Policy, event: ProfileSeen) -> Customer:
    if event.view.version <= customer.version:
        return customer
    former = customer.view
    customer = _replace(
        customer, view=event.view, version=event.view.version, gone=None, into=None, record=event.record, facts=None
    )
    messages = tuple(told_of(message, event, former) for message in customer.messages)
    if any(now is not then for now, then in zip(messages, customer.messages, strict=True)):
        customer = _replace(customer, messages=messages)
    if event.cause_type is None or event.cause_source is None or event.cause_id is None or event.reason == "split":
        return customer
    started = [c for c in policy.campaigns.values() if c.on.event == event.cause_type]
    if not started:
        return customer
    seen = {"type": event.cause_type, "id": event.cause_id, "time": rfc3339(event.time)}
    key = of_event(event.cause_source, event.cause_id)
    return _plan(customer, policy, started, Occasion(key, to_ms(event.time), _mute(event, policy), seen))


def _changed(customer: Customer, policy: Policy, event: ClassChanged) -> Customer:
    known = customer.classes.get(event.segmentation)
    if known is not None and event.version <= known.version:
        return customer
    if customer.version == 0 and customer.gone is None and event.to is None:
        return customer
    standing = Standing(event.to, event.version)
    customer = _replace(customer, classes={**customer.classes, event.segmentation: standing})
    if event.to is None or event.cause not in ANSWERED:
        return customer
    started = [c for c in policy.campaigns.values() if _answers(c, event)]
    if not started:
        return customer
    key = of_change(event.segmentation, event.profile_id, event.version)
    return _plan(customer, policy, started, Occasion(key, to_ms(event.time), _mute(event, policy), event.event))


def _mute(event: ProfileSeen | ClassChanged, policy: Policy) -> str | None:
    """The import that keeps an occasion from being answered like a live one."""
    asked_at = policy.sending.get(event.history or "")
    if asked_at is not None and asked_at - to_ms(event.time) <= policy.company.reaction_window_ms:
        return None
    return event.history


def _answers(campaign: Campaign, event: ClassChanged) -> bool:
    on = campaign.on
    if on.segmentation != event.segmentation or on.to != event.to:
        return False
    return on.from_ is None or event.from_ in on.from_


def _plan(customer: Customer, policy: Policy, campaigns: list[Campaign], occasion: Occasion) -> Customer:
    if customer.gone == "erasure" or (occasion.history is not None and policy.history != "outbox"):
        return customer
    known = {message.message_id for message in customer.messages}
    planned = [
        message
        for campaign in campaigns
        for message in _messages(campaign, customer.profile_id, occasion)
        if message.message_id not in known
    ]
    return _replace(customer, messages=(*customer.messages, *planned))


def _messages(campaign: Campaign, profile_id: str, occasion: Occasion) -> Iterator[Message]:
    at, goal = occasion.at, campaign.goal
    for number, step in enumerate(campaign.steps):
        waits_live = step.wait_ms > 0 and occasion.history is None
        yield Message(
            message_id=message_id(campaign.name, number, profile_id, occasion.key),
            campaign=campaign.name,
            step=number,
            profile_id=profile_id,
            occasion=occasion.key,
            occurred_at=at,
            due_at=at if waits_live else at + step.wait_ms,
            changed_at=at,
            planned_at=at,
            category=campaign.category,
            history=occasion.history,
            started=not waits_live,
            event=occasion.seen,
            goal_event=goal.event if goal else None,
            goal_until=at + goal.within_ms if goal else None,
        )


def _gone(customer: Customer, event: ProfileGone) -> Customer:
    if event.version < customer.version or customer.gone == "erasure":
        return customer
    customer = _replace(
        customer, view=None, version=event.version, gone=event.reason, into=event.into, record=None, facts=None
    )
    customer = _replace(customer, messages=tuple(m for m in customer.messages if m.state in OPEN))
    for message in customer.messages:
        if message.state in (PLANNED, HELD):
            customer = _moved(customer, message, Verdict(REFUSED, "customer_gone"), event.time)
    return customer


def _due(customer: Customer, policy: Policy, event: Due) -> Customer:
    for message in customer.messages:
        if message.message_id == event.message_id and message.state == PLANNED and message.due_at <= to_ms(event.time):
            return _decided(customer, policy, message, moment_of(message, event.now))
    return customer


def _outcome(customer: Customer, policy: Policy, event: Outcome) -> Customer:
    message = next((m for m in customer.messages if m.message_id == event.message_id), None)
    if message is None:
        return customer
    now = from_ms(message.changed_at) if message.history is not None else event.time
    if event.kind in ("resend", "late"):
        expected = HELD if event.kind == "resend" else SENDING
        if message.state != expected:
            return customer
        due = to_ms(now) if event.kind == "resend" else message.due_at
        return _decided(customer, policy, _replace(message, due_at=due), now)
    verdict = _verdict(message, event)
    if verdict is None:
        return customer
    if event.subject is not None:
        message = _replace(message, subject=event.subject)
    customer = _moved(customer, message, verdict, now)
    return _caught_up(customer, message.message_id, to_ms(now))


def _caught_up(customer: Customer, message_id: str, now_ms: int) -> Customer:
    """The news of a message may have come before its own sender told that it was sent."""
    message = next(m for m in customer.messages if m.message_id == message_id)
    known = (message.delivered_at, message.clicked_at, message.converted_at)
    return _with(customer, advanced(message, max([now_ms, *(at for at in known if at is not None)])))


def _verdict(message: Message, event: Outcome) -> Verdict | None:
    """What an outcome makes of a message; None when it has nothing to say about a message in this state."""
    held = message.state == HELD
    if event.kind == "drop":
        return Verdict(REFUSED, "dropped") if held else None
    if event.kind == "sent":
        return Verdict(SENT, message.reason if not held else None) if held or message.state == SENDING else None
    if message.state != SENDING:
        return None
    states = {"failed": FAILED, "unknown": HELD, "refused": REFUSED}
    return Verdict(states[event.kind], event.reason) if event.kind in states else None
