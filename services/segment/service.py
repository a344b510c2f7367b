"""The segment service as a value."""

from datetime import datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from services.segment import definitions, timing
from services.segment.api import router
from services.segment.core import evolve, react
from services.segment.model import Gone, Marked, Seen, SegmentEvent
from services.segment.present import UPSTREAM, by_events
from services.segment.store import load, save
from services.segment.tables import metadata
from services.segment.waiting import hold
from shared.errors import Fault, InvalidEvent
from shared.events import envelope
from shared.events.erasures import TOPIC as ERASURES
from shared.events.interactions import BEGIN, END, Mark
from shared.events.profiles import TOPIC, UPDATED, Removal, decoder
from shared.events.segments import TOPIC as CHANGES
from shared.events.segments import CauseEvent
from shared.events.times import to_ms
from shared.log import Record
from shared.runtime.service import Context, Service, Timers

_removal = msgspec.json.Decoder(Removal)
_mark = msgspec.json.Decoder(Mark)


def decode(record: Record) -> SegmentEvent | None:
    """Read a record of `profiles`: a new version, a tombstone, a mark. Raises InvalidEvent."""
    try:
        if record.value is None:
            told = dict(record.headers).get("removal")
            return Gone(removal=_removal.decode(told)) if told else None
        event = envelope.decode(record.value)
        if event.type in (BEGIN, END):
            return Marked(name=_mark.decode(event.data).name, open=event.type == BEGIN, at=event.time)
        if event.type != UPDATED:
            return None
        return Seen(
            profile=decoder.decode(event.data),
            at=event.time,
            event_id=event.id,
            cause=_reason(record),
            cause_event=CauseEvent(event.causesource or "", event.causeid or "", event.causetype or ""),
            received_at=event.receivedat,
            history=event.history,
            part=record.partition,
        )
    except msgspec.DecodeError as error:
        raise InvalidEvent("invalid_event", (Fault(str(error)),)) from error


def _reason(record: Record) -> str:
    for name, value in record.headers:
        if name == "reason":
            return value.decode()
    return "event"


def identity(event: SegmentEvent) -> tuple[str, str] | None:
    """Records of one customer are told apart by the id of what caused them; marks may come again."""
    match event:
        case Seen():
            return event.event_id, ""
        case Gone():
            return f"removal/{event.removal.profile_id}/{event.removal.event_id}", str(event.removal.version)
    return None


def event_ms(event: SegmentEvent) -> int:
    """The time of what a record tells."""
    match event:
        case Seen():
            return to_ms(event.at)
        case Gone():
            return to_ms(event.removal.time)
        case Marked():
            return to_ms(event.at)
    return 0


def describe(event: SegmentEvent) -> tuple[str, datetime | None]:
    """Type and arrival for the metrics."""
    if isinstance(event, Seen):
        return UPDATED, event.received_at if event.history is None else None
    return "mark" if isinstance(event, Marked) else "removal", None


def start(connection: Connection, context: Context) -> None:
    """First start: the shipped definitions."""
    definitions.start(connection, context.settings["currency"], context.clock(), by_events=by_events(context))


SERVICE = Service(
    name="segment",
    consumes=(TOPIC,),
    produces=(CHANGES, ERASURES),
    metadata=metadata,
    migrations=Path(__file__).parent / "migrations",
    decode=decode,
    load=load,
    evolve=evolve,
    react=react,
    save=save,
    router=router,
    identity=identity,
    event_ms=event_ms,
    describe=describe,
    hold=hold,
    timers=Timers(next_due=timing.next_due, due=timing.due, overdue=timing.overdue),
    upstream=UPSTREAM,
    report=lambda work: work.confirmed,
    start=start,
)
