"""What others are told of a message: its state on `messages`, and a sent e-mail as an interaction."""

from services.campaign.model import Customer, Message
from shared.events.envelope import Event, derived_id, fingerprint, raw
from shared.events.identifiers import KINDS
from shared.events.interactions import TOPIC as INTERACTIONS
from shared.events.messages import TOPIC as MESSAGES
from shared.events.messages import MessageChanged
from shared.events.outgoing import Outgoing, say
from shared.events.times import from_ms, rfc3339

SOURCE = "cartera/campaign"


def told(message: Message) -> Outgoing:
    """The `messages` event of the state a message has reached; its id is derived from the state's number."""
    body = MessageChanged(
        message_id=message.message_id,
        campaign=message.campaign,
        step=message.step,
        profile_id=message.profile_id,
        channel=message.channel,
        occasion=message.occasion,
        reason=message.reason,
        planned_at=from_ms(message.planned_at),
        sent_at=None if message.sent_at is None else from_ms(message.sent_at),
    )
    event = Event(
        specversion="1.0",
        id=derived_id(message.message_id, message.revision),
        source=SOURCE,
        type=f"message.{message.state}",
        time=from_ms(message.changed_at),
        subject=message.profile_id,
        data=raw(body),
        history=message.history,
    )
    return say(MESSAGES, message.profile_id, event)


def as_interaction(message: Message, customer: Customer) -> Outgoing:
    """A sent e-mail as the `email.sent` that profile counts; the id is the message's own."""
    at = from_ms(message.sent_at or message.changed_at)
    identifiers: dict[str, str] = {}
    for known in customer.view.identifiers if customer.view else ():
        identifiers.setdefault(known.kind, known.value)
    data = {
        "customer": identifiers,
        "message_id": message.message_id,
        "campaign": message.campaign,
        "subject": message.subject,
    }
    event = Event(
        specversion="1.0",
        id=message.message_id,
        source=SOURCE,
        type="email.sent",
        time=at,
        data=raw(data),
        receivedat=at,
        fingerprint=fingerprint("email.sent", rfc3339(at), data),
    )
    strongest = next((kind for kind in KINDS if kind in identifiers), None)
    key = f"{strongest}:{identifiers[strongest]}" if strongest else message.profile_id
    return say(INTERACTIONS, key, event)
