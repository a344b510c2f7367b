"""One campaign service with a clock in the test's hand, and the records that reach it."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, create_engine, func, select, update

from services.campaign import tables
from services.campaign.gateway import Gateway
from services.campaign.service import SERVICE, rulebooks_of
from shared.database import transaction
from shared.events.envelope import Event, decode, derived_id, encode, raw
from shared.events.outgoing import Outgoing
from shared.events.profiles import UPDATED, Consent, Known, Profile
from shared.events.segments import CHANGED, SegmentChanged
from shared.log import Record, TopicPartition
from shared.log.sqlite import SqliteLog
from shared.runtime.processor import fire
from shared.runtime.service import Context, Watermark
from shared.runtime.web import build
from shared.security import StoredKeys
from shared.telemetry import Metrics

NOON = datetime(2026, 5, 25, 12, 0, tzinfo=UTC)


class House:
    """One campaign service with a clock in the test's hand, the owner of one partition."""

    def __init__(self, engine: Engine, folder: Path, part: int = 0, **settings: Any) -> None:
        self.engine = engine
        self.part = part
        self.nudged = 0
        self.now = NOON
        self.log = SqliteLog(folder / "log.db", 1, lambda: 0)
        self.outbox = folder / "outbox"
        given = {"secret": "s" * 32, "outbox_dir": self.outbox, "public_url": "https://e.example", **settings}
        self.context = Context(
            engine=engine,
            log=self.log,
            clock=lambda: self.now,
            settings=given,
            nudge=self._nudge,
            parts=lambda: (self.part,),
        )
        assert SERVICE.start is not None
        with transaction(engine) as connection:
            SERVICE.start(connection, self.context)
        SERVICE.router(self.context)
        self.said: list[Outgoing] = []
        self.gateway = self.another_gateway()

    def _nudge(self) -> None:
        self.nudged += 1

    def another_gateway(self) -> Gateway:
        return Gateway(self.context, rulebooks_of(self.engine))

    def apply(self, *records: Record) -> None:
        events = [event for record in records if (event := SERVICE.decode(record)) is not None]
        assert SERVICE.order is not None
        with transaction(self.engine) as connection:
            self.said += fire(SERVICE, sorted(events, key=SERVICE.order), connection)

    def fire(self) -> int:
        """Everything that is due; how many timers and outcomes there were."""
        assert SERVICE.timers is not None
        fired = 0
        while True:
            with transaction(self.engine) as connection:
                events = SERVICE.timers.due(connection, Watermark(live=self.now, partition=self.part, parts=2), 500)
                if events is None:
                    return fired
                fired += len(events)
                self.said += fire(SERVICE, events, connection)

    def send(self) -> None:
        self.fire()
        while self.gateway.send_batch():
            self.fire()

    def states(self) -> Counter[tuple[str, str | None]]:
        table = tables.message
        with self.engine.connect() as connection:
            rows = connection.execute(select(table.c.state, table.c.reason)).all()
        return Counter((row.state, row.reason if row.state in ("refused", "held") else None) for row in rows)

    def count(self, table: Any) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())

    def types(self) -> list[str]:
        return [decode(record.value or b"").type for record in self.said]


def name_of(number: int) -> str:
    return derived_id("somebody", number)


def record_of(number: int = 1, version: int = 1, history: str | None = None, **given: Any) -> Record:
    time, cause, about = given.pop("time", NOON), given.pop("cause", None), given.pop("about", None)
    part = given.pop("part", 0)
    profile = Profile(
        profile_id=name_of(number),
        version=version,
        identifiers=given.pop(
            "identifiers", (Known("customer_id", f"C{number}", NOON), Known("email", f"c{number}@example.com", NOON))
        ),
        traits=given.pop("traits", {"name": "Ana Pérez"}),
        consents=given.pop("consents", {"email": Consent("granted", "marketing", NOON)}),
        first_seen_at=NOON,
        last_seen_at=NOON,
        **given,
    )
    event = Event(
        specversion="1.0",
        id=derived_id(profile.profile_id, version),
        source="cartera/profile",
        type=UPDATED,
        time=time,
        data=raw(profile),
        history=history,
        causesource=None if cause is None else "test",
        causeid=None if cause is None else f"{number}/{version}",
        causetype=cause,
        causemessage=about,
    )
    return Record("profiles", part, version, 0, profile.profile_id, encode(event))


def change_of(number: int = 1, version: int = 1, history: str | None = None, **given: Any) -> Record:
    change = SegmentChanged(
        profile_id=name_of(number),
        segmentation="status",
        from_=given.get("from_"),
        to=given.get("to", "active"),
        version=version,
        cause="event",
        occurred_at=given.get("time", NOON),
        definition_version=1,
        profile_version=given.get("profile_version", 1),
    )
    event = Event(
        specversion="1.0",
        id=derived_id(f"{change.profile_id}/status", version),
        source="cartera/segment",
        type=CHANGED,
        time=change.occurred_at,
        data=raw(change),
        history=history,
    )
    return Record("segment-changes", given.get("part", 0), version, 0, change.profile_id, encode(event))


def mark(kind: str, topic: str) -> Record:
    event = Event(
        specversion="1.0", id=kind, source="cartera/import", type=kind, time=NOON, data=raw({"name": "sample"})
    )
    return Record(topic, 0, 0, 0, None, encode(event))


def files(house: House) -> Sequence[Path]:
    return sorted(house.outbox.rglob("*.eml"))


def put(house: House, kind: str, body: dict[str, Any]) -> None:
    table = tables.document
    with transaction(house.engine) as connection:
        connection.execute(
            update(table).where((table.c.kind == kind) & (table.c.name == body[kind])).values(body=json.dumps(body))
        )


async def said_to_log(house: House) -> list[Event]:
    place = TopicPartition("interactions", 0)
    found = []
    for offset in range((await house.log.ends("interactions")).get(place, 0)):
        record = await house.log.read(place, offset)
        assert record is not None
        found.append(decode(record.value or b""))
    return found


@asynccontextmanager
async def web_of(house: House, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The service's REST as an administrator sees it."""
    keys = StoredKeys(create_engine(f"sqlite:///{folder}/keys.db").begin, lambda: NOON, {"admin": "root"})
    app = build("campaign", [SERVICE.router(house.context)], keys, {}, Metrics("1"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://house", headers={"Authorization": "Bearer root"}
    ) as client:
        yield client
    await house.log.close()
