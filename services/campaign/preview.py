"""What a campaign would do with one customer now: the decision, its reason, the texts. Nothing is stored or sent."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.campaign.composition import Writer
from services.campaign.decision import decide
from services.campaign.definition import Campaign
from services.campaign.documents import Rulebook
from services.campaign.model import Customer, Message
from services.campaign.occasion import message_id
from services.campaign.store import load_customers
from services.campaign.template import Template, TemplateError
from shared.events.times import from_ms, rfc3339, to_ms


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
    """Every step as if it fell due now; the class counts as it is, so `class_changed` means he is not in it."""
    return {
        "campaign": campaign.name,
        "profile_id": customer.profile_id,
        "steps": [_step(campaign, number, customer, rulebook, writer, now) for number in range(len(campaign.steps))],
    }


def _step(
    campaign: Campaign, number: int, customer: Customer, rulebook: Rulebook, writer: Writer, now: datetime
) -> dict[str, Any]:
    at = to_ms(now)
    occasion = f"preview/{at}"
    message = Message(
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
    verdict = decide(message, customer, rulebook.policy, now)
    template = rulebook.templates.get(campaign.steps[number].template)
    return {
        "step": number,
        "template": campaign.steps[number].template,
        "decision": {"sending": "send", "planned": "later", "held": "held"}.get(verdict.state, "refuse"),
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
