"""The stages profile and segment without a loop and without a log: events in, class changes out, time by hand."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, StaticPool, create_engine

from services.profile.service import SERVICE as PROFILE
from services.segment import definitions
from services.segment.customers import everybody
from services.segment.model import Customer
from services.segment.service import SERVICE as SEGMENT
from shared.database import transaction
from shared.events.envelope import Event, encode
from shared.events.outgoing import Outgoing
from shared.events.times import EPOCH, from_ms
from shared.log import Record, TopicPartition
from shared.runtime.processor import Slice, claim, fire, process
from shared.runtime.schema import prepare
from shared.runtime.service import Service, Watermark
from tests.builders import START

Change = dict[str, Any]


def in_memory() -> Engine:
    """A SQLite database that nobody else sees."""
    return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


class Stage:
    """One service on one database, reading one partition."""

    def __init__(self, service: Service, engine: Engine) -> None:
        self.service = service
        self.engine = engine
        prepare(engine, service)
        self._claim, _ = claim(engine, TopicPartition(service.consumes[0], 0), "test")

    def feed(self, records: Sequence[Outgoing]) -> list[Outgoing]:
        """Apply some records as one batch, or as several where an import waits for the close of a day."""
        said: list[Outgoing] = []
        while records:
            start, topic = self._claim.position.offset, self.service.consumes[0]
            read = [
                Record(topic, 0, start + place, 0, record.key, record.value, record.headers)
                for place, record in enumerate(records)
            ]
            applied = process(self.engine, self.service, [Slice(self._claim, read)])
            assert not applied.rejected, applied.rejected
            (self._claim,) = applied.claims
            said += applied.said
            records = records[self._claim.position.offset - start :]
            for waits in applied.held.values():
                said += self.tick(EPOCH, from_ms(waits))
        return said

    def tick(self, now: datetime, history: datetime | None = None) -> list[Outgoing]:
        """Let time go on to a moment, that of an open import to another; what follows from it."""
        timers = self.service.timers
        assert timers is not None
        said: list[Outgoing] = []
        while True:
            with transaction(self.engine) as connection:
                events = timers.due(connection, Watermark(live=now, history=history), 2000)
                if events is None:
                    return said
                said += fire(self.service, events, connection)


class Chain:
    """Profile and segment, one behind the other; all changes that were published."""

    def __init__(self, engine: Engine | None = None, *, by_events: bool = True) -> None:
        self.profile = Stage(PROFILE, in_memory())
        self.segment = Stage(SEGMENT, engine or in_memory())
        self.engine = self.segment.engine
        self.changes: list[Change] = []
        with transaction(self.engine) as connection:
            definitions.start(connection, "EUR", START, by_events=by_events)

    def put(self, *documents: dict[str, Any], at: datetime = START) -> None:
        """Put definitions in force."""
        for document in documents:
            definitions.put(self.engine, document["segmentation"], document, at)

    def drop(self, *names: str, at: datetime = START) -> None:
        """Take definitions away."""
        for name in names:
            assert definitions.drop(self.engine, name, at)

    def only(self, *documents: dict[str, Any]) -> "Chain":
        """Have these definitions and no others."""
        self.drop("frequency", "pareto", "status", "volume")
        self.put(*documents)
        return self

    def feed(self, *events: Event) -> None:
        """One batch of interactions through both stages."""
        self.apply(self.profile.feed([Outgoing("interactions", "", encode(event)) for event in events]))

    def apply(self, records: Iterable[Outgoing]) -> None:
        """One batch of records of the segment stage."""
        self._told(self.segment.feed(list(records)))

    def tick(self, now: datetime) -> None:
        """Let time go on to a moment."""
        self._told(self.segment.tick(now))

    def _told(self, said: Sequence[Outgoing]) -> None:
        self.changes += [json.loads(one.value or b"") for one in said if one.topic == "segment-changes"]

    def history(self, segmentation: str, customer_id: str | None = None) -> list[Change]:
        """The data of the changes in one segmentation, of one customer or of all."""
        data = [change["data"] for change in self.changes if change["data"]["segmentation"] == segmentation]
        return [one for one in data if customer_id is None or one["customer"].get("customer_id") == customer_id]

    def customers(self) -> dict[str, Customer]:
        """Everybody by the customer number."""
        with self.engine.connect() as connection:
            return {one.shown["customer_id"]: one for one in everybody(connection) if one.facts is not None}

    def classes(self) -> dict[str, dict[str, str | None]]:
        """The classes of everybody, by customer number and segmentation."""
        return {
            name: {segmentation: held.class_ for segmentation, held in one.memberships.items() if held.class_}
            for name, one in self.customers().items()
        }
