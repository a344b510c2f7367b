"""What happens to events at the door: judged, made durable, answered for one by one."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.ingest import letters, plain, store
from services.ingest.acceptance import sent_id
from services.ingest.admission import admit
from services.ingest.appender import Appender
from services.ingest.cloudevents import MAIN_TYPES, Sent, read_json
from services.ingest.compatible.translation import PREFIX, Post, reread
from services.ingest.compatible.vocabulary import Vocabulary
from services.ingest.forwarding import forward
from services.ingest.judging import judge, read_source, too_large
from services.ingest.model import Accepted, Letter, Rule
from services.ingest.pressure import Pressure
from services.ingest.sources import mapped
from services.ingest.sources.deliveries import Part, part_in
from services.ingest.sources.document import Source
from services.ingest.sources.registry import Registry
from shared.database import transaction
from shared.errors import InvalidEvent
from shared.events.outgoing import Outgoing
from shared.events.storable import LARGEST_EVENT
from shared.events.times import to_ms
from shared.log import Record, TopicPartition
from shared.runtime.service import Context

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


class Entrance:
    """The door of one process."""

    def __init__(self, context: Context, vocabulary: Vocabulary, registry: Registry) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._registry = registry
        self._appender = Appender(context.log)
        self.pressure = Pressure(context.settings.get("rate_limit"))

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
        self._count(sent, verdicts)
        return verdicts

    async def receive(self, source: Source, parts: Sequence[Part]) -> Mapping[str, int]:
        """The same for a webhook's delivery: how many of its events were accepted, how many of its parts rejected
        (at least one event) or ignored (no rule of the mapping applies).
        """
        received_at = self._context.clock()
        found = await asyncio.to_thread(mapped.received, source, parts, received_at, self._context.settings)
        told = [record for letter in found.refused for record in letters.announced(letter)]
        await self._appender.append([*map(forward, found.accepted), *told])
        await self._keep(found.refused)
        metrics = self._context.metrics
        for kind, count in Counter(one.event.type for one in found.accepted).items():
            metrics.handled("ingest", kind, "accepted", count)
        for letter in found.refused:
            metrics.handled("ingest", "", "rejected")
            metrics.dead_letters.labels("ingest", letter.code).inc()
        return {"accepted": len(found.accepted), "rejected": len(found.refused), "ignored": found.ignored}

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

    async def examine(self, sent: Sent, received_at: datetime) -> Accepted:
        """One event as it would be accepted. Raises InvalidEvent."""
        return self._judge(sent, received_at, (await self._registry.known()).rules)

    def _judge(self, sent: Sent, received_at: datetime, rules: Mapping[str, Rule]) -> Accepted:
        if sent.error is not None:
            raise sent.error
        if len(sent.original) > LARGEST_EVENT:
            raise too_large(LARGEST_EVENT)
        settings = self._context.settings
        plain_one = plain.accepted(sent.original, sent.envelope, received_at, settings, sent.age)
        if plain_one is not None:
            return admit(plain_one, rules.get(plain_one.event.source))
        try:
            accepted = judge(sent.envelope, received_at, settings, sent.age)
        except InvalidEvent as error:
            if sent.again is None:
                raise
            return self._judge(sent.again(error), received_at, rules)
        return admit(accepted, rules.get(accepted.event.source))

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
        settings = self._context.settings
        part = part_in(letter.original) if letter.topic is None and letter.repaired is None else None
        if part is not None and part.webhook == letter.source and part.webhook in known.sources:
            source = known.sources[part.webhook]
            found, wrong = await asyncio.to_thread(mapped.events_in, source, part, letter.received_at, settings)
            if wrong is not None:
                raise wrong
            return found
        if letter.repaired is None and letter.topic is None and letter.source.startswith(PREFIX):
            sent = reread(letter.original, Post(letter.source, letter.id, self._vocabulary))
            return [self._judge(sent, letter.received_at, known.rules)]
        accepted = await self._judge_again(letter)
        return [admit(accepted, known.rules.get(accepted.event.source))]

    async def _judge_again(self, letter: Letter) -> Accepted:
        if letter.repaired is None and letter.topic in MAIN_TYPES:
            return read_source(await self._record_of(letter), letter.received_at, self._context.settings)
        value = letter.original if letter.repaired is None else letter.repaired
        return judge(read_json(value), letter.received_at, self._context.settings)

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

    async def _keep(self, refused: Sequence[Letter]) -> None:
        if refused:
            await asyncio.to_thread(self._keep_now, refused)

    def _keep_now(self, refused: Sequence[Letter]) -> None:
        with transaction(self._context.engine) as connection:
            store.keep(connection, refused)
