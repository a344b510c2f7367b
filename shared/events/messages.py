"""Topic `messages`: what was planned, sent, refused and answered, one message per state of a message."""

from datetime import datetime

import msgspec

TOPIC = "messages"


class MessageChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A message reached a state; the event's type is `message.` and the state.

    States: planned, sent, delivered, clicked, converted, refused, failed, held.
    """

    message_id: str
    campaign: str
    step: int
    profile_id: str
    channel: str | None
    occasion: str
    reason: str | None = None
    planned_at: datetime | None = None
    sent_at: datetime | None = None
