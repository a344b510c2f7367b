"""What a loop reads next: plain topics partition by partition, or topics that must be read in step.

Reading in step: a topic that is gated by a group is read only as far as that group has published what follows from
it. Whoever reads both the group's input and its output thus always finds the output beside the input it belongs to,
however the batches fall, and can apply them in one order.
"""

from collections.abc import Iterable, Mapping, Sequence

from shared.log import Consumer, Log, Record, TopicPartition
from shared.runtime.processor import Claim, Slice
from shared.runtime.service import Service

AFTER = "after"
"""Header of a derived record: the offset up to which its input had been applied with the batch that said it."""

GATE_PAUSE = 0.1
"""Seconds after which a gate is looked at again while records wait behind it."""

PARTS_A_POLL = 8
"""Partitions for which one poll asks for a full batch each: a transaction is of one partition."""

Claims = Mapping[TopicPartition, Claim]


async def gather(
    service: Service, log: Log, consumer: Consumer, claims: Claims, batch: int, wait: float
) -> Sequence[Sequence[Slice]]:
    """The groups of slices to apply next, each in one transaction; empty when nothing came within `wait` seconds.

    A poll shares what it gives among the partitions; each is to get about `batch` records.
    """
    if not service.gated:
        polled = await consumer.poll(_whole_poll(claims, batch), wait)
        pieces = {tp: records for tp, records in polled.items() if _continues(claims, tp, records)}
        return [[Slice(claims[tp], _at_most(consumer, tp, records, batch))] for tp, records in pieces.items()]
    return await _in_step(service, log, consumer, claims, batch, wait)


def _whole_poll(claims: Claims, batch: int) -> int:
    return batch * min(PARTS_A_POLL, len({tp.partition for tp in claims}) or 1)


def _at_most(consumer: Consumer, tp: TopicPartition, records: Sequence[Record], batch: int) -> Sequence[Record]:
    """The first `batch` records; the rest, which others left of their share, is for the next poll."""
    if len(records) > batch:
        consumer.seek(tp, records[batch].offset)
    return records[:batch]


def _continues(claims: Claims, partition: TopicPartition, records: Sequence[Record]) -> bool:
    held = claims.get(partition)
    return held is not None and bool(records) and records[0].offset >= held.position.offset


async def _in_step(
    service: Service, log: Log, consumer: Consumer, claims: Claims, batch: int, wait: float
) -> Sequence[Sequence[Slice]]:
    assert service.gated is not None
    limits: dict[TopicPartition, int] = {}
    for topic, group in service.gated.items():
        told = await log.told(group, topic)
        limits.update({tp: told[tp].offset if tp in told else 0 for tp in claims if tp.topic == topic})
    free = [topic for topic in service.consumes if topic not in service.gated]
    ends: dict[TopicPartition, int] = {}
    for topic in free:
        ends.update(await log.ends(topic))
    behind_gate = await _behind(log, service.gated, claims)
    # what has nothing behind its gate stays open: the first record that comes wakes the poll
    waiting = frozenset(tp for tp in behind_gate if claims[tp].position.offset >= limits[tp])
    wait = min(wait, GATE_PAUSE) if behind_gate else wait
    behind = any(held.position.offset < end for tp, end in ends.items() if (held := claims.get(tp)))
    consumer.pause(waiting)
    polled = dict(await consumer.poll(_whole_poll(claims, batch), 0.0 if behind else wait))
    slices = {tp: Slice(claims[tp], records) for tp, records in polled.items() if _continues(claims, tp, records)}
    if any(tp in limits for tp in slices):
        await _complete(consumer, claims, slices, ends, limits, batch)
        await _extend(consumer, claims, slices, limits, batch)
    _cut(consumer, slices, limits)
    _wait(consumer, slices, [(tp, _reached(claims, slices, tp)) for tp in limits])
    return _by_number([piece for piece in slices.values() if piece.records])


async def _behind(log: Log, topics: Iterable[str], claims: Claims) -> frozenset[TopicPartition]:
    """The partitions of these topics that have records which are not applied yet."""
    ends: dict[TopicPartition, int] = {}
    for topic in topics:
        ends.update(await log.ends(topic))
    return frozenset(tp for tp, held in claims.items() if held.position.offset < ends.get(tp, 0))


def _by_number(pieces: Sequence[Slice]) -> Sequence[Sequence[Slice]]:
    """The slices of one partition number belong together: topics read in step are split alike."""
    found: dict[int, list[Slice]] = {}
    for piece in pieces:
        found.setdefault(piece.claim.partition.partition, []).append(piece)
    return list(found.values())


async def _complete(
    consumer: Consumer,
    claims: Claims,
    slices: dict[TopicPartition, Slice],
    ends: Mapping[TopicPartition, int],
    limits: dict[TopicPartition, int],
    batch: int,
) -> None:
    """Read the output up to where it ended, or lower the limits of the input to what was read of the output."""
    read = {tp: list(slices[tp].records) if tp in slices else [] for tp in ends if tp in claims}
    await _read_on(consumer, claims, read, ends, limits, batch)
    for tp, records in read.items():
        if records:
            slices[tp] = Slice(claims[tp], records)
            if records[-1].offset + 1 < ends[tp]:
                _lower(limits, claims, tp, records)


async def _read_on(
    consumer: Consumer,
    claims: Claims,
    read: dict[TopicPartition, list[Record]],
    ends: Mapping[TopicPartition, int],
    limits: Mapping[TopicPartition, int],
    batch: int,
) -> None:
    def done(tp: TopicPartition) -> bool:
        position = read[tp][-1].offset + 1 if read[tp] else claims[tp].position.offset
        return position >= ends[tp] or _enough(read[tp], claims, limits, tp, batch)

    while wanted := {tp for tp in read if not done(tp)}:
        consumer.pause(frozenset(limits) | (read.keys() - wanted))
        polled = await consumer.poll(batch, 0.0)
        for tp in wanted & polled.keys():
            read[tp].extend(polled[tp])
        if not wanted & polled.keys():
            return


async def _extend(
    consumer: Consumer,
    claims: Claims,
    slices: dict[TopicPartition, Slice],
    limits: dict[TopicPartition, int],
    batch: int,
) -> None:
    """Read the input on to where a batch of the group ended: of a batch cut through, the output would come too late."""
    for tp, limit in list(limits.items()):
        read = list(slices[tp].records) if tp in slices else []
        reached = read[-1].offset + 1 if read else claims[tp].position.offset
        ended = [after for after in _ends_of_batches(slices, limits, tp.partition) if after >= reached]
        limits[tp] = boundary = min([limit, *ended])
        consumer.pause(frozenset(claims) - {tp})
        while ended and reached < boundary:
            more = (await consumer.poll(batch, 0.0)).get(tp, ())
            if not more:
                break
            read.extend(more)
            reached = read[-1].offset + 1
        if read:
            slices[tp] = Slice(claims[tp], read)


def _ends_of_batches(
    slices: Mapping[TopicPartition, Slice], limits: Mapping[TopicPartition, int], number: int
) -> set[int]:
    return {
        _after(record)
        for tp, piece in slices.items()
        if tp not in limits and tp.partition == number
        for record in piece.records
    }


def _lower(limits: dict[TopicPartition, int], claims: Claims, tp: TopicPartition, records: Sequence[Record]) -> None:
    for gated, limit in limits.items():
        if gated.partition == tp.partition:
            limits[gated] = min(limit, _whole(records, claims[gated].position.offset))


def _enough(
    records: Sequence[Record], claims: Claims, limits: Mapping[TopicPartition, int], tp: TopicPartition, batch: int
) -> bool:
    if len(records) < 4 * batch:
        return False
    places = [claims[gated].position.offset for gated in limits if gated.partition == tp.partition]
    return all(_whole(records, place) > place for place in places)


def _whole(records: Sequence[Record], place: int) -> int:
    """Up to where of the input everything that follows is among these records; the last batch may be cut short."""
    last = _after(records[-1])
    return max((after for record in records if (after := _after(record)) < last), default=place)


def _after(record: Record) -> int:
    for name, value in record.headers:
        if name == AFTER:
            return int(value)
    return 0


def _cut(consumer: Consumer, slices: dict[TopicPartition, Slice], limits: Mapping[TopicPartition, int]) -> None:
    for tp, limit in limits.items():
        piece = slices.get(tp)
        if piece is None or piece.records[-1].offset < limit:
            continue
        slices[tp] = Slice(piece.claim, [record for record in piece.records if record.offset < limit])
        consumer.seek(tp, limit if slices[tp].records else piece.records[0].offset)


def _reached(claims: Claims, slices: Mapping[TopicPartition, Slice], tp: TopicPartition) -> int:
    """Up to where the input will have been applied with these slices."""
    records = slices[tp].records if tp in slices else ()
    return records[-1].offset + 1 if records else claims[tp].position.offset


def _wait(
    consumer: Consumer, slices: dict[TopicPartition, Slice], reached: Sequence[tuple[TopicPartition, int]]
) -> None:
    """Leave output for later that was made from input not applied with it: it came in while we were looking."""
    inputs = {tp for tp, _ in reached}
    for tp, piece in list(slices.items()):
        bounds = [place for gated, place in reached if gated.partition == tp.partition]
        if tp in inputs or not bounds or not piece.records:
            continue
        late = next((n for n, record in enumerate(piece.records) if _after(record) > min(bounds)), None)
        if late is not None:
            consumer.seek(tp, piece.records[late].offset)
            slices[tp] = Slice(piece.claim, piece.records[:late])
