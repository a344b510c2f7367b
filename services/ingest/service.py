"""The entrance as a value."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.ingest import letters, retention, store
from services.ingest.acceptance import INVALID_EVENT
from services.ingest.api import router
from services.ingest.cloudevents import MAIN_TYPES, sender_of
from services.ingest.compatible.vocabulary import load
from services.ingest.core import evolve, react
from services.ingest.judging import read_source
from services.ingest.model import Accepted, Forgotten, Incoming
from services.ingest.quarantine import Watch
from services.ingest.sources import store as sources
from services.ingest.sources.store import Quarantine
from shared.errors import Fault, InvalidEvent
from shared.events import dead_letters, envelope, erasures, interactions
from shared.events.envelope import event_key
from shared.events.times import from_ms, to_ms
from shared.log import Record
from shared.runtime.service import Context, Service
from shared.runtime.web import Check, CheckResult
from shared.telemetry import logger


def build(settings: Mapping[str, Any]) -> Service:
    """The service under company settings.

    `currency`, `region` (of phone numbers), `clock`, `blocked_values`, `mapping_file` (of more names of track events),
    and `dead_letter_retention` (a timedelta; letters are kept for good without it, and under the clock of events, in
    which old times come late).
    """
    kept = settings.get("dead_letter_retention") if settings.get("clock", "system") == "system" else None
    more = settings.get("mapping_file")
    vocabulary = load(more) if more is not None else None
    watch = Watch()

    def decode(record: Record) -> Incoming | None:
        if record.topic == dead_letters.TOPIC:
            return letters.read(record.value or b"")
        if record.topic == erasures.TOPIC:
            return _forgotten(record)
        try:
            accepted = read_source(record, from_ms(record.timestamp), settings)
        except InvalidEvent:
            watch.count(sender_of(record), False, record.timestamp)
            raise
        watch.count(accepted.event.source, True, record.timestamp)
        return accepted

    def save(connection: Connection, work: Any) -> None:
        store.save(connection, work)
        _confine(connection, watch.take())

    return Service(
        name="ingest",
        consumes=(*MAIN_TYPES, dead_letters.TOPIC, erasures.TOPIC),
        produces=(interactions.TOPIC, dead_letters.TOPIC, erasures.TOPIC),
        metadata=store.metadata,
        migrations=Path(__file__).parent / "migrations",
        decode=decode,
        load=_load,
        evolve=evolve,
        react=react,
        save=save,
        router=partial(router, vocabulary=vocabulary),
        identity=_identity,
        event_ms=_event_ms,
        describe=_describe,
        report=lambda work: work.confirmed,
        checks=_checks,
        timers=retention.timers(kept) if kept is not None else None,
    )


def _load(connection: Connection, events: Sequence[Incoming]) -> store.Work:
    names = {event.event.source for event in events if isinstance(event, Accepted)}
    return store.load(connection, sources.rules(connection, names) if names else {}, events)


def _confine(connection: Connection, found: Sequence[Quarantine]) -> None:
    if found:
        sources.confine(connection, found)
        logger().warning("sources_quarantined", service="ingest", count=len(found))


def _checks(context: Context) -> Mapping[str, Check]:
    """A source in quarantine is a warning: the rest goes on."""

    def quarantine() -> CheckResult:
        with context.engine.connect() as connection:
            found = [one.source for one in sources.quarantines(connection)]
        if not found:
            return CheckResult("pass", 0, "sources")
        told = f"in quarantine: {', '.join(found[:10])}; `cartera dead-letters list --code quarantined`"
        return CheckResult("warn", len(found), "sources", told)

    return {"quarantine": quarantine}


def _forgotten(record: Record) -> Forgotten | None:
    try:
        event = envelope.decode(record.value or b"")
        return Forgotten(erasures.erasure_in.decode(event.data), event.time) if event.type == erasures.ERASED else None
    except msgspec.DecodeError as error:
        raise InvalidEvent(INVALID_EVENT, (Fault(str(error)),)) from error


def _identity(event: Incoming) -> tuple[str, str] | None:
    """Letters need no inbox: their own table knows them."""
    if isinstance(event, Accepted):
        return event_key(event.event), event.event.fingerprint or ""
    return (f"erasure/{event.about.erasure_id}", "") if isinstance(event, Forgotten) else None


def _event_ms(event: Incoming) -> int:
    if isinstance(event, Forgotten):
        return to_ms(event.at)
    return to_ms(event.event.time if isinstance(event, Accepted) else event.received_at)


def _describe(event: Incoming) -> tuple[str, datetime | None]:
    if isinstance(event, Accepted):
        return event.event.type, event.event.receivedat
    return erasures.ERASED if isinstance(event, Forgotten) else dead_letters.REJECTED, None


SERVICE = build({})
"""The entrance with default settings."""
