"""The profile service as a value."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from services.profile.api import router
from services.profile.blackening import Blackener
from services.profile.core import evolve, react
from services.profile.model import hear
from services.profile.store import load, save
from services.profile.tables import metadata
from services.profile.work import Work
from shared.errors import Fault, InvalidEvent
from shared.events.envelope import Event, event_key
from shared.events.erasures import REMOVED, REQUESTED, erasure_in, removed_in
from shared.events.erasures import TOPIC as ERASURES
from shared.events.interactions import BEGIN, END, TOPIC, Mark
from shared.events.profiles import TOPIC as PROFILES
from shared.events.times import to_ms
from shared.log import Record
from shared.runtime import service as runtime
from shared.runtime.alignment import LAST, Alignment, begin, end, open_imports
from shared.runtime.service import Service

DAY_MS = 86_400_000


_marks = msgspec.json.Decoder(Mark)


_CONTENT: Mapping[str, msgspec.json.Decoder[Any]] = {REQUESTED: erasure_in, REMOVED: removed_in}
"""What is read for good when it is read, because nothing but a dead letter can be made of it otherwise."""


def _decode(record: Record) -> Event | None:
    if record.value is None:
        return None
    try:
        event = hear(record.value)
        if event.type in _CONTENT:
            _CONTENT[event.type].decode(event.data)
        return None if record.topic == ERASURES and event.type != REMOVED else event
    except msgspec.DecodeError as error:
        raise InvalidEvent("invalid_event", (Fault(str(error)),)) from None


def _identity(event: Event) -> tuple[str, str] | None:
    return None if event.type in (BEGIN, END) else (event_key(event), event.fingerprint or "")


def _event_ms(event: Event) -> int:
    return to_ms(event.time)


def _describe(event: Event) -> tuple[str, datetime | None]:
    return event.type, None if event.history else event.receivedat


def _save(connection: Connection, work: runtime.Work) -> None:
    assert isinstance(work, Work)
    save(connection, work)


def _hold(connection: Connection, alignment: Alignment) -> Callable[[Event], int | None]:
    """An import on several partitions is read day by day: what follows from a day is published before the next."""
    if alignment.alone:
        return lambda event: None
    imports = open_imports(connection)

    def waits(event: Event) -> int | None:
        if event.type == BEGIN:
            begin(connection, _import_of(event))
            imports.add(_import_of(event))
        elif event.type == END:
            if _import_of(event) in imports and alignment.upto < LAST:
                return LAST
            end(connection, _import_of(event))
        elif event.history in imports and to_ms(event.time) // DAY_MS > alignment.upto // DAY_MS:
            return to_ms(event.time)
        return None

    return waits


def _import_of(event: Event) -> str:
    return _marks.decode(event.data).name


SERVICE = Service(
    name="profile",
    consumes=(TOPIC, ERASURES),
    produces=(PROFILES, ERASURES),
    metadata=metadata,
    migrations=Path(__file__).parent / "migrations",
    decode=_decode,
    load=load,
    evolve=evolve,
    react=react,
    save=_save,
    router=router,
    identity=_identity,
    event_ms=_event_ms,
    describe=_describe,
    hold=_hold,
    workers=lambda context: [Blackener(context).work],
)
"""Reads what customers did and tells what is known of them."""
