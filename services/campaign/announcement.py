"""What others are told of a message: its state on `messages`, and a sent e-mail as an interaction."""

from collections.abc import Mapping
from datetime import datetime

from services.campaign.model import Message, View
from shared.events.envelope import Event, derived_id, fingerprint, raw
from shared.events.identifiers import PRIORITY
from shared.events.interactions import TOPIC as INTERACTIONS
from shared.events.messages import TOPIC as MESSAGES
from shared.events.messages import MessageChanged
from shared.events.outgoing import Outgoing, say
from shared.events.times import from_ms

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


def as_interaction(message: Message, view: View | None) -> Outgoing | None:
    """A sent e-mail as the `email.sent` that profile counts; the id is the message's own."""
    if view is None:
        return None
    data = {"message_id": message.message_id, "campaign": message.campaign, "subject": message.subject}
    return interaction(view, "email.sent", message.message_id, from_ms(message.sent_at or message.changed_at), data)


def interaction(
    view: View, kind: str, name: str, time: datetime, data: Mapping[str, object], received: datetime | None = None
) -> Outgoing | None:
    """Something that a customer did or that was done to him, for `interactions`; None when nothing identifies him.

    It names his strongest identifier only: what is said by us must not become evidence that several are one customer.
    `name` is the event's id. Its time is no part of its content: what is said again later is the same event.
    """
    if not view.identifiers:
        return None
    named = min(view.identifiers, key=lambda known: (PRIORITY[known.kind], known.value))
    content = {"customer": {named.kind: named.value}, **data}
    event = Event(
        specversion="1.0",
        id=name,
        source=SOURCE,
        type=kind,
        time=time,
        data=raw(content),
        receivedat=received or time,
        fingerprint=fingerprint(kind, None, content),
    )
    return say(INTERACTIONS, f"{named.kind}:{named.value}", event)
