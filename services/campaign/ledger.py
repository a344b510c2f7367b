"""Questions to the ledger of messages."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select

from services.campaign import tables
from shared.events.times import from_ms, rfc3339

Key = tuple[int, str]


def listed(
    connection: Connection, filters: Mapping[str, str | None], before: Key | None, limit: int
) -> Sequence[dict[str, Any]]:
    """Messages, newest plan first, from below a sort key; `filters` are exact values of columns."""
    table = tables.message
    query = select(table).order_by(table.c.planned_at.desc(), table.c.message_id.desc()).limit(limit)
    for name, value in filters.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    if before is not None:
        moment, name = before
        older = table.c.planned_at < moment
        query = query.where(or_(older, and_(table.c.planned_at == moment, table.c.message_id < name)))
    return [_shown(row) for row in connection.execute(query)]


def one(connection: Connection, message_id: str) -> dict[str, Any] | None:
    """One message with every state it was in."""
    table, states = tables.message, tables.transition
    row = connection.execute(select(table).where(table.c.message_id == message_id)).one_or_none()
    if row is None:
        return None
    rows = connection.execute(select(states).where(states.c.message_id == message_id).order_by(states.c.revision))
    history = [{"state": r.state, "reason": r.reason, "at": rfc3339(from_ms(r.at))} for r in rows]
    return {**_shown(row), "history": history}


def ask(connection: Connection, shown: Mapping[str, Any], kind: str, now_ms: int) -> None:
    """Hand an operator's wish (`resend`, `drop`) to the core."""
    customer = tables.customer
    part = select(customer.c.part).where(customer.c.profile_id == shown["profile_id"]).scalar_subquery()
    row = {"message_id": shown["id"], "profile_id": shown["profile_id"], "kind": kind, "at": now_ms}
    connection.execute(insert(tables.signal).values(part=func.coalesce(part, 0), **row))


def sort_key(shown: Mapping[str, Any]) -> Key:
    """The sort key of a listed message."""
    return shown["planned_ms"], shown["id"]


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.message_id,
        "campaign": row.campaign,
        "step": row.step,
        "profile_id": row.profile_id,
        "channel": row.channel,
        "state": row.state,
        "reason": row.reason,
        "occasion": row.occasion,
        "planned_at": rfc3339(from_ms(row.planned_at)),
        "sent_at": _moment(row.sent_at),
        "delivered_at": _moment(row.delivered_at),
        "clicked_at": _moment(row.clicked_at),
        "converted_at": _moment(row.converted_at),
        "changed_at": rfc3339(from_ms(row.changed_at)),
        "import": row.history,
        "planned_ms": row.planned_at,
    }


def _moment(at: int | None) -> str | None:
    return None if at is None else rfc3339(from_ms(at))
