"""From the records of the two topics to the events of the core."""

from datetime import datetime

import msgspec

from services.campaign.model import CampaignEvent, ClassChanged, Due, Marked, Outcome, ProfileGone, ProfileSeen, View
from services.campaign.tracking import NEWS
from shared.errors import Fault, InvalidEvent
from shared.events.envelope import Event, decode, event_key
from shared.events.interactions import BEGIN, END, Mark
from shared.events.profiles import TOPIC as PROFILES
from shared.events.profiles import UPDATED, Removal
from shared.events.segments import CHANGED
from shared.events.segments import decoder as _changes
from shared.events.times import from_ms, rfc3339, to_ms
from shared.log import Record

_views = msgspec.json.Decoder(View)
_removals = msgspec.json.Decoder(Removal)
_marks = msgspec.json.Decoder(Mark)


def read(record: Record) -> CampaignEvent | None:
    """One record as an event of the core, None for what concerns nobody here. Raises InvalidEvent."""
    try:
        if record.value is None:
            return _removal(record)
        event = decode(record.value)
        if event.type in (BEGIN, END):
            mark = _marks.decode(event.data)
            return Marked(mark.name, event.type == BEGIN, record.topic, record.partition, event.time, mark.send)
        if record.topic == PROFILES:
            return _profile(record, event) if event.type == UPDATED else None
        return _change(record, event) if event.type == CHANGED else None
    except msgspec.MsgspecError as error:
        raise InvalidEvent("invalid_record", (Fault(str(error)),)) from error


def _header(record: Record, name: str) -> bytes | None:
    return next((value for header, value in record.headers if header == name), None)


def _removal(record: Record) -> ProfileGone | None:
    header = _header(record, "removal")
    if record.topic != PROFILES or header is None:
        return None
    gone = _removals.decode(header)
    key = f"{gone.profile_id}/removed/{gone.version}"
    return ProfileGone(
        profile_id=gone.profile_id,
        time=gone.time,
        reason=gone.reason,
        version=gone.version,
        into=gone.into,
        history=gone.history,
        key=key,
        erasure_id=gone.erasure_id,
        part=record.partition,
    )


def _profile(record: Record, event: Event) -> ProfileSeen:
    view = _views.decode(event.data)
    return ProfileSeen(
        profile_id=view.profile_id,
        time=event.time,
        view=view,
        record=bytes(event.data),
        history=event.history,
        cause_source=event.causesource,
        cause_id=event.causeid,
        cause_type=event.causetype,
        reason=(_header(record, "reason") or b"event").decode(),
        key=event_key(event),
        received=event.receivedat,
        appended=from_ms(record.timestamp),
        about=event.causemessage if event.causetype in NEWS else None,
        part=record.partition,
    )


def _change(record: Record, event: Event) -> ClassChanged:
    change = _changes.decode(event.data)
    seen = {
        "type": event.type,
        "segmentation": change.segmentation,
        "from": change.from_,
        "to": change.to,
        "cause": change.cause,
        "time": rfc3339(change.occurred_at),
        "evidence": change.evidence,
    }
    return ClassChanged(
        profile_id=change.profile_id,
        time=change.occurred_at,
        segmentation=change.segmentation,
        from_=change.from_,
        to=change.to,
        version=change.version,
        cause=change.cause,
        event=seen,
        profile_version=change.profile_version,
        history=event.history,
        key=event_key(event),
        received=event.receivedat,
        appended=from_ms(record.timestamp),
        part=record.partition,
    )


def identity(event: CampaignEvent) -> tuple[str, str] | None:
    """What the inbox remembers of an event; marks may come again."""
    match event:
        case ProfileSeen() | ProfileGone() | ClassChanged():
            return event.key, ""
    return None


def event_ms(event: CampaignEvent) -> int:
    """An event's own time in milliseconds."""
    return to_ms(event.time)


def order(event: CampaignEvent) -> tuple[str, int, int]:
    """A customer's record of a version goes before the class changes that name it, these before the next version."""
    match event:
        case ProfileSeen():
            return event.profile_id, event.view.version, 0
        case ProfileGone():
            return event.profile_id, event.version, 0
        case ClassChanged():
            return event.profile_id, event.profile_version, 1
    return "", 0, 0


_KINDS = {ProfileSeen: UPDATED, ProfileGone: "profile.removed", ClassChanged: CHANGED, Marked: "mark"}


def describe(event: CampaignEvent) -> tuple[str, datetime | None]:
    """The type of an event, and for a live one when it arrived at our door."""
    if isinstance(event, Due | Outcome):
        return "timer", None
    received = getattr(event, "received", None)
    live = getattr(event, "history", None) is None
    return _KINDS[type(event)], received if live else None
