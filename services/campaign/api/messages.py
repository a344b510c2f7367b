"""The ledger over REST, what people decide about held messages, and the kill switch."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends

from services.campaign import documents, ledger
from services.campaign.api.stored import ADMIN, READ, now_of, store
from services.campaign.documents import SENDING, STOPPED, Document
from shared.database import transaction
from shared.events.times import to_ms
from shared.runtime.service import Context
from shared.runtime.web import DEFAULT_LIMIT, Cursor, CursorText, Limit, Problem, paged

State = Literal["planned", "sending", "held", "sent", "delivered", "clicked", "converted", "refused", "failed"]


def paths(routes: APIRouter, context: Context) -> None:
    """`/v1/messages`."""
    present = Depends(now_of(context))

    @routes.get("/v1/messages", dependencies=READ, summary="The ledger, newest first")
    def listed(
        profile_id: str | None = None,
        campaign: str | None = None,
        state: State | None = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: CursorText = None,
    ) -> dict[str, Any]:
        before = Cursor.decode(cursor, (int, str))
        filters = {"profile_id": profile_id, "campaign": campaign, "state": state}
        with context.engine.connect() as connection:
            rows = ledger.listed(connection, filters, (before[0], before[1]) if before else None, limit + 1)
        page = paged(rows, limit, ledger.sort_key)
        return {"messages": [_public(row) for row in page.items], "next_cursor": page.next_cursor}

    @routes.get("/v1/messages/{message_id}", dependencies=READ, summary="One message with every state it was in")
    def one(message_id: str) -> dict[str, Any]:
        with context.engine.connect() as connection:
            return _public(_message(ledger.one(connection, message_id), message_id))

    @routes.post("/v1/messages/{message_id}/resend", dependencies=ADMIN, status_code=202, summary="Send a held message")
    def resend(message_id: str, now: Annotated[datetime, present]) -> dict[str, Any]:
        return _ask(context, message_id, "resend", now)

    @routes.post(
        "/v1/messages/{message_id}/drop", dependencies=ADMIN, status_code=202, summary="Give up a held message"
    )
    def drop(message_id: str, now: Annotated[datetime, present]) -> dict[str, Any]:
        return _ask(context, message_id, "drop", now)


def sending(routes: APIRouter, context: Context) -> None:
    """The kill switch."""

    @routes.post("/v1/sending/stop", dependencies=ADMIN, summary="The kill switch: nothing leaves until start")
    def stop() -> dict[str, Any]:
        store(context, Document(SENDING, STOPPED, False, to_ms(context.clock()), "true"))
        return {"sending": "stopped"}

    @routes.post("/v1/sending/start", dependencies=ADMIN, summary="Send again; what was held stays held")
    def start() -> dict[str, Any]:
        with transaction(context.engine) as connection:
            documents.remove(connection, SENDING, STOPPED)
        context.nudge()
        return {"sending": "started"}


def _ask(context: Context, message_id: str, wish: str, now: datetime) -> dict[str, Any]:
    with transaction(context.engine) as connection:
        shown = _message(ledger.one(connection, message_id), message_id)
        if shown["state"] != "held":
            raise Problem(
                409, "not_held", f"the message is {shown['state']}; only held messages can be sent or dropped"
            )
        ledger.ask(connection, shown, wish, to_ms(now))
    context.nudge()
    return _public(shown)


def _public(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "planned_ms"}


def _message(shown: dict[str, Any] | None, message_id: str) -> dict[str, Any]:
    if shown is None:
        raise Problem(404, "not_found", f"there is no message {message_id}")
    return shown
