"""Appends a staged import to the log: dead letters, begin mark, events in the order of their times, end mark.

How many records are in the log is told in the append itself, so that an import that was killed goes on exactly there.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from services.importing.job import Report
from services.importing.staging import LETTER, Staging
from shared.events.dead_letters import TOPIC as DEAD_LETTERS
from shared.events.envelope import Event, derived_id, encode, raw
from shared.events.interactions import BEGIN, END, TOPIC, Mark
from shared.events.outgoing import CONTENT_TYPE, Outgoing
from shared.events.times import from_ms
from shared.log import Log, Position, Told, TopicPartition

PLACE = TopicPartition(TOPIC, 0)
"""Where an import tells how far it is; its records lie on all partitions."""


class Progress(NamedTuple):
    """How many records of an import are in the log, the time (ms) of the last one, and whether that is all."""

    number: int
    at: int
    finished: bool


async def progress(log: Log, name: str) -> Progress:
    """How far an import is."""
    told = (await log.told(name, TOPIC)).get(PLACE)
    return Progress(0, 0, False) if told is None else Progress(told.offset, told.appended_at, bool(told.event_time))


async def append(log: Log, name: str, staging: Staging, report: Report, *, send: datetime | None) -> int:
    """Append what is missing; how many records that were. Raises Unavailable: the same again goes on.

    `send` is the moment at which it was asked that messages be sent; None: history is mute.
    """
    known = await progress(log, name)
    if known.finished:
        return 0
    records = _Records(name, staging, send)
    before = done = known.number if records.time_of(known.number) == known.at else 0
    for page, at in records.after(done):
        done += len(page)
        await log.append(page, _told(name, Progress(done, at, done == records.count)))
        report("appending", done, records.count)
    return done - before


async def end(log: Log, name: str) -> bool:
    """Write the end mark of an import that nobody will go on with; False when it is not open."""
    known = await progress(log, name)
    if known.finished or not known.number:
        return False
    finished = Progress(known.number + 1, known.at, True)
    await log.append([mark(END, name, known.at, send=None)], _told(name, finished))
    return True


def _told(name: str, reached: Progress) -> Told:
    return Told(name, {PLACE: Position(reached.number, reached.at, int(reached.finished))})


class _Records:
    """The records of an import by their number: letters, the begin mark, events, the end mark."""

    def __init__(self, name: str, staging: Staging, send: datetime | None) -> None:
        self._name = name
        self._staging = staging
        self._send = send
        self._letters, events = staging.counts()
        self._bounds = staging.bounds()
        self.count = self._letters + events + (2 if events else 0)

    def time_of(self, count: int) -> int:
        """The time (ms) of the last event among the first `count` records; 0 when there is none."""
        events = min(count, self.count - 1) - self._letters - 1
        return self._staging.place(self._letters + events)[0] if events > 0 else 0

    def after(self, done: int) -> Iterator[tuple[list[Outgoing], int]]:
        """The records after the first `done`, in pages that are appended at once, each with its last event's time."""
        at, begun = self.time_of(done), done > self._letters
        for page in self._staging.events(done - 1 if begun else done):
            letters = [Outgoing(DEAD_LETTERS, key, value, CONTENT_TYPE) for at_, key, value in page if at_ == LETTER]
            events = [Outgoing(TOPIC, key, value, CONTENT_TYPE) for at_, key, value in page if at_ != LETTER]
            if letters:
                yield letters, at
            if events:
                at = page[-1][0]
                yield ([] if begun else [self._mark(BEGIN)]) + events, at
                begun = True
        if self._bounds is not None and done < self.count:
            yield [self._mark(END)], at

    def _mark(self, kind: str) -> Outgoing:
        assert self._bounds is not None
        return mark(kind, self._name, self._bounds[kind == END], send=self._send)


def mark(kind: str, name: str, at: int, *, send: datetime | None) -> Outgoing:
    """The begin or end mark of an import, at a moment (ms) of its own time."""
    event = Event(
        specversion="1.0",
        id=derived_id(name, kind),
        source="cartera/import",
        type=kind,
        time=from_ms(at),
        data=raw(Mark(name=name, send=send)),
    )
    return Outgoing(TOPIC, "", encode(event), CONTENT_TYPE)
