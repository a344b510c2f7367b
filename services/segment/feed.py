"""A class change as the CloudEvent that stands on the topic, in REST and on the stream: one form for all. Pure."""

from shared.events.envelope import Event, derived_id, raw
from shared.events.segments import CHANGED, SegmentChanged


def as_event(change: SegmentChanged, history: str | None = None) -> Event:
    """The event of a change. Its id follows from customer, segmentation and version, so every telling has the same."""
    return Event(
        specversion="1.0",
        id=derived_id(f"{change.profile_id}/{change.segmentation}", change.version),
        source="cartera/segment",
        type=CHANGED,
        subject=change.profile_id,
        time=change.occurred_at,
        data=raw(change),
        history=history,
    )
