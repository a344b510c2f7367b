"""What happens to events at the door: judged, made durable, answered for one by one."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.ingest import letters, store
from services.ingest.acceptance import TOO_LARGE, accept_bytes, data_of, key_of, sent_id
from services.ingest.admission import admit
from services.ingest.appender import Appender
from services.ingest.cloudevents import MAIN_TYPES, Sent, read_json, read_record
from services.ingest.forwarding import forward
from services.ingest.model import Accepted, Letter, Rule
from services.ingest.sources.deliveries import Part, envelopes_of, original_of, part_in
from services.ingest.sources.document import Source
from services.ingest.sources.registry import Registry
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

    def __init__(self, context: Context, registry: Registry) -> None:
        self._context = context
        self._registry = registry
        self._appender = Appender(context.log)

    async def take(self, sent: Sequence[Sent]) -> Sequence[Verdict]:
        """Judge events and make each durable, as an interaction or as a dead letter. Raises Unavailable: send again."""
        received_at = self._context.clock()
        rules = (await self._registry.known()).rules
        if len(sent) < ASIDE:
            judged = self._judge_all(sent, received_at, rules)
        else:
            judged = await asyncio.to_thread(self._judge_all, sent, received_at, rules)
        verdicts, records, refused = judged
        await self._appender.append(records)
        await self._keep(refused)
        return verdicts

    async def receive(self, source: Source, parts: Sequence[Part]) -> Mapping[str, int]:
        """The same for a webhook's delivery: how many of its events were accepted, how many of its parts rejected
        (at least one event) or ignored (no rule of the mapping applies).
        """
        received_at = self._context.clock()
        counts, records, refused = await asyncio.to_thread(self._map_all, source, parts, received_at)
        await self._appender.append(records)
        await self._keep(refused)
        return counts

    async def refuse(self, original: bytes, error: InvalidEvent, source: str | None = None) -> None:
        """Keep a body in which no event could be found."""
        await self.take((Sent(original, None if source is None else {"source": source}, error),))

    async def examine(self, sent: Sent, received_at: datetime) -> Accepted:
        """One event as it would be accepted. Raises InvalidEvent."""
        return self._judge(sent, received_at, (await self._registry.known()).rules)

    def _judge(self, sent: Sent, received_at: datetime, rules: Mapping[str, Rule]) -> Accepted:
        if sent.error is not None:
            raise sent.error
        if len(sent.original) > LARGEST_EVENT:
            raise _too_large(LARGEST_EVENT)
        return self._admit(judge(sent.envelope, received_at, self._context.settings), rules)

    def _admit(self, accepted: Accepted, rules: Mapping[str, Rule]) -> Accepted:
        return admit(accepted, rules.get(accepted.event.source))

    def _map(self, source: Source, part: Part, received_at: datetime) -> tuple[list[Accepted], InvalidEvent | None]:
        """The good events of a part, and why there are others in it."""
        rules = {source.name: Rule(source.document.mode)}
        good: list[Accepted] = []
        wrong: InvalidEvent | None = None
        try:
            envelopes = envelopes_of(source, part)
        except InvalidEvent as error:
            return good, error
        for envelope in envelopes:
            try:
                if isinstance(envelope, InvalidEvent):
                    raise envelope
                accepted = judge(envelope, received_at, self._context.settings)
                if len(accepted.value) > LARGEST_RECORD:
                    raise _too_large(LARGEST_RECORD)
                good.append(self._admit(accepted, rules))
            except InvalidEvent as error:
                wrong = error if wrong is None else InvalidEvent(wrong.code, (*wrong.faults, *error.faults))
        return good, wrong

    async def replay(self, found: Sequence[Letter]) -> Mapping[str, InvalidEvent]:
        """Send the events of letters on their way, as if they had been good when they came.

        Returns, by the letter's id, why one is still refused. Raises Unavailable: nothing may be closed then.
        """
        records: list[Outgoing] = []
        refused: dict[str, InvalidEvent] = {}
        for letter in found:
            try:
                records.extend(map(forward, await self._accept_again(letter)))
            except InvalidEvent as error:
                refused[letter.id] = error
        await self._appender.append(records)
        return refused

    async def _accept_again(self, letter: Letter) -> Sequence[Accepted]:
        """Its event, or all events of a webhook's part. A quarantine does not hold up what is let in by hand."""
        known = await self._registry.known()
        part = part_in(letter.original) if letter.topic is None and letter.repaired is None else None
        if part is not None and part.webhook == letter.source and part.webhook in known.sources:
            found, wrong = await asyncio.to_thread(self._map, known.sources[part.webhook], part, letter.received_at)
            if wrong is not None:
                raise wrong
            return found
        return [self._admit(await self._judge_again(letter), known.rules)]

    async def _judge_again(self, letter: Letter) -> Accepted:
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
        self, sent: Sequence[Sent], received_at: datetime, rules: Mapping[str, Rule]
    ) -> tuple[list[Verdict], list[Outgoing], list[Letter]]:
        verdicts: list[Verdict] = []
        records: list[Outgoing] = []
        refused: list[Letter] = []
        for index, one in enumerate(sent):
            try:
                records.append(forward(self._judge(one, received_at, rules)))
                verdicts.append(Verdict(sent_id(one.envelope), None))
            except InvalidEvent as error:
                letter = letters.reject(one.original, one.envelope, error, received_at, index)
                verdicts.append(Verdict(sent_id(one.envelope), error))
                refused.append(letter)
                records.extend(letters.announced(letter))
        return verdicts, records, refused

    def _map_all(
        self, source: Source, parts: Sequence[Part], received_at: datetime
    ) -> tuple[dict[str, int], list[Outgoing], list[Letter]]:
        counts = {"accepted": 0, "rejected": 0, "ignored": 0}
        records: list[Outgoing] = []
        refused: list[Letter] = []
        for index, part in enumerate(parts):
            found, wrong = self._map(source, part, received_at)
            records.extend(map(forward, found))
            counts["accepted"] += len(found)
            if wrong is not None:
                letter = letters.reject(original_of(part), {"source": source.name}, wrong, received_at, index)
                refused.append(letter)
                records.extend(letters.announced(letter))
                counts["rejected"] += 1
            elif not found:
                counts["ignored"] += 1
        return counts, records, refused

    async def _keep(self, refused: Sequence[Letter]) -> None:
        if refused:
            await asyncio.to_thread(self._keep_now, refused)

    def _keep_now(self, refused: Sequence[Letter]) -> None:
        with transaction(self._context.engine) as connection:
            store.keep(connection, refused)
