"""What happens to events at the door: judged, made durable, answered for one by one."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from services.ingest import letters, plain, store
from services.ingest.acceptance import TOO_LARGE, accept_bytes, key_of, sent_id
from services.ingest.appender import Appender
from services.ingest.cloudevents import MAIN_TYPES, Sent, read_json, read_record
from services.ingest.compatible.translation import PREFIX, Post, reread
from services.ingest.compatible.vocabulary import Vocabulary
from services.ingest.forwarding import forward
from services.ingest.model import Accepted, Letter
from services.ingest.pressure import Pressure
from shared.database import transaction
from shared.errors import Fault, InvalidEvent
from shared.events.outgoing import Outgoing
from shared.events.storable import LARGEST_EVENT
from shared.events.times import to_ms
from shared.log import Record, TopicPartition
from shared.runtime.service import Context

LARGEST_RECORD = 256 * 1024
"""Bytes of one event that comes by a source topic."""

ASIDE = 64
"""So many events at once are judged in a thread, so that the loop goes on serving others."""


class Verdict(NamedTuple):
    """What became of one event."""

    id: str | None
    error: InvalidEvent | None

    def shown(self, index: int) -> dict[str, Any]:
        """The event's line in the answer to its sender."""
        if self.error is None:
            return {"index": index, "id": self.id, "status": "accepted"}
        return {
            "index": index,
            "id": self.id,
            "status": "rejected",
            "code": self.error.code,
            "errors": letters.errors_of(self.error),
        }


def judge(
    envelope: object, received_at: datetime, settings: Mapping[str, Any], age: timedelta | None = None
) -> Accepted:
    """The accepted event. Raises InvalidEvent. Under the clock of events nothing is in the future."""
    clamp = settings.get("clock", "system") == "system"
    event, value = accept_bytes(envelope, received_at, settings, clamp=clamp, age=age)
    return Accepted(event, value, key_of(event))


def read_source(record: Record, received_at: datetime, settings: Mapping[str, Any]) -> Accepted:
    """The accepted event of a record of a source topic. Raises InvalidEvent."""
    if len(record.value or b"") > LARGEST_RECORD:
        raise _too_large(LARGEST_RECORD)
    return judge(read_record(record), received_at, settings)


def judge_history(envelope: object, received_at: datetime, settings: Mapping[str, Any], history: str) -> Accepted:
    """The accepted event of an import. Raises InvalidEvent."""
    clamp = settings.get("clock", "system") == "system"
    event, value = accept_bytes(envelope, received_at, settings, history, clamp)
    if len(value) > LARGEST_RECORD:
        raise _too_large(LARGEST_RECORD)
    return Accepted(event, value, key_of(event))


def _too_large(most: int) -> InvalidEvent:
    return InvalidEvent(TOO_LARGE, (Fault(f"an event may have at most {most} bytes"),))


class Entrance:
    """The door of one process."""

    def __init__(self, context: Context, vocabulary: Vocabulary) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._appender = Appender(context.log)
        self.pressure = Pressure(context.settings.get("rate_limit"))

    async def take(self, sent: Sequence[Sent]) -> Sequence[Verdict]:
        """Judge events and make each durable, as an interaction or as a dead letter. Raises Unavailable: send again."""
        received_at = self._context.clock()
        if len(sent) < ASIDE:
            judged = self._judge_all(sent, received_at)
        else:
            judged = await asyncio.to_thread(self._judge_all, sent, received_at)
        verdicts, records, refused = judged
        await self._appender.append(records)
        await self._keep(refused)
        self._count(sent, verdicts)
        return verdicts

    def _count(self, sent: Sequence[Sent], verdicts: Sequence[Verdict]) -> None:
        metrics = self._context.metrics
        outcomes = Counter(
            (letters.text_of(one.envelope, "type") or "", verdict.error.code if verdict.error else None)
            for one, verdict in zip(sent, verdicts, strict=True)
        )
        for (kind, code), count in outcomes.items():
            metrics.handled("ingest", kind, "rejected" if code else "accepted", count)
            if code:
                metrics.dead_letters.labels("ingest", code).inc(count)

    async def refuse(self, original: bytes, error: InvalidEvent, source: str | None = None) -> None:
        """Keep a body in which no event could be found."""
        await self.take((Sent(original, {"source": source}, error),))

    def examine(self, sent: Sent, received_at: datetime) -> Accepted:
        """One event as it would be accepted. Raises InvalidEvent."""
        if sent.error is not None:
            raise sent.error
        if len(sent.original) > LARGEST_EVENT:
            raise _too_large(LARGEST_EVENT)
        settings = self._context.settings
        plain_one = plain.accepted(sent.original, sent.envelope, received_at, settings, sent.age)
        if plain_one is not None:
            return plain_one
        try:
            return judge(sent.envelope, received_at, settings, sent.age)
        except InvalidEvent as error:
            if sent.again is None:
                raise
            return self.examine(sent.again(error), received_at)

    async def replay(self, letter: Letter) -> None:
        """Send the event of a letter on its way, as if it had been good when it came. Raises InvalidEvent."""
        accepted = await self._accept_again(letter)
        await self._appender.append((forward(accepted),))

    async def _accept_again(self, letter: Letter) -> Accepted:
        settings = self._context.settings
        if letter.repaired is not None:
            return judge(read_json(letter.repaired), letter.received_at, settings)
        if letter.topic in MAIN_TYPES:
            return read_source(await self._record_of(letter), letter.received_at, settings)
        if letter.source.startswith(PREFIX):
            sent = reread(letter.original, Post(letter.source, letter.id, self._vocabulary))
            return self.examine(sent, letter.received_at)
        return judge(read_json(letter.original), letter.received_at, settings)

    async def _record_of(self, letter: Letter) -> Record:
        """The record with its headers as long as the log has it, else its value alone."""
        place = TopicPartition(letter.topic or "", letter.partition or 0)
        found = await self._context.log.read(place, letter.offset or 0)
        if found is not None and (found.value or b"") == letter.original:
            return found
        return Record(
            place.topic, place.partition, letter.offset or 0, to_ms(letter.received_at), None, letter.original
        )

    def _judge_all(
        self, sent: Sequence[Sent], received_at: datetime
    ) -> tuple[list[Verdict], list[Outgoing], list[Letter]]:
        verdicts: list[Verdict] = []
        records: list[Outgoing] = []
        refused: list[Letter] = []
        for index, one in enumerate(sent):
            try:
                records.append(forward(self.examine(one, received_at)))
                verdicts.append(Verdict(sent_id(one.envelope), None))
            except InvalidEvent as error:
                letter = letters.reject(one.original, one.envelope, error, received_at, index)
                verdicts.append(Verdict(sent_id(one.envelope), error))
                refused.append(letter)
                if len(letter.original) <= letters.LARGEST_ON_TOPIC:
                    records.append(letters.announce(letter))
        return verdicts, records, refused

    async def _keep(self, refused: Sequence[Letter]) -> None:
        if refused:
            await asyncio.to_thread(self._keep_now, refused)

    def _keep_now(self, refused: Sequence[Letter]) -> None:
        with transaction(self._context.engine) as connection:
            store.keep(connection, refused)
