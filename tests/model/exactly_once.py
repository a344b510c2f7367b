"""The exactly-once algorithm as a finite machine, and a search through every interleaving of its steps and faults.

One partition of a log is applied by two workers to one database, whose outbox two relays publish to a topic that
somebody downstream reads. A worker commits one record a time: guard, effect, outbox row and offset. Every step is
atomic because each is one transaction or one message; between any two of them anybody else may step, stand still,
crash, be robbed of its partition or lose an answer. Nothing here knows a clock, so a pause of any length is covered.
Workers are alike, and so are relays: states that differ only in who is who count once.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Faults(NamedTuple):
    """How often each may still happen: `answers` of the database are lost, `sends` fail or lose their ack."""

    steals: int = 1
    crashes: int = 1
    answers: int = 1
    relay_crashes: int = 1
    sends: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The algorithm, whole or weakened. `log` has one letter per record: equal letters are one event sent twice.

    `steps` is whether effect and offset commit together, or in two transactions, and which is then first. The relay
    has `one` row of a key in flight, or sends all it found (`pipelined`), or deletes before it sends (`marks_first`).
    Downstream drops versions that it has (`set`) or that are not above the highest it has (`watermark`).
    """

    log: str = "aba"
    cas: bool = True
    epoch: bool = True
    inbox: bool = True
    steps: Literal["together", "effect_first", "offset_first"] = "together"
    relay: Literal["one", "pipelined", "marks_first"] = "one"
    dedupe: Literal["set", "watermark"] = "set"
    faults: Faults = field(default_factory=Faults)


class Worker(NamedTuple):
    """What a worker believes. `half` is between its two transactions, where it has two."""

    epoch: int
    at: int
    half: bool = False


class Relay(NamedTuple):
    """The rows it has still to send, and those that the broker has acknowledged."""

    left: tuple[int, ...]
    acked: tuple[int, ...] = ()


NOBODY = Worker(-1, -1)
IDLE = Relay(())


class State(NamedTuple):
    """Everything there is. Rows of the outbox are known by their version, which counts the effects on the one key."""

    next: int
    epoch: int
    effects: tuple[int, ...]
    outbox: tuple[int, ...]
    workers: tuple[Worker, ...]
    relays: tuple[Relay, ...]
    sent: tuple[int, ...]
    got: tuple[int, ...]
    faults: Faults


Step = tuple[str, State]


class Verdict(NamedTuple):
    """`fault` is None when no reachable state shows one; else `trace` is a shortest way there.

    `kinds` are the kinds of step that were possible somewhere: what did not happen was not checked.
    """

    fault: str | None
    states: int
    kinds: frozenset[str]
    trace: tuple[str, ...] = ()


def start(variant: Variant) -> State:
    """Nothing read, nobody there."""
    return State(0, 0, (0,) * len(set(variant.log)), (), (NOBODY,) * 2, (IDLE,) * 2, (), (), variant.faults)


def _worker(state: State, which: int, worker: Worker) -> State:
    return state._replace(workers=tuple(sorted((worker, state.workers[1 - which]))))


def _relay(state: State, which: int, relay: Relay) -> State:
    return state._replace(relays=tuple(sorted((relay, state.relays[1 - which]))))


def _spend(state: State, kind: str) -> State | None:
    left = getattr(state.faults, kind)
    return state._replace(faults=state.faults._replace(**{kind: left - 1})) if left else None


def _apply(variant: Variant, state: State, at: int) -> State:
    event = sorted(set(variant.log)).index(variant.log[at])
    if variant.inbox and state.effects[event]:
        return state
    effects = tuple(count + (i == event) for i, count in enumerate(state.effects))
    return state._replace(effects=effects, outbox=(*state.outbox, sum(effects)))


def _refused(variant: Variant, state: State, worker: Worker) -> bool:
    return (variant.cas and worker.at != state.next) or (variant.epoch and worker.epoch != state.epoch)


def _transaction(variant: Variant, state: State, worker: Worker) -> tuple[State, Worker]:
    """The database after the worker's next transaction, and the worker once it has heard that it is committed."""
    forward = Worker(worker.epoch, worker.at + 1)
    moved = state._replace(next=worker.at + 1)
    if variant.steps == "together":
        return _apply(variant, moved, worker.at), forward
    effect_now = (variant.steps == "effect_first") != worker.half
    after = _apply(variant, state, worker.at) if effect_now else moved
    return after, forward if worker.half else worker._replace(half=True)


def worker_steps(variant: Variant, state: State) -> Iterator[Step]:
    """Claim, steal, commit, be refused, lose the answer to a commit, crash."""
    for which, worker in enumerate(state.workers):
        if worker == NOBODY:
            free = state.workers[1 - which] == NOBODY
            if claimed := state if free else _spend(state, "steals"):
                epoch = state.epoch + variant.epoch
                yield (
                    "claim" if free else "steal",
                    _worker(claimed._replace(epoch=epoch), which, Worker(epoch, state.next)),
                )
            continue
        if crashed := _spend(state, "crashes"):
            yield "crash", _worker(crashed, which, NOBODY)
        if worker.at == len(variant.log):
            continue
        if _refused(variant, state, worker):
            yield "refused", _worker(state, which, NOBODY)
            continue
        after, informed = _transaction(variant, state, worker)
        yield "commit", _worker(after, which, informed)
        # It hears nothing and tries again. To let go and claim anew, as the real one does, is less of a strain.
        if unheard := _spend(after, "answers"):
            yield "commit, answer lost", _worker(unheard, which, worker)


def _publish(variant: Variant, state: State, row: int) -> State:
    fresh = row not in state.got if variant.dedupe == "set" else row > max(state.got, default=0)
    got = tuple(sorted((*state.got, row))) if fresh else state.got
    return state._replace(sent=tuple(sorted({*state.sent, row})), got=got)


def _without(rows: tuple[int, ...], gone: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(row for row in rows if row not in gone)


def relay_steps(variant: Variant, state: State) -> Iterator[Step]:
    """Pick up rows, send one, lose it or its ack, delete what was acknowledged, crash. No lease: both may at once."""
    for which, relay in enumerate(state.relays):
        if relay == IDLE:
            if rows := state.outbox if variant.relay == "pipelined" else state.outbox[:1]:
                kept = _without(state.outbox, rows) if variant.relay == "marks_first" else state.outbox
                yield "pick", _relay(state._replace(outbox=kept), which, Relay(rows))
            continue
        if crashed := _spend(state, "relay_crashes"):
            yield "relay crash", _relay(crashed, which, IDLE)
        if not relay.left:
            yield "delete", _relay(state._replace(outbox=_without(state.outbox, relay.acked)), which, IDLE)
            continue
        row, left = relay.left[0], relay.left[1:]
        sent = _publish(variant, state, row)
        yield "send", _relay(sent, which, Relay(left, (*relay.acked, row)))
        if failed := _spend(state, "sends"):
            unacked = Relay(left, relay.acked)
            yield "send fails", _relay(failed, which, unacked)
            yield "send, ack lost", _relay(sent._replace(faults=failed.faults), which, unacked)


def wrong_now(variant: Variant, state: State) -> str | None:
    """What may never be, not even for a moment."""
    if max(state.effects) > 1:
        return "duplicate effect"
    in_order = state.sent == tuple(range(1, len(state.sent) + 1))
    return None if in_order or variant.relay != "one" else "published out of order"


def wrong_at_the_end(variant: Variant, state: State) -> str | None:
    """What may not be once nobody can do anything any more."""
    versions = range(1, sum(state.effects) + 1)
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("lost effect", lambda: min(state.effects) < 1),
        ("row never published", lambda: any(row not in state.sent for row in versions)),
        ("row lost downstream", lambda: state.got != tuple(versions)),
        ("row never deleted", lambda: state.outbox != ()),
        ("offset stuck", lambda: state.next != len(variant.log)),
    )
    return next((fault for fault, there in checks if there()), None)


def check(variant: Variant, tolerated: str | None = None) -> Verdict:
    """Breadth first through all reachable states, up to the first fault that is not the tolerated one."""
    first = start(variant)
    came: dict[State, tuple[State, str] | None] = {first: None}
    waiting = deque([first])
    kinds: set[str] = set()
    while waiting:
        state = waiting.popleft()
        steps = [*worker_steps(variant, state), *relay_steps(variant, state)]
        fault = wrong_now(variant, state) or (None if steps else wrong_at_the_end(variant, state))
        if fault and fault != tolerated:
            return Verdict(fault, len(came), frozenset(kinds), _way(came, state))
        for label, after in steps:
            kinds.add(label)
            if after not in came:
                came[after] = state, label
                waiting.append(after)
    return Verdict(None, len(came), frozenset(kinds))


def _way(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    labels: list[str] = []
    while step := came[state]:
        state, label = step
        labels.append(label)
    return tuple(reversed(labels))
