"""From a claimed message to the bytes that leave: template, variables, unsubscribe link, MIME."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from services.campaign.channel import address_of
from services.campaign.clicks import Click, Rewrite, click_token, linked, marked
from services.campaign.documents import Rulebook
from services.campaign.mime import HeaderError, Mail, Sender, mime, sender_of
from services.campaign.model import Customer, Message
from services.campaign.optout import token_of
from services.campaign.surveys import QUESTIONS, Survey, survey_token
from services.campaign.template import Rendered, Template, TemplateError, render
from services.campaign.variables import Links, variables
from shared.errors import WrongSetting
from shared.events.times import from_ms, rfc3339

DEFAULT_FROM = "Cartera <cartera@localhost.localdomain>"


class Composed(NamedTuple):
    """A finished message: `suffix` is the kind of file it makes in the outbox."""

    to: str
    subject: str | None
    content: bytes
    suffix: str


@dataclass(frozen=True, slots=True)
class Writer:
    """Composes messages for one installation."""

    sender: Sender
    public_url: str
    secret: bytes

    def unsubscribe_url(self, profile_id: str, channel: str) -> str:
        """The link that ends marketing to this customer on this channel."""
        return f"{self.public_url}/u/{token_of(self.secret, profile_id, channel)}"

    def rendered(
        self, message: Message, customer: Customer, template: Template, channel: str, now: datetime
    ) -> Rendered:
        """The texts of a message. Raises TemplateError."""
        return self._unmarked(self._made(message, customer, template, channel, now), lambda url: url)

    def _made(self, message: Message, customer: Customer, template: Template, channel: str, now: datetime) -> Rendered:
        way_out = self.unsubscribe_url(message.profile_id, channel) if message.category == "marketing" else None
        surveys = {
            name: f"{self.public_url}/s/{survey_token(self.secret, Survey(message.message_id, name))}"
            for name in QUESTIONS
        }
        return render(template, channel, variables(message, customer, Links(way_out, surveys), now))

    def composed(self, message: Message, customer: Customer, rulebook: Rulebook, now: datetime) -> Composed:
        """The bytes of a claimed message. Raises TemplateError with the reason that is stored."""
        campaign = rulebook.policy.campaigns.get(message.campaign)
        if campaign is None or message.step >= len(campaign.steps):
            raise TemplateError("campaign_deleted")
        template = rulebook.templates.get(campaign.steps[message.step].template)
        if template is None:
            raise TemplateError("template_missing")
        channel = message.channel or "email"
        to = None if customer.view is None else address_of(customer.view, channel)
        if to is None:
            raise TemplateError("customer_gone" if customer.view is None else "no_address")
        text = self._made(message, customer, template, channel, now)
        if channel == "email" and message.history is None:
            automatic = template.channels[channel].get("html", "") if rulebook.policy.company.track_clicks else ""
            text = self._tracked(message, text, automatic)
        else:
            text = self._unmarked(text, lambda url: url)
        if channel != "email":
            body = _sms(message, to, text.text) if channel == "sms" else _webhook(message, to, text.text)
            return Composed(to, None, json.dumps(body, ensure_ascii=False).encode(), ".json")
        return self._mail(message, to, text, now)

    def _tracked(self, message: Message, text: Rendered, source: str) -> Rendered:
        """With the links that tell when they are followed: the marked ones, and in HTML those that the source names."""

        def rewrite(url: str) -> str:
            if url.startswith(f"{self.public_url}/"):
                return url
            return f"{self.public_url}/c/{click_token(self.secret, Click(message.message_id, url))}"

        html = text.html if text.html is None else linked(text.html, source, rewrite)
        return self._unmarked(text._replace(html=html), rewrite)

    def _unmarked(self, text: Rendered, rewrite: Rewrite) -> Rendered:
        subject = None if text.subject is None else marked(text.subject, lambda url: url)
        html = None if text.html is None else marked(text.html, rewrite, html=True)
        return Rendered(subject, marked(text.text, rewrite), html)

    def _mail(self, message: Message, to: str, text: Rendered, now: datetime) -> Composed:
        marketing = message.category == "marketing"
        url = self.unsubscribe_url(message.profile_id, "email") if marketing else None
        mail = Mail(message.message_id, to, text.subject or "", text.text, text.html, now, url)
        try:
            return Composed(to, text.subject, mime(mail, self.sender), ".eml")
        except HeaderError as error:
            raise TemplateError(f"header_error: {error}") from error


def _sms(message: Message, to: str, text: str) -> dict[str, Any]:
    return {"message_id": message.message_id, "channel": "sms", "to": to, "text": text}


def _webhook(message: Message, to: str, text: str) -> dict[str, Any]:
    """As Standard Webhooks want it; a text that is a JSON object stands there as one too."""
    data: dict[str, Any] = {
        "message_id": message.message_id,
        "channel": "webhook",
        "campaign": message.campaign,
        "step": message.step,
        "profile_id": to,
        "text": text,
    }
    with suppress(ValueError):
        content = json.loads(text)
        if isinstance(content, dict):
            data["content"] = content
    return {"type": "campaign.message", "timestamp": rfc3339(from_ms(message.changed_at)), "data": data}


def writer_of(settings: Mapping[str, Any]) -> Writer:
    """The writer of an installation. Raises WrongSetting."""
    secret = settings.get("secret") or ""
    key = secret.encode() if isinstance(secret, str) else bytes(secret)
    if len(key) < 16:
        raise WrongSetting("the secret for unsubscribe links must have at least 16 bytes")
    try:
        sender = sender_of(str(settings.get("mail_from") or DEFAULT_FROM))
    except HeaderError as error:
        raise WrongSetting(f"CARTERA_MAIL_FROM {error}") from error
    return Writer(sender, str(settings.get("public_url") or "http://127.0.0.1:8000").rstrip("/"), key)
