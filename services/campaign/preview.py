"""What a campaign would do with one customer now: the decision, its reason, the texts. Nothing is stored or sent."""

from collections import Counter
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from services.campaign.composition import Writer
from services.campaign.decision import decide
from services.campaign.definition import Campaign
from services.campaign.documents import Rulebook
from services.campaign.model import HELD, PLANNED, REFUSED, SENDING, Customer, Message
from services.campaign.occasion import message_id
from services.campaign.store import every_customer, load_customers
from services.campaign.template import Template, TemplateError
from shared.events.times import from_ms, rfc3339, to_ms
from shared.runtime.web import paged


def customer_of(connection: Connection, profile_id: str) -> Customer | None:
    """The customer of an id, through merges to the one who survived."""
    for _ in range(100):
        customer = load_customers(connection, [profile_id]).get(profile_id)
        if customer is None or customer.into is None:
            return customer
        profile_id = customer.into
    return None


def preview(
    campaign: Campaign, customer: Customer, rulebook: Rulebook, writer: Writer, now: datetime
) -> dict[str, Any]:
    """Every step as if it fell due now; the class counts as it is, so `class_changed` means he is not in it.

    The first step stands beside the list of all.
    """
    steps = [_step(campaign, number, customer, rulebook, writer, now) for number in range(len(campaign.steps))]
    first = {name: value for name, value in steps[0].items() if name != "step"}
    return {"campaign": campaign.name, "profile_id": customer.profile_id, **first, "steps": steps}


class Page(NamedTuple):
    """The customers to show: so many of those whose ids come after another."""

    after: str
    limit: int


def dry_run(
    connection: Connection, campaign: Campaign, rulebook: Rulebook, now: datetime, page: Page
) -> dict[str, Any]:
    """Who of those in the class would get the first step now, who not, and why: counts of all, a page of names."""
    reasons: Counter[tuple[str, str | None]] = Counter()
    shown: list[dict[str, Any]] = []
    on = campaign.on
    for customer in every_customer(connection):
        if customer.view is None or (on.segmentation and customer.class_of(on.segmentation) != on.to):
            continue
        verdict = decide(_as_if(campaign, 0, customer, now), customer, rulebook.policy, now)
        decision = _DECISIONS[verdict.state]
        reasons[decision, None if decision == "send" else verdict.reason] += 1
        if customer.profile_id > page.after and len(shown) <= page.limit:
            reason, channel = verdict.reason, verdict.channel
            one = {"profile_id": customer.profile_id, "decision": decision, "reason": reason, "channel": channel}
            shown.append(one)
    shown_now = paged(shown, page.limit, lambda one: (one["profile_id"],))
    counted = sorted(reasons.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    return {
        "campaign": campaign.name,
        "total": sum(reasons.values()),
        "decisions": [{"decision": d, "reason": reason, "count": n} for (d, reason), n in counted],
        "sample": shown_now.items,
        "next_cursor": shown_now.next_cursor,
    }


_DECISIONS = {SENDING: "send", PLANNED: "later", HELD: "held", REFUSED: "refuse"}


def _as_if(campaign: Campaign, number: int, customer: Customer, now: datetime) -> Message:
    """A message that falls due now; it is never stored."""
    at = to_ms(now)
    occasion = f"preview/{at}"
    return Message(
        message_id=message_id(campaign.name, number, customer.profile_id, occasion),
        campaign=campaign.name,
        step=number,
        profile_id=customer.profile_id,
        occasion=occasion,
        occurred_at=at,
        due_at=at,
        changed_at=at,
        planned_at=at,
        category=campaign.category,
        event={"type": "preview", "from": None, "to": campaign.on.to, "time": rfc3339(now), "evidence": {}},
    )


def _step(
    campaign: Campaign, number: int, customer: Customer, rulebook: Rulebook, writer: Writer, now: datetime
) -> dict[str, Any]:
    message = _as_if(campaign, number, customer, now)
    verdict = decide(message, customer, rulebook.policy, now)
    template = rulebook.templates.get(campaign.steps[number].template)
    return {
        "step": number,
        "template": campaign.steps[number].template,
        "decision": _DECISIONS[verdict.state],
        "reason": verdict.reason,
        "channel": verdict.channel,
        "due_at": None if verdict.due_at is None else rfc3339(from_ms(verdict.due_at)),
        "rendered": {} if template is None else _texts(message, customer, template, writer, now),
    }


def _texts(
    message: Message, customer: Customer, template: Template, writer: Writer, now: datetime
) -> dict[str, dict[str, str | None]]:
    shown: dict[str, dict[str, str | None]] = {}
    for channel in template.channels:
        try:
            text = writer.rendered(message, customer, template, channel, now)
            shown[channel] = {"subject": text.subject, "text": text.text, "html": text.html}
        except TemplateError as error:
            shown[channel] = {"error": str(error)}
    return shown
