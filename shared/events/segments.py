"""Topic `segment-changes`: one message per class change, with its reason and evidence."""

from datetime import datetime

import msgspec

TOPIC = "segment-changes"
CHANGED = "segment.changed"


class CauseEvent(msgspec.Struct, frozen=True):
    """The interaction that caused a change."""

    source: str
    id: str
    type: str


class SegmentChanged(msgspec.Struct, frozen=True, kw_only=True):
    """One customer moved from one class of a segmentation to another.

    `from_` is None on the first class, `to` is None when the customer leaves. `cause`: event, time, population,
    definition, merge, split, erasure. `version` counts per (customer, segmentation) from 1.
    """

    profile_id: str
    segmentation: str
    from_: str | None = msgspec.field(name="from")
    to: str | None
    version: int
    cause: str
    occurred_at: datetime
    definition_version: int
    profile_version: int
    cause_event: CauseEvent | None = None
    evidence: dict[str, object] = {}
    customer: dict[str, str] = {}


decoder = msgspec.json.Decoder(SegmentChanged)
