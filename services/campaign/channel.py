"""The favourite channel: what the customer said, else what he answers to, else e-mail."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.campaign.model import View
from shared.events.profiles import Known

ADDRESS = {"email": "email", "sms": "phone", "webhook": None}
"""The identifier a channel needs; None: it needs none."""

STATED = {"email": "email", "mail": "email", "e-mail": "email", "sms": "sms", "phone": "sms", "text": "sms"}

PRIOR = {"email": (0.3, 9.7), "sms": (0.5, 9.5), "webhook": (0.1, 9.9)}
"""Beta priors (alpha, beta) of the response rate: 3, 5 and 1 per cent, each worth ten contacts."""


class Choice(NamedTuple):
    """A channel and the sentence that says why."""

    channel: str
    why: str


def address_of(view: View, channel: str) -> str | None:
    """Where the channel reaches the customer: his newest identifier of its kind; a webhook takes the profile id."""
    if ADDRESS[channel] is None:
        return view.profile_id
    known = known_address(view, channel)
    return None if known is None else known.value


def known_address(view: View, channel: str) -> Known | None:
    """The identifier a channel writes to: of several the one that became known last."""
    mine = [known for known in view.identifiers if known.kind == ADDRESS[channel]]
    return max(mine, key=lambda known: (known.first_seen_at, known.value), default=None)


def evidence(view: View) -> Mapping[str, tuple[int, int]]:
    """Responses and contacts per channel: clicks and replies of mails, the customer's own calls; never opens."""
    emails, calls, chats = view.emails, view.calls, view.chats
    answered = min(emails.clicked + emails.replied, max(emails.sent, emails.clicked, emails.replied))
    return {
        "email": (answered, max(emails.sent, answered)),
        "sms": (calls.inbound, max(calls.count, calls.inbound)),
        "webhook": (chats.conversations, chats.conversations),
    }


def response_rate(channel: str, responses: int, contacts: int) -> float:
    """The posterior mean (k + alpha) / (n + alpha + beta)."""
    alpha, beta = PRIOR[channel]
    return (responses + alpha) / (contacts + alpha + beta)


def favourite(view: View, allowed: Sequence[str]) -> Choice:
    """The best of the allowed channels (at least one, in order of preference)."""
    stated = STATED.get(str(view.traits.get("preferred_channel", "")).strip().lower(), "")
    if stated in allowed:
        return Choice(stated, f"the customer asked for {stated}")
    seen = evidence(view)
    if any(seen[channel][0] for channel in allowed):
        best = max(allowed, key=lambda channel: response_rate(channel, *seen[channel]))
        responses, contacts = seen[best]
        return Choice(best, f"he answered {responses} of {contacts} contacts by {best}")
    default = "email" if "email" in allowed else allowed[0]
    return Choice(default, f"{default} is the default")
