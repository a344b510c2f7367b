"""What happens to events at the door: judged, made durable, answered for one by one."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.ingest import letters, store
from services.ingest.acceptance import TOO_LARGE, accept_bytes, data_of, key_of, sent_id
from services.ingest.appender import Appender
from services.ingest.cloudevents import MAIN_TYPES, Sent, read_json, read_record
from services.ingest.forwarding import forward
from services.ingest.model import Accepted, Letter
from shared.database import transaction
from shared.errors import Fault, InvalidEvent
from shared.events.outgoing import Outgoing
from shared.events.times import to_ms
from shared.log import Record, TopicPartition
from shared.runtime.service import Context

LARGEST_EVENT = 32 * 1024
"""Bytes of one event that comes by REST."""

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


def judge(envelope: object, received_at: datetime, settings: Mapping[str, Any]) -> Accepted:
    """The accepted event. Raises InvalidEvent. Under the clock of events nothing is in the future."""
    clamp = settings.get("clock", "system") == "system"
    event, value = accept_bytes(envelope, received_at, settings, clamp=clamp)
    return Accepted(event, value, key_of(event), data_of(envelope))


def read_source(record: Record, received_at: datetime, settings: Mapping[str, Any]) -> Accepted:
    """The accepted event of a record of a source topic. Raises InvalidEvent."""
    if len(record.value or b"") > LARGEST_RECORD:
        raise _too_large(LARGEST_RECORD)
    return judge(read_record(record), received_at, settings)


def _too_large(most: int) -> InvalidEvent:
    return InvalidEvent(TOO_LARGE, (Fault(f"an event may have at most {most} bytes"),))


class Entrance:
    """The door of one process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._appender = Appender(context.log)

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
        return verdicts

    async def refuse(self, original: bytes, error: InvalidEvent) -> None:
        """Keep a body in which no event could be found."""
        await self.take((Sent(original, None, error),))

    def examine(self, sent: Sent, received_at: datetime) -> Accepted:
        """One event as it would be accepted. Raises InvalidEvent."""
        if sent.error is not None:
            raise sent.error
        if len(sent.original) > LARGEST_EVENT:
            raise _too_large(LARGEST_EVENT)
        return judge(sent.envelope, received_at, self._context.settings)

    async def replay(self, found: Sequence[Letter]) -> Mapping[str, InvalidEvent]:
        """Send the events of letters on their way, as if they had been good when they came.

        Returns, by the letter's id, why one is still refused. Raises Unavailable: nothing may be closed then.
        """
        records: list[Outgoing] = []
        refused: dict[str, InvalidEvent] = {}
        for letter in found:
            try:
                records.append(forward(await self._accept_again(letter)))
            except InvalidEvent as error:
                refused[letter.id] = error
        await self._appender.append(records)
        return refused

    async def _accept_again(self, letter: Letter) -> Accepted:
        settings = self._context.settings
        if letter.repaired is not None:
            return judge(read_json(letter.repaired), letter.received_at, settings)
        if letter.topic in MAIN_TYPES:
            return read_source(await self._record_of(letter), letter.received_at, settings)
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
