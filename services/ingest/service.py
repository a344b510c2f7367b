"""The entrance as a value."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from services.ingest import letters, store
from services.ingest.acceptance import INVALID_EVENT
from services.ingest.api import router
from services.ingest.cloudevents import MAIN_TYPES
from services.ingest.compatible.vocabulary import load
from services.ingest.core import evolve, react
from services.ingest.entrance import read_source
from services.ingest.model import Accepted, Forgotten, Incoming
from shared.errors import Fault, InvalidEvent
from shared.events import dead_letters, envelope, erasures, interactions
from shared.events.envelope import event_key
from shared.events.times import from_ms, to_ms
from shared.log import Record
from shared.runtime.service import Service


def build(settings: Mapping[str, Any]) -> Service:
    """The service under company settings: `currency`, `region` (of phone numbers), `clock`, `blocked_values`, and
    `mapping_file` (of more names of track events).
    """
    more = settings.get("mapping_file")
    vocabulary = load(more) if more is not None else None

    def decode(record: Record) -> Incoming | None:
        if record.topic == dead_letters.TOPIC:
            return letters.read(record.value or b"")
        if record.topic == erasures.TOPIC:
            return _forgotten(record)
        return read_source(record, from_ms(record.timestamp), settings)

    return Service(
        name="ingest",
        consumes=(*MAIN_TYPES, dead_letters.TOPIC, erasures.TOPIC),
        produces=(interactions.TOPIC, dead_letters.TOPIC, erasures.TOPIC),
        metadata=store.metadata,
        migrations=Path(__file__).parent / "migrations",
        decode=decode,
        load=store.load,
        evolve=evolve,
        react=react,
        save=store.save,
        router=partial(router, vocabulary=vocabulary),
        identity=_identity,
        event_ms=_event_ms,
        describe=_describe,
        report=lambda work: work.confirmed,
    )


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
