"""What a service is: a value. The runner hosts one, some or all of them."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter
from sqlalchemy import Connection, Engine, MetaData

from shared.events.outgoing import Outgoing
from shared.log import Log, Record
from shared.runtime.alignment import Alignment
from shared.runtime.clock import Clock
from shared.runtime.web.health import Check
from shared.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the runner hands to a service: its own database, the log, the clock, company-wide settings.

    `nudge` tells the service's loop that something changed that it must look at now (a definition, a timer).
    `parts` gives the partition numbers that the loop owns at this moment, and `news` is set whenever it has said
    something: for workers that act on what was decided. `metrics` are those of the process. Without a runner there is
    one partition, and metrics are the service's own.
    """

    engine: Engine
    log: Log
    clock: Clock
    settings: Mapping[str, Any]
    nudge: Callable[[], None]
    parts: Callable[[], Collection[int]] = lambda: (0,)
    news: threading.Event = field(default_factory=threading.Event)
    metrics: Metrics = field(default_factory=lambda: Metrics("0"))


class Work(Protocol):
    """The states that one batch touches, loaded before and saved after."""

    def part(self, event: Any) -> Any:
        """The state that this event touches."""

    def replace(self, before: Any, after: Any) -> None:
        """Put the evolved state in the place of the former."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """A service in which time alone changes something.

    `next_due` is the earliest due moment on the named partitions or None; `due` gives the timer events of one
    partition due up to a watermark, at most `limit`, oldest first, each of which goes through evolve and react like any
    other event. It runs inside the transaction that applies them, may write there (the close of a day), and gives None
    when there is nothing to do. A partition here is its number: all topics that a service reads are split alike.
    `overdue` counts the timers due by a moment.
    """

    next_due: Callable[[Connection, Collection[int]], datetime | None]
    due: Callable[[Connection, "Watermark", int], Sequence[Any] | None]
    overdue: Callable[[Connection, datetime], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """Up to which moment the timers of one partition may fire: `live` for customers outside an open import.

    `history` is the moment of an open import at which all partitions have arrived, None when one has not; `parts` are
    all partitions of the topic.
    """

    live: datetime
    history: datetime | None = None
    partition: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as a plain description.

    `decode` reads one record into an event (None: skip it) and raises InvalidEvent for one that can never be applied.
    `load` reads all states that the events of a batch touch, `evolve` and `react` are the core, `save` writes back.
    `upstream` names the groups whose positions bound the timers: `((group, topic), ...)` from the entrance on.
    `gated` topics are read only as far as the group that is named has published what follows from them.
    `identity` gives (source and id, fingerprint) of an event for the inbox, None for what may come again (marks).
    `event_ms` is an event's own time; `describe` gives its type and, where it is known and live, its arrival at our
    door, for the metrics. `order` sorts a batch that comes from several topics; `hold` gives a
    function that tells of one event after the other the moment (ms) at which it, and with it the rest of its slice,
    must wait for the other partitions or for the close of a day; None: it may be applied. `migrations` is the folder of
    the revisions that make the tables of `metadata`. `report` tells what saving itself has to tell: what was counted
    when an erased customer's rows were removed. `checks` are shown by the
    health page beside those of the runtime, each as `service:name`.
    """

    name: str
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    metadata: MetaData
    decode: Callable[[Record], Any]
    load: Callable[[Connection, Sequence[Any]], Any]
    evolve: Callable[[Any, Any], Any]
    react: Callable[[Any, Any], Sequence[Outgoing]]
    save: Callable[[Connection, Any], None]
    router: Callable[[Context], APIRouter]
    identity: Callable[[Any], tuple[str, str] | None]
    event_ms: Callable[[Any], int]
    describe: Callable[[Any], tuple[str, datetime | None]]
    order: Callable[[Any], Any] | None = None
    hold: Callable[[Connection, Alignment], Callable[[Any], int | None]] | None = None
    timers: Timers | None = None
    upstream: tuple[tuple[str, str], ...] = ()
    gated: Mapping[str, str] | None = None
    report: Callable[[Any], Sequence[Outgoing]] | None = None
    start: Callable[[Connection, Context], None] | None = None
    workers: Callable[[Context], Sequence[Callable[[Callable[[], bool]], None]]] | None = None
    migrations: Path | None = None
    checks: Callable[[Context], Mapping[str, Check]] | None = None
