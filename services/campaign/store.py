"""How the customers of a batch are loaded and saved: a fixed number of statements, whatever its size."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, or_, select

from services.campaign import tables
from services.campaign.decision import facts_of
from services.campaign.documents import Rulebook
from services.campaign.erasing import erase
from services.campaign.model import (
    PLANNED,
    SENDING,
    CampaignEvent,
    ClassChanged,
    Customer,
    Due,
    Language,
    Marked,
    Message,
    Outcome,
    ProfileGone,
    ProfileSeen,
    State,
)
from services.campaign.tracking import passed
from shared.database import among, put
from shared.events.outgoing import Outgoing
from shared.events.times import EPOCH, from_ms, to_ms
from shared.runtime.service import Watermark

PAGE = 500
"""Customers read at once."""

NOBODY = ""

_encoder = msgspec.msgpack.Encoder()
_customers = msgspec.msgpack.Decoder(Customer)
_messages = msgspec.msgpack.Decoder(Message)


class Work:
    """The customers that one batch touches, under the rules of the moment."""

    def __init__(
        self,
        customers: dict[str, Customer],
        named: Mapping[str, Message],
        rulebook: Rulebook,
        events: Sequence[CampaignEvent],
    ) -> None:
        self.policy = rulebook.policy
        self.loaded = dict(customers)
        self.customers = customers
        self.named = named
        self.messages: dict[str, Message] = {}
        self.claimed: set[str] = set()
        self.transitions: dict[tuple[str, int], Message] = {}
        self.signals = [event.signal_id for event in events if isinstance(event, Outcome)]
        self.timers = [event.message_id for event in events if isinstance(event, Due)]
        self.marks = [event for event in events if isinstance(event, Marked)]
        self.erased = [event for event in events if isinstance(event, ProfileGone) and event.reason == "erasure"]
        self.confirmed: list[Outgoing] = []

    def part(self, event: CampaignEvent) -> State:
        """The state of the customer an event is about; an unknown one is empty."""
        name = NOBODY if isinstance(event, Marked) else event.profile_id
        customer = self.customers.get(name) or Customer(profile_id=name)
        if isinstance(event, ProfileSeen | ProfileGone | ClassChanged) and event.part != customer.part:
            customer = msgspec.structs.replace(customer, part=event.part)
        if isinstance(event, ProfileSeen) and event.about is not None:
            customer = self._with_named(customer, event.about)
        return State(customer, self.policy)

    def _with_named(self, customer: Customer, name: str) -> Customer:
        """The customer with the finished message that an event names: his own, or of one who was merged into him."""
        message = self.messages.get(name) or self.named.get(name)
        if message is None or any(known.message_id == name for known in customer.messages):
            return customer
        owner = self.customers.get(message.profile_id)
        if message.profile_id != customer.profile_id and (owner is None or owner.gone is None):
            return customer
        return msgspec.structs.replace(customer, messages=(*customer.messages, message))

    def replace(self, before: State, after: State) -> None:
        """Keep the evolved customer and the messages that moved."""
        if after is before:
            return
        self.customers[after.customer.profile_id] = after.customer
        if after.customer.messages is before.customer.messages:
            return
        known = {message.message_id: message for message in before.customer.messages}
        for message in after.customer.messages:
            former = known.get(message.message_id)
            if former is message:
                continue
            self.messages[message.message_id] = message
            for entered in passed(former, message):
                self.transitions[entered.message_id, entered.revision] = entered
                if entered.state == SENDING:
                    self.claimed.add(entered.message_id)

    def part_of(self, message: Message) -> int:
        """The partition whose owner sees to a message: that of its customer."""
        return self.customers[message.profile_id].part


def load(connection: Connection, rulebook: Rulebook, events: Sequence[CampaignEvent]) -> Work:
    """All customers that the events touch."""
    abouts = {event.about for event in events if isinstance(event, ProfileSeen) and event.about is not None}
    named = load_messages(connection, sorted(abouts))
    names = {event.profile_id for event in events if not isinstance(event, Marked)}
    names |= {message.profile_id for message in named.values()}
    work = Work(load_customers(connection, sorted(names)), named, rulebook, events)
    sending = {row.name: row.asked_at for row in connection.execute(select(tables.sending_import))}
    sending.update((mark.name, to_ms(mark.send)) for mark in work.marks if mark.send is not None)
    if sending:
        work.policy = replace(work.policy, sending=sending)
    return work


def load_customers(connection: Connection, names: Sequence[str]) -> dict[str, Customer]:
    """Customers by profile id; those not known are absent."""
    found: dict[str, Customer] = {}
    for these in among(connection, tables.customer.c.profile_id, names):
        rows = connection.execute(select(tables.customer.c.body).where(these))
        for (body,) in rows:
            customer = _customers.decode(body)
            found[customer.profile_id] = customer
    return found


def every_customer(connection: Connection) -> Iterator[Customer]:
    """All customers in the order of their ids, read in pages."""
    table, last = tables.customer, ""
    while True:
        query = select(table.c.profile_id, table.c.body).where(table.c.profile_id > last)
        rows = connection.execute(query.order_by(table.c.profile_id).limit(PAGE)).all()
        for row in rows:
            yield _customers.decode(row.body)
        if len(rows) < PAGE:
            return
        last = rows[-1].profile_id


def load_messages(connection: Connection, names: Sequence[str]) -> dict[str, Message]:
    """Messages by id, in the state they are in now."""
    found: dict[str, Message] = {}
    for these in among(connection, tables.message.c.message_id, names):
        rows = connection.execute(select(tables.message.c.body).where(these))
        for (body,) in rows:
            message = _messages.decode(body)
            found[message.message_id] = message
    return found


def save(connection: Connection, work: Work) -> None:
    """Write what changed: customers, ledger, timers, sends to make, marks."""
    touched = [c for name, c in sorted(work.customers.items()) if work.loaded.get(name) is not c]
    rows = [_customer_row(customer, work.policy.language) for customer in touched if _worth_keeping(customer)]
    put(connection, tables.customer, rows)
    _save_messages(connection, work)
    for these in among(connection, tables.signal.c.id, work.signals):
        connection.execute(delete(tables.signal).where(these))
    work.confirmed = erase(connection, work.erased)
    for mark in work.marks:
        _save_mark(connection, mark)


def _worth_keeping(customer: Customer) -> bool:
    return customer.profile_id != NOBODY and bool(customer.version or customer.classes or customer.messages)


def _customer_row(customer: Customer, language: Language | None) -> dict[str, Any]:
    if customer.gone == "erasure":
        kept = ("profile_id", "part", "version", "gone")
        customer = Customer(**{name: getattr(customer, name) for name in kept})
    elif customer.record is not None:
        customer = msgspec.structs.replace(customer, record=None, facts=facts_of(customer, language))
    body = _encoder.encode(customer)
    return {"profile_id": customer.profile_id, "part": customer.part, "version": customer.version, "body": body}


def _save_messages(connection: Connection, work: Work) -> None:
    for these in among(connection, tables.due.c.message_id, sorted({*work.messages, *work.timers})):
        connection.execute(delete(tables.due).where(these))
    moved = [message for _, message in sorted(work.messages.items())]
    planned = [message for message in moved if message.state == PLANNED]
    put(connection, tables.due, [_due_row(message, work.part_of(message)) for message in planned], "refuse")
    put(connection, tables.message, [_message_row(message) for message in moved])
    put(connection, tables.transition, [_transition_row(message) for _, message in sorted(work.transitions.items())])
    # only what was claimed just now: a message on its way may be in other hands already
    claimed = [message for message in moved if message.state == SENDING and message.message_id in work.claimed]
    put(connection, tables.dispatch, [_dispatch_row(message, work.part_of(message)) for message in claimed])


def _due_row(message: Message, part: int) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "part": part,
        "due_at": message.due_at,
        "profile_id": message.profile_id,
        "history": message.history,
    }


def _message_row(message: Message) -> dict[str, Any]:
    names = (c.name for c in tables.message.c if c.name != "body")
    return {**{name: getattr(message, name) for name in names}, "body": _encoder.encode(message)}


def _transition_row(message: Message) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "revision": message.revision,
        "state": message.state,
        "reason": message.reason,
        "at": message.changed_at,
    }


def _dispatch_row(message: Message, part: int) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "part": part,
        "profile_id": message.profile_id,
        "history": message.history,
        "phase": "claimed",
        "attempt": 0,
        "not_before": 0,
        "sender": None,
        "taken_at": None,
    }


def _save_mark(connection: Connection, mark: Marked) -> None:
    table = tables.open_import
    row = {"name": mark.name, "topic": mark.topic, "part": mark.partition}
    if mark.send is not None:
        put(connection, tables.sending_import, [{"name": mark.name, "asked_at": to_ms(mark.send)}], "ignore")
    if mark.begun:
        put(connection, table, [row], "ignore")
    else:
        connection.execute(delete(table).where(*(table.c[name] == value for name, value in row.items())))


def _in_no_open_import() -> Any:
    opened = select(tables.open_import.c.name)
    return or_(tables.due.c.history.is_(None), tables.due.c.history.not_in(opened))


def next_due(connection: Connection, parts: Collection[int]) -> datetime | None:
    """The earliest moment at which something is to do on these partitions; outcomes are to be taken up at once."""
    if connection.execute(select(tables.signal.c.id).where(tables.signal.c.part.in_(parts)).limit(1)).first():
        return EPOCH
    table = tables.due
    query = select(func.min(table.c.due_at)).where(table.c.part.in_(parts) & _in_no_open_import())
    earliest = connection.execute(query).scalar()
    return None if earliest is None else from_ms(earliest)


def overdue(connection: Connection, now: datetime) -> int:
    """How many messages have a timer whose moment has passed."""
    query = select(func.count()).where((tables.due.c.due_at <= to_ms(now)) & _in_no_open_import())
    return connection.execute(query).scalar_one()


def due(connection: Connection, watermark: Watermark, limit: int) -> Sequence[CampaignEvent] | None:
    """Of one partition: outcomes first, then the timers due up to the watermark, oldest first; None for nothing."""
    told = tables.signal
    signals = connection.execute(
        select(told).where(told.c.part == watermark.partition).order_by(told.c.id).limit(limit)
    ).all()
    events: list[CampaignEvent] = [
        Outcome(row.id, row.profile_id, row.message_id, row.kind, from_ms(row.at), row.reason, row.subject)
        for row in signals
    ]
    table = tables.due
    query = (
        select(table)
        .where((table.c.part == watermark.partition) & (table.c.due_at <= to_ms(watermark.live)))
        .where(_in_no_open_import())
        .order_by(table.c.due_at, table.c.message_id)
        .limit(limit - len(events))
    )
    events += [
        Due(row.profile_id, row.message_id, from_ms(row.due_at), watermark.live) for row in connection.execute(query)
    ]
    return events or None
