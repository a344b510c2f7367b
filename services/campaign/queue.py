"""The gateway's side of the database: what is to be sent, the intent before it, the outcome after it."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, update

from services.campaign import tables
from services.campaign.documents import SENDING, STOPPED
from services.campaign.model import Customer, Message
from services.campaign.store import load_customers, load_messages
from shared.database import among, put

LEASE_MS = 120_000
"""After so long a send is taken for broken off: longer than any single message takes."""


class Claimed(NamedTuple):
    """A message to send, with what is known of the customer now, and the partition it belongs to."""

    message: Message
    customer: Customer
    attempt: int
    part: int = 0


class Told(NamedTuple):
    """What became of a message, for the core; `at` in milliseconds."""

    message_id: str
    profile_id: str
    kind: str
    at: int
    reason: str | None = None
    subject: str | None = None
    part: int = 0


def waiting(connection: Connection, now_ms: int, limit: int, parts: Collection[int]) -> Sequence[Claimed]:
    """Up to `limit` messages to send; with the kill switch on only those of imports, which go to files."""
    table, document = tables.dispatch, tables.document
    stopped = exists().where((document.c.kind == SENDING) & (document.c.name == STOPPED))
    query = (
        select(table.c.message_id, table.c.profile_id, table.c.attempt, table.c.part)
        .where((table.c.phase == "claimed") & (table.c.not_before <= now_ms) & table.c.part.in_(parts))
        .where(or_(table.c.history.is_not(None), ~stopped))
        .order_by(table.c.not_before, table.c.message_id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    messages = load_messages(connection, [row.message_id for row in rows])
    customers = load_customers(connection, sorted({row.profile_id for row in rows}))
    return [
        Claimed(messages[row.message_id], _customer(customers, row.profile_id), row.attempt, row.part)
        for row in rows
        if row.message_id in messages
    ]


def _customer(customers: dict[str, Customer], profile_id: str) -> Customer:
    return customers.get(profile_id) or Customer(profile_id=profile_id)


def take(connection: Connection, message_id: str, sender: str, now_ms: int) -> bool:
    """Put down the intent to send; False when somebody else has it."""
    return _to_phase(connection, message_id, ("claimed", None), ("connect", sender), now_ms)


def enter_data(connection: Connection, message_id: str, sender: str, now_ms: int) -> bool:
    """Put down that from here on the outcome may be unknown; False when the message was taken over."""
    return _to_phase(connection, message_id, ("connect", sender), ("data", sender), now_ms)


def _to_phase(
    connection: Connection, message_id: str, old: tuple[str, str | None], new: tuple[str, str | None], now_ms: int
) -> bool:
    table = tables.dispatch
    owner = table.c.sender.is_(None) if old[1] is None else table.c.sender == old[1]
    where = and_(table.c.message_id == message_id, table.c.phase == old[0], owner)
    values = {"phase": new[0], "sender": new[1], "taken_at": now_ms}
    return connection.execute(update(table).where(where).values(**values)).rowcount == 1


def postpone(connection: Connection, message_id: str, attempt: int, not_before: int) -> None:
    """Surely not sent: try again later."""
    table = tables.dispatch
    values = {"phase": "claimed", "sender": None, "taken_at": None, "attempt": attempt, "not_before": not_before}
    connection.execute(update(table).where(table.c.message_id == message_id).values(**values))


def is_told(connection: Connection, parts: Collection[int]) -> bool:
    """Whether something waits for the core, for instance a wish that another process was told."""
    table = tables.signal
    return connection.execute(select(table.c.id).where(table.c.part.in_(parts)).limit(1)).first() is not None


def tell(connection: Connection, outcomes: Sequence[Told]) -> None:
    """Hand outcomes to the core and take the messages off the queue, both or neither."""
    if not outcomes:
        return
    put(connection, tables.signal, [outcome._asdict() for outcome in outcomes], "refuse")
    for these in among(connection, tables.dispatch.c.message_id, [outcome.message_id for outcome in outcomes]):
        connection.execute(delete(tables.dispatch).where(these))


def is_stuck(now_ms: int) -> ColumnElement[bool]:
    """Whether the sender of a row is gone."""
    return and_(tables.dispatch.c.phase.in_(("connect", "data")), tables.dispatch.c.taken_at < now_ms - LEASE_MS)


def broken_off(connection: Connection, now_ms: int) -> Sequence[Told]:
    """Sends whose sender is gone: free again if nothing had left, else their outcome is unknown (still to be told)."""
    table = tables.dispatch
    free = {"phase": "claimed", "sender": None, "taken_at": None}
    connection.execute(update(table).where(is_stuck(now_ms) & (table.c.phase == "connect")).values(**free))
    query = select(table.c.message_id, table.c.profile_id, table.c.part).where(is_stuck(now_ms))
    reason = "the sender stopped while the message was sent"
    return [
        Told(row.message_id, row.profile_id, "unknown", now_ms, reason, part=row.part)
        for row in connection.execute(query)
    ]


def discarded(connection: Connection, message_ids: Sequence[str]) -> None:
    """The outbox files of these messages are gone."""
    for these in among(connection, tables.discard.c.message_id, message_ids):
        connection.execute(delete(tables.discard).where(these))
