"""The public way out of marketing (RFC 8058): looking changes nothing, one POST is enough and may be repeated."""

from datetime import datetime
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from services.campaign.announcement import interaction
from services.campaign.model import View
from services.campaign.optout import read_token
from services.campaign.pages import page, said, unknown_link
from services.campaign.present import present
from services.campaign.preview import customer_of
from shared.events.envelope import derived_id
from shared.events.outgoing import Outgoing
from shared.events.times import MILLISECOND, rfc3339
from shared.runtime.service import Context

_QUESTION = """<p>Do you want no more marketing messages from us?</p>
<form method="post"><button>Unsubscribe</button></form>"""


class _Statement(NamedTuple):
    """An opt-out: when it was made by the clock in force, and when it arrived at our door."""

    token: str
    channel: str
    time: datetime
    received: datetime


def public_paths(routes: APIRouter, context: Context, secret: bytes) -> None:
    """`/u/{token}`; a token that is not ours is not found, one of a customer who is gone answers like any other."""

    @routes.get("/u/{token}", response_class=HTMLResponse, summary="Ask for confirmation; changes nothing")
    def confirm(token: str) -> HTMLResponse:
        return unknown_link() if read_token(secret, token) is None else page("Unsubscribe", _QUESTION)

    @routes.post("/u/{token}", response_class=HTMLResponse, summary="No more marketing on this channel")
    async def unsubscribe(token: str, request: Request) -> HTMLResponse:
        await request.body()
        known = read_token(secret, token)
        if known is None:
            return unknown_link()
        profile_id, channel = known
        view = await run_in_threadpool(_view, context, profile_id)
        if view is not None:
            statement = _Statement(token, channel, await present(context), context.clock())
            denied = denial(view, statement)
            if denied is not None:
                await context.log.append([denied])
        return said("You are unsubscribed", "You will get no more marketing messages from us on this channel.")


def _view(context: Context, profile_id: str) -> View | None:
    with context.engine.connect() as connection:
        customer = customer_of(connection, profile_id)
    return None if customer is None else customer.view


def denial(view: View, statement: _Statement) -> Outgoing | None:
    """The `consent.changed` of an opt-out; None when it is denied already. Repeating it gives the same event.

    It is later than the consent it overrides, whatever the clocks say: he has seen what the consent allowed.
    """
    consent = view.consents.get(statement.channel)
    if consent is not None and consent.status == "denied" and consent.purpose == "marketing":
        return None
    time = statement.time if consent is None else max(statement.time, consent.at + MILLISECOND)
    # one opt-out per grant: a second click is the same event, an opt-out after a new grant is another
    answers = "nothing" if consent is None else rfc3339(consent.at)
    name = derived_id(f"unsubscribe/{statement.token}", answers)
    data = {"channel": statement.channel, "status": "denied", "purpose": "marketing"}
    return interaction(view, "consent.changed", name, time, data, statement.received)
