"""What goes when a customer is erased: everything, but for a ledger row that says no more than that a message was."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select

from services.campaign import tables
from services.campaign.model import FAILED, SENDING, Message, ProfileGone
from shared.database import put, shred
from shared.events.erasures import Erasure, confirm
from shared.events.outgoing import Outgoing

NAMELESS = "erased"
"""Stands in the ledger where the profile id was."""

_encoder = msgspec.msgpack.Encoder()
_messages = msgspec.msgpack.Decoder(Message)


def erase(connection: Connection, gone: Sequence[ProfileGone]) -> list[Outgoing]:
    """Delete what is kept of erased customers and make their ledger rows nameless; tell how many they were.

    The files of their messages are noted for the gateway to delete.
    """
    if not gone:
        return []
    shred(connection)
    return [_erased(connection, one) for one in gone]


def _erased(connection: Connection, gone: ProfileGone) -> Outgoing:
    ledger = tables.message
    his = ledger.c.profile_id == gone.profile_id
    kept = [column.name for column in tables.discard.c]
    connection.execute(insert(tables.discard).from_select(kept, select(*(ledger.c[name] for name in kept)).where(his)))
    ids = select(ledger.c.message_id).where(his)
    counts = {"transition": connection.execute(select(func.count()).where(_of(ids))).scalar() or 0}
    connection.execute(delete(tables.transition).where(_of(ids)))
    for table in (tables.due, tables.dispatch, tables.signal):
        counts[table.name] = connection.execute(delete(table).where(table.c.profile_id == gone.profile_id)).rowcount
    rows = connection.execute(select(ledger.c.body).where(his)).all()
    put(connection, ledger, [_row(_nameless(_messages.decode(body))) for (body,) in rows])
    counts["message"] = len(rows)
    about = Erasure(erasure_id=gone.erasure_id or "", profile_id=gone.profile_id)
    return confirm("campaign", about, counts, gone.time)


def _of(ids: Select[tuple[str]]) -> ColumnElement[bool]:
    return tables.transition.c.message_id.in_(ids)


def _nameless(message: Message) -> Message:
    """The message without the customer; how one ended that was just being sent can no longer be found out."""
    digest = hashlib.blake2b(message.occasion.encode(), digest_size=16).hexdigest()
    known = replace(message, profile_id=NAMELESS, occasion=digest, subject=None, event={})
    return replace(known, state=FAILED, reason="outcome_unknown") if known.state == SENDING else known


def _row(message: Message) -> dict[str, Any]:
    names = (column.name for column in tables.message.c if column.name != "body")
    return {**{name: getattr(message, name) for name in names}, "body": _encoder.encode(message)}
