"""One batch, one transaction: the whole exactly-once argument is in `process`.

The order never varies:

1. advance the offset of every slice by compare-and-set (the fence; it takes the lock)
2. decode; what can never be applied becomes a dead letter
3. drop what the inbox has seen
4. load, evolve, react, save
5. remember in the inbox what was applied, and only that: what was refused may come again when it is accepted
6. put what was said, dead letters included, into the outbox
7. commit; only then is anything published
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from shared.database import among, inbox, position, put, transaction
from shared.errors import Conflict, InvalidEvent
from shared.events.outgoing import Outgoing
from shared.log import Position, Record, TopicPartition, is_blackened
from shared.runtime import outbox
from shared.runtime.alignment import ALONE, Alignment
from shared.runtime.naming import dead_letter, digests, record_fingerprint
from shared.runtime.service import Service, Work


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to apply a partition from `next_offset` on; void as soon as somebody else has claimed it."""

    partition: TopicPartition
    epoch: int
    position: Position


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of one partition, in offset order, beginning at the claim's position."""

    claim: Claim
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Applied:
    """What one transaction did. `held` are the partitions of which a record must wait, with the moment (ms) it says."""

    claims: Sequence[Claim] = ()
    said: Sequence[Outgoing] = ()
    outbox_seq: int = 0
    events: Sequence[Any] = ()
    duplicates: int = 0
    rejected: Sequence[InvalidEvent] = ()
    held: dict[TopicPartition, int] = field(default_factory=dict)


_Letter = tuple[int, Record, InvalidEvent]
_Cut = tuple[Record, int]


@dataclass(slots=True)
class _Input:
    slice: int
    record: Record
    event: Any


def claim(engine: Engine, partition: TopicPartition, owner: str) -> tuple[Claim, str | None]:
    """Take a partition over: its epoch rises, which voids every older claim. Also the last record's fingerprint."""
    where = (position.c.topic == partition.topic) & (position.c.part == partition.partition)
    with transaction(engine) as connection:
        found = connection.execute(
            update(position)
            .where(where)
            .values(epoch=position.c.epoch + 1, owner=owner)
            .returning(
                position.c.epoch,
                position.c.next_offset,
                position.c.appended_at,
                position.c.event_time,
                position.c.last_fp,
            )
        ).one_or_none()
        if found is None:
            connection.execute(
                insert(position).values(
                    topic=partition.topic,
                    part=partition.partition,
                    next_offset=0,
                    epoch=1,
                    owner=owner,
                    appended_at=0,
                    event_time=0,
                )
            )
            return Claim(partition, 1, Position(0, 0, 0)), None
        epoch, offset, appended_at, event_time, last_fp = found
        return Claim(partition, epoch, Position(offset, appended_at, event_time)), last_fp


def process(
    engine: Engine, service: Service, slices: Sequence[Slice], alignment: Alignment = ALONE, published: int = 0
) -> Applied:
    """Apply a stretch of one partition, or of several of one number on several topics, exactly once.

    `published` is the outbox row up to which everything is published; those rows go away in the same transaction.
    Raises Conflict when a claim is void: nothing was done, claim again.
    """
    part = slices[0].claim.partition.partition
    with transaction(engine) as connection:
        if published:
            outbox.take_away(connection, part, published)
        fence(connection, slices)
        waits = service.hold(connection, alignment) if service.hold is not None else None
        inputs, letters, cuts = _decode(service, slices, waits)
        fresh = _unseen(connection, service, inputs)
        duplicates = len(inputs) - len(fresh)
        work = service.load(connection, [item.event for item in fresh])
        applied, said, refused = _evolve(service, work, fresh)
        service.save(connection, work)
        if service.report is not None:
            said += service.report(work)
        _remember(connection, service, applied)
        letters += refused
        said += [dead_letter(service, record, error) for _, record, error in letters]
        claims = _advance(connection, service, slices, applied, cuts)
        said = stamped(said, claims[0].position.offset)
        told = {c.partition: c.position for c in claims}
        seq = outbox.put(connection, part, said, told) if said else 0
    return Applied(
        claims=claims,
        said=said,
        outbox_seq=seq,
        events=[item.event for item in applied],
        duplicates=duplicates,
        rejected=[error for _, _, error in letters],
        held={slices[index].claim.partition: at for index, (_, at) in cuts.items()},
    )


def stamped(said: Sequence[Outgoing], after: int) -> list[Outgoing]:
    """The same records with the header that tells up to which offset the input had been applied."""
    header = (("after", str(after).encode()),)
    return [record._replace(headers=record.headers + header) for record in said]


def fire(service: Service, events: Sequence[Any], connection: Connection) -> list[Outgoing]:
    """Apply timer events inside a transaction that is already open: the same core, no offset."""
    work = service.load(connection, events)
    said: list[Outgoing] = []
    for event in events:
        before = work.part(event)
        after = service.evolve(before, event)
        said.extend(service.react(before, after))
        work.replace(before, after)
    service.save(connection, work)
    return said + list(service.report(work)) if service.report is not None else said


def fence(connection: Connection, slices: Sequence[Slice]) -> None:
    """Advance the offset of every slice by compare-and-set; raises Conflict when a claim is void."""
    for piece in slices:
        held = piece.claim
        result = connection.execute(
            update(position)
            .where(
                (position.c.topic == held.partition.topic)
                & (position.c.part == held.partition.partition)
                & (position.c.epoch == held.epoch)
                & (position.c.next_offset == held.position.offset)
            )
            .values(next_offset=piece.records[-1].offset + 1 if piece.records else held.position.offset)
        )
        if result.rowcount != 1:
            raise Conflict(f"{held.partition} was claimed or advanced by somebody else")


def _decode(
    service: Service, slices: Sequence[Slice], waits: Callable[[Any], int | None] | None
) -> tuple[list[_Input], list[_Letter], dict[int, _Cut]]:
    """Read the records of every slice up to the first that must wait; what cannot be read is a dead letter."""
    inputs: list[_Input] = []
    letters: list[_Letter] = []
    cuts: dict[int, _Cut] = {}
    for index, piece in enumerate(slices):
        for record in piece.records:
            if record.value is None and is_blackened(record):
                continue
            try:
                event = service.decode(record)
            except InvalidEvent as error:
                letters.append((index, record, error))
                continue
            if event is None:
                continue
            if waits is not None and (low := waits(event)) is not None:
                cuts[index] = (record, low)
                break
            inputs.append(_Input(index, record, event))
    if service.order is not None:
        order = service.order
        inputs.sort(key=lambda item: order(item.event))
    return inputs, letters, cuts


def _unseen(connection: Connection, service: Service, inputs: list[_Input]) -> list[_Input]:
    keys: dict[tuple[bytes, bytes], int] = {}
    for number, item in enumerate(inputs):
        identity = service.identity(item.event)
        if identity is not None:
            keys.setdefault(digests(identity), number)
    seen: set[tuple[bytes, bytes]] = set()
    names = [key for key, _ in keys]
    for these in among(connection, inbox.c.id, names):
        rows = connection.execute(select(inbox.c.id, inbox.c.fp).where(these))
        seen.update((bytes(row[0]), bytes(row[1])) for row in rows)
    fresh = []
    for number, item in enumerate(inputs):
        identity = service.identity(item.event)
        if identity is None:
            fresh.append(item)
            continue
        key = digests(identity)
        if key not in seen and keys[key] == number:
            fresh.append(item)
    return fresh


def _before_cut(index: int, record: Record, cuts: dict[int, _Cut]) -> bool:
    return index not in cuts or record.offset < cuts[index][0].offset


def _remember(connection: Connection, service: Service, applied: list[_Input]) -> None:
    rows = []
    for item in applied:
        identity = service.identity(item.event)
        if identity is not None:
            key, content = digests(identity)
            rows.append({"id": key, "fp": content, "at": item.record.timestamp})
    put(connection, inbox, rows, "ignore")


def _evolve(service: Service, work: Work, fresh: list[_Input]) -> tuple[list[_Input], list[Outgoing], list[_Letter]]:
    """What was applied, what was said of it, and what was refused."""
    applied: list[_Input] = []
    said: list[Outgoing] = []
    letters: list[_Letter] = []
    for item in fresh:
        before = work.part(item.event)
        try:
            after = service.evolve(before, item.event)
        except InvalidEvent as error:
            letters.append((item.slice, item.record, error))
            continue
        said.extend(service.react(before, after))
        work.replace(before, after)
        applied.append(item)
    return applied, said, letters


def _advance(
    connection: Connection,
    service: Service,
    slices: Sequence[Slice],
    applied: list[_Input],
    cuts: dict[int, _Cut],
) -> list[Claim]:
    latest: dict[int, int] = {}
    for item in applied:
        latest[item.slice] = max(latest.get(item.slice, 0), service.event_ms(item.event))
    claims = []
    for index, piece in enumerate(slices):
        old = piece.claim.position
        records = [r for r in piece.records if _before_cut(index, r, cuts)]
        if not records:
            new = old
        else:
            last = records[-1]
            new = Position(
                last.offset + 1, max(old.appended_at, last.timestamp), max(old.event_time, latest.get(index, 0))
            )
        tp = piece.claim.partition
        connection.execute(
            update(position)
            .where((position.c.topic == tp.topic) & (position.c.part == tp.partition))
            .values(
                next_offset=new.offset,
                appended_at=new.appended_at,
                event_time=new.event_time,
                **({"last_fp": record_fingerprint(records[-1])} if records else {}),
            )
        )
        claims.append(Claim(tp, piece.claim.epoch, new))
    return claims
