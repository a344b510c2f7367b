"""What becomes of a message after it was sent: in whatever order the news come, the furthest that is known counts."""

import msgspec

from services.campaign.model import (
    CLICKED,
    CONVERTED,
    DELIVERED,
    FAILED,
    HELD,
    HOLD_OUT,
    REFUSED,
    SENT,
    Message,
    ProfileSeen,
    View,
)
from shared.events.times import to_ms

NEWS = {
    "email.delivered": DELIVERED,
    "email.opened": DELIVERED,
    "email.replied": DELIVERED,
    "email.complained": DELIVERED,
    "email.unsubscribed": DELIVERED,
    "email.clicked": CLICKED,
    "email.bounced": FAILED,
}
"""What an interaction that names a message says of it."""

LATE_MS = 7 * 86_400_000
"""How long after its time a goal is still waited for: the event may come late."""

_replace = msgspec.structs.replace


def awaits_goal(message: Message, now_ms: int) -> bool:
    """Whether a message that is finished may still be found to have reached its goal: sent or held out, in time."""
    counts = message.sent_at is not None or (message.state == REFUSED and message.reason == HOLD_OUT)
    return counts and message.converted_at is None and past_goal(message, now_ms).goal_until is not None


def past_goal(message: Message, now_ms: int) -> Message:
    """The message without its goal once that is waited for no longer, sent or still on its way."""
    over = message.goal_until is not None and now_ms > message.goal_until + LATE_MS
    return _replace(message, goal_until=None) if over else message


def told_of(message: Message, event: ProfileSeen, before: View | None) -> Message:
    """The message after a new version of the record, which may be its goal or name it."""
    now_ms = to_ms(event.time)
    message = _with_goal(message, event)
    if message.message_id == event.about:
        hard = event.view.emails.hard_bounced > (before.emails.hard_bounced if before else 0)
        message = _heard(message, NEWS[event.cause_type or ""], now_ms, hard)
    return advanced(message, now_ms)


def _with_goal(message: Message, event: ProfileSeen) -> Message:
    """The goal event after the occasion and within the goal's time: the latest before the message is decided, the first
    after it. Late ones and those of a merge count."""
    if message.goal_until is None or message.converted_at is not None:
        return message
    last = event.view.purchases.last_at if message.goal_event == "purchase.completed" else None
    moments = [event.time] if event.cause_type == message.goal_event else []
    moments += [] if last is None else [last]
    times = [at for at in map(to_ms, moments) if message.occurred_at < at <= message.goal_until]
    latest = max([*times, message.goal_at or 0])
    return message if latest == (message.goal_at or 0) else _replace(message, goal_at=latest)


def _heard(message: Message, news: str, now_ms: int, hard: bool) -> Message:
    if message.state == HELD and message.decided_at is not None:
        # what was delivered, clicked or bounced has surely been sent
        message = _replace(message, sent_at=now_ms)
    if news == FAILED:
        return _replace(message, bounced="hard" if hard or message.bounced == "hard" else "soft")
    if news == CLICKED:
        return message if message.clicked_at is not None else _replace(message, clicked_at=now_ms)
    return message if message.delivered_at is not None else _replace(message, delivered_at=now_ms)


def advanced(message: Message, now_ms: int) -> Message:
    """A sent message in the furthest state that is known of it."""
    if message.sent_at is None:
        return message
    state = _furthest(message)
    if state == message.state:
        return message
    steps = 2 if message.state == HELD and state != SENT else 1
    reason = f"bounced: {message.bounced}" if state == FAILED else message.reason
    if state != FAILED and message.state in (FAILED, HELD):
        reason = None
    return _replace(message, state=state, reason=reason, changed_at=now_ms, revision=message.revision + steps)


def _furthest(message: Message) -> str:
    if message.converted_at is not None:
        return CONVERTED
    if message.clicked_at is not None:
        return CLICKED
    if message.bounced == "hard":
        return FAILED
    if message.delivered_at is not None:
        return DELIVERED
    return SENT if message.bounced is None else FAILED


def passed(before: Message | None, after: Message) -> tuple[Message, ...]:
    """The states that a message has entered in one step, in order: what is told and kept of each, once."""
    if before is None or before.sent_at is not None or after.sent_at is None or after.state == SENT:
        return () if before is not None and before.revision == after.revision else (after,)
    sent = _replace(after, state=SENT, reason=None, changed_at=after.sent_at, revision=after.revision - 1)
    return sent, after
