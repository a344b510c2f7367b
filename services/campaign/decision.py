"""The decision at send time: made once, from the state of that moment, in the transaction that claims the send."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from services.campaign.channel import address_of, favourite, known_address
from services.campaign.company import quiet_until, zone_of
from services.campaign.definition import CHANNELS, Campaign
from services.campaign.model import HELD, HOLD_OUT, PLANNED, REFUSED, SENDING, Customer, Language, Message, Policy, View
from services.campaign.occasion import held_out
from shared.events.times import from_ms, to_ms

SOFT_BOUNCES = 3
"""So many soft bounces in a row are as good as a hard one."""


class Verdict(NamedTuple):
    """The state the message goes to, why, and for a postponed one the moment (ms) at which it is decided again."""

    state: str
    reason: str | None = None
    channel: str | None = None
    due_at: int | None = None


class Case(NamedTuple):
    """One message before its judge: `campaign` exists and `view` is the customer's record.

    It is judged as of `now`, the moment at which it is due, and leaves us at `real`, which may be much later.
    """

    message: Message
    campaign: Campaign
    customer: Customer
    view: View
    policy: Policy
    now: datetime
    real: datetime


def decide(
    message: Message, customer: Customer, policy: Policy, now: datetime, real: datetime | None = None
) -> Verdict:
    """Send now, later, or not at all and why; the first reason in a fixed order wins."""
    if customer.gone or customer.view is None:
        return Verdict(REFUSED, "customer_gone")
    campaign = policy.campaigns.get(message.campaign)
    if campaign is None or message.step >= len(campaign.steps):
        return Verdict(REFUSED, "campaign_deleted")
    case = Case(message, campaign, customer, customer.view, policy, now, real or now)
    for check in _BEFORE_CHANNEL:
        verdict = check(case)
        if verdict is not None:
            return verdict
    return _by_channel(case)


def facts_of(customer: Customer, language: Language | None) -> bytes | None:
    """What audiences ask: made from the record of this batch if there is one, else as it was kept."""
    if customer.record is None or language is None:
        return customer.facts
    return language.facts(customer.record)


def claims_within(customer: Customer, category: str, now_ms: int, window_ms: int, but: str = "") -> int:
    """How many sends count towards a cap at a moment; `but` is the message that is being decided."""
    return sum(
        1
        for claim in customer.claims
        if claim.category == category and now_ms - window_ms < claim.at <= now_ms and claim.message_id != but
    )


def _class_changed(case: Case) -> Verdict | None:
    on = case.campaign.on
    if on.segmentation is None or case.customer.class_of(on.segmentation) == on.to:
        return None
    return Verdict(REFUSED, "class_changed")


def _too_late(case: Case) -> Verdict | None:
    late = to_ms(case.real) - case.message.due_at > case.policy.company.reaction_window_ms
    return Verdict(REFUSED, "too_late") if late else None


def _stopped(case: Case) -> Verdict | None:
    if case.policy.stopped:
        return Verdict(HELD, "sending_stopped")
    return Verdict(REFUSED, "campaign_paused") if case.campaign.name in case.policy.paused else None


def _converted(case: Case) -> Verdict | None:
    unless = case.campaign.steps[case.message.step].unless_converted
    return Verdict(REFUSED, "converted") if unless and case.message.goal_at is not None else None


def _audience(case: Case) -> Verdict | None:
    if case.campaign.audience is None:
        return None
    predicate = (case.policy.audiences or {}).get(case.campaign.name)
    facts = facts_of(case.customer, case.policy.language)
    holds = predicate(facts, case.now) if predicate and facts else None
    if holds is None:
        return Verdict(REFUSED, "audience_unknown")
    return None if holds else Verdict(REFUSED, "not_in_audience")


_BEFORE_CHANNEL: tuple[Callable[[Case], Verdict | None], ...] = (
    _class_changed,
    _too_late,
    _stopped,
    _converted,
    _audience,
)


def _by_channel(case: Case) -> Verdict:
    template = case.policy.templates.get(case.campaign.steps[case.message.step].template)
    if template is None:
        return Verdict(REFUSED, "template_missing")
    listed = case.campaign.channels or CHANNELS
    reachable = [
        channel
        for channel in listed
        if channel in template.channels and channel in case.policy.transports and address_of(case.view, channel)
    ]
    if not reachable:
        return Verdict(REFUSED, "no_address")
    allowed = [channel for channel in reachable if _consented(case, channel)]
    if not allowed:
        return Verdict(REFUSED, "no_consent")
    open_channels = [channel for channel in allowed if not _suppressed(case.view, channel)]
    if not open_channels:
        return Verdict(REFUSED, "suppressed")
    if case.campaign.channels is None:
        choice = favourite(case.view, open_channels)
        return _capped_or_quiet(case, choice.channel, choice.why)
    return _capped_or_quiet(case, open_channels[0], f"{open_channels[0]} is the first listed that reaches him")


def _consented(case: Case, channel: str) -> bool:
    if case.message.category != "marketing" or channel == "webhook":
        return True
    consent = case.view.consents.get(channel)
    if consent is None or consent.purpose not in ("marketing", "all"):
        return case.policy.company.consent == "opt_out"
    if consent.status == "denied":
        return False
    expired = consent.expires_at is not None and consent.expires_at <= case.now
    return not expired or case.policy.company.consent == "opt_out"


def _suppressed(view: View, channel: str) -> bool:
    """A complaint stops e-mails for good, bounces stop the address: one that became known later is tried again."""
    known = known_address(view, channel)
    if channel != "email" or known is None:
        return False
    emails = view.emails
    soft = emails.soft_bounced_at if emails.soft_bounced >= SOFT_BOUNCES else None
    bounces = [at for at in (emails.hard_bounced_at, soft) if at is not None]
    return emails.complained > 0 or any(known.first_seen_at <= at for at in bounces)


def _capped_or_quiet(case: Case, channel: str, why: str) -> Verdict:
    category, company = case.message.category, case.policy.company
    cap = company.caps.get(category)
    now_ms = to_ms(case.now)
    if cap and claims_within(case.customer, category, now_ms, cap.window_ms, case.message.message_id) >= cap.count:
        return Verdict(REFUSED, "capped", channel)
    zone = zone_of(case.view.traits.get("timezone")) or zone_of(company.timezone)
    until = quiet_until(case.now, company.quiet, zone) if zone else None
    if until is not None:
        return Verdict(PLANNED, "quiet_hours", channel, to_ms(until))
    # last of all: who is held out would have got the message now, so that the two groups differ in nothing else
    if held_out(case.campaign.name, case.message.profile_id, case.campaign.hold_out):
        return Verdict(REFUSED, HOLD_OUT, channel)
    return Verdict(SENDING, why, channel)


def start(message: Message, policy: Policy, now: datetime, wait_ms: int) -> Verdict:
    """The first look at a waiting step: refuse it when its occasion is too old, else plan it for its due time."""
    if to_ms(now) - message.occurred_at > policy.company.reaction_window_ms:
        return Verdict(REFUSED, "too_late")
    return Verdict(PLANNED, None, None, message.occurred_at + wait_ms)


def moment_of(message: Message, now: datetime) -> datetime:
    """The moment as of which a message is decided: history has its own time, everything else the present."""
    due = from_ms(message.due_at)
    return due if message.history is not None else max(due, now)
