"""The entrance as a value."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.ingest import letters, retention, store
from services.ingest.api import router
from services.ingest.cloudevents import MAIN_TYPES
from services.ingest.core import evolve, react
from services.ingest.entrance import read_source
from services.ingest.model import Accepted, Incoming
from shared.events import dead_letters, interactions
from shared.events.envelope import event_key
from shared.events.times import from_ms, to_ms
from shared.log import Record
from shared.runtime.service import Service


def build(settings: Mapping[str, Any]) -> Service:
    """The service under company settings.

    `currency`, `region` (of phone numbers), `clock`, `blocked_values` and `dead_letter_retention` (a timedelta; letters
    are kept for good without it, and under the clock of events, in which old times come late).
    """
    kept = settings.get("dead_letter_retention") if settings.get("clock", "system") == "system" else None

    def decode(record: Record) -> Incoming:
        if record.topic == dead_letters.TOPIC:
            return letters.read(record.value or b"")
        return read_source(record, from_ms(record.timestamp), settings)

    return Service(
        name="ingest",
        consumes=(*MAIN_TYPES, dead_letters.TOPIC),
        produces=(interactions.TOPIC, dead_letters.TOPIC),
        metadata=store.metadata,
        decode=decode,
        load=store.load,
        evolve=evolve,
        react=react,
        save=store.save,
        router=router,
        identity=_identity,
        event_ms=_event_ms,
        describe=_describe,
        timers=retention.timers(kept) if kept is not None else None,
    )


def _identity(event: Incoming) -> tuple[str, str] | None:
    """Letters need no inbox: their own table knows them."""
    if isinstance(event, Accepted):
        return event_key(event.event), event.event.fingerprint or ""
    return None


def _event_ms(event: Incoming) -> int:
    return to_ms(event.event.time if isinstance(event, Accepted) else event.received_at)


def _describe(event: Incoming) -> tuple[str, datetime | None]:
    if isinstance(event, Accepted):
        return event.event.type, event.event.receivedat
    return dead_letters.REJECTED, None


SERVICE = build({})
"""The entrance with default settings."""
