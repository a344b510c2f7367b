"""How the states of a batch are loaded and saved: a fixed number of statements, whatever the size of the batch."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, delete, update

from services.segment import tables
from services.segment.customers import encode_customer, load_customers
from services.segment.erasing import erase
from services.segment.features import save_features
from services.segment.feed import as_event
from services.segment.model import (
    Customer,
    Due,
    Gone,
    Marked,
    Recheck,
    Refresh,
    Ruleset,
    Seen,
    SegmentEvent,
    State,
)
from services.segment.population import (
    GUARD,
    Company,
    load_company,
    load_former,
    load_population,
    load_ruleset,
)
from shared.database import among, guard, put
from shared.events.envelope import encode
from shared.events.outgoing import Outgoing
from shared.events.profiles import Removal
from shared.events.segments import SegmentChanged
from shared.events.times import to_ms
from shared.runtime.alignment import end

FEED = "feed"
"""What a writer of class changes has alone."""


class Work:
    """The customers that one batch touches, the definitions and the population they are held against."""

    def __init__(
        self, customers: dict[str, Customer], ruleset: Ruleset, population: Mapping[str, float], company: Company
    ) -> None:
        self.ruleset = ruleset
        self.population = population
        self.former: Mapping[str, float] = company.former
        self.company = company
        self.loaded = dict(customers)
        self.customers = customers
        self.changes: list[tuple[SegmentChanged, str | None]] = []
        self.marks: list[Marked] = []
        self.erased: list[Removal] = []
        self.confirmed: list[Outgoing] = []

    def part(self, event: SegmentEvent) -> State:
        """The state of the customer an event is about."""
        name = profile_of(event)
        customer = self.customers.get(name) if name is not None else None
        if isinstance(event, Marked):
            self.marks.append(event)
        if isinstance(event, Gone) and event.removal.reason == "erasure":
            self.erased.append(event.removal)
        if customer is not None and customer.held_by is not None and customer.held_by not in self.company.imports:
            customer = msgspec.structs.replace(customer, held_by=None)
        return State(
            customer=customer,
            ruleset=self.ruleset,
            population=self.population,
            former=self.former,
            closed_day=self.company.closed_day,
        )

    def replace(self, before: State, after: State) -> None:
        """Keep the evolved customer and what changed."""
        if after is before or after.customer is None:
            return
        self.customers[after.customer.profile_id] = after.customer
        self.changes.extend((change, after.history) for change in after.changes)


def profile_of(event: SegmentEvent) -> str | None:
    """The customer an event is about; None for a mark."""
    match event:
        case Seen():
            return event.profile.profile_id
        case Gone():
            return event.removal.profile_id
        case Due() | Recheck() | Refresh():
            return event.profile_id
        case Marked():
            return None


def load(connection: Connection, events: Sequence[SegmentEvent]) -> Work:
    """All customers that the events touch, the definitions in force and the population of the last closed day."""
    guard(connection, GUARD)
    company = load_company(connection)
    ruleset = load_ruleset(connection, company)
    population = load_population(connection)
    if any(isinstance(event, Recheck) for event in events):
        company.former = load_former(connection)
    names = sorted({name for event in events if (name := profile_of(event)) is not None})
    return Work(load_customers(connection, names), ruleset, population, company)


def save(connection: Connection, work: Work) -> None:
    """Write what changed: customers, memberships, timers, history, day buckets, measured attributes, marks."""
    touched = [c for name, c in sorted(work.customers.items()) if work.loaded.get(name) is not c]
    _save_customers(connection, touched)
    _save_due(connection, work, touched)
    _save_memberships(connection, work, touched)
    erased = {removal.profile_id for removal in work.erased}
    save_features(connection, work.company, work.loaded, touched, erased)
    left = [change for change, _ in work.changes if change.cause == "erasure"]
    work.confirmed = erase(connection, work.erased, left)
    for mark in work.marks:
        if not mark.open:
            _end(connection, mark.name)
    save_changes(connection, work.changes)


def _save_customers(connection: Connection, touched: Sequence[Customer]) -> None:
    rows = [
        {"profile_id": c.profile_id, "part": c.part, "ruleset": c.ruleset, "body": encode_customer(c)} for c in touched
    ]
    put(connection, tables.customer, rows)


def _save_due(connection: Connection, work: Work, touched: Sequence[Customer]) -> None:
    rows, gone = [], []
    for c in touched:
        before = work.loaded.get(c.profile_id)
        if before is not None and _same_timer(before, c):
            continue
        if c.due_at is None:
            gone.append(c.profile_id)
        else:
            held = c.held_by if c.held_by in work.company.imports else None
            rows.append({"profile_id": c.profile_id, "part": c.part, "due_at": c.due_at, "held_by": held})
    put(connection, tables.due, rows)
    for these in among(connection, tables.due.c.profile_id, gone):
        connection.execute(delete(tables.due).where(these))


def _same_timer(one: Customer, other: Customer) -> bool:
    return (one.due_at, one.held_by, one.part) == (other.due_at, other.held_by, other.part)


def _save_memberships(connection: Connection, work: Work, touched: Sequence[Customer]) -> None:
    rows = []
    for c in touched:
        before = work.loaded.get(c.profile_id)
        for name, held in c.memberships.items():
            if before is not None and before.memberships.get(name) == held:
                continue
            rows.append(
                {
                    "segmentation": name,
                    "profile_id": c.profile_id,
                    "class": held.class_,
                    "since": to_ms(held.since),
                    "pending": held.memory.direction if held.memory is not None else 0,
                }
            )
    put(connection, tables.membership, rows)


def save_changes(connection: Connection, changes: Sequence[tuple[SegmentChanged, str | None]]) -> None:
    """Append to the feed. One writer after the other, each to its commit, so that nobody who reads on from a place can
    miss a change that got its number earlier and was committed later. The last lock that a transaction takes."""
    if not changes:
        return
    guard(connection, FEED, alone=True)
    rows = [
        {
            "profile_id": c.profile_id,
            "segmentation": c.segmentation,
            "version": c.version,
            "occurred_at": to_ms(c.occurred_at),
            "body": encode(as_event(c, history)),
        }
        for c, history in changes
    ]
    put(connection, tables.change, rows, "refuse")


def _end(connection: Connection, name: str) -> None:
    """An import is over: the system clock goes on for its customers."""
    end(connection, name)
    connection.execute(update(tables.due).where(tables.due.c.held_by == name).values(held_by=None))
