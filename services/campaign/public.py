"""The public way out of marketing (RFC 8058): looking changes nothing, one POST is enough and may be repeated."""

from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool

from services.campaign.model import View
from services.campaign.optout import read_token
from services.campaign.preview import customer_of
from shared.events.envelope import Event, derived_id, fingerprint, raw
from shared.events.identifiers import KINDS
from shared.events.interactions import TOPIC as INTERACTIONS
from shared.events.outgoing import Outgoing, say
from shared.events.times import rfc3339
from shared.runtime.service import Context

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Unsubscribe</title><body><p>Do you want no more marketing messages?</p>
<form method="post"><button>Unsubscribe</button></form></body></html>"""
NO_INDEX = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}


class _Found(NamedTuple):
    view: View
    channel: str


def public_paths(routes: APIRouter, context: Context, secret: bytes) -> None:
    """`/u/{token}`; an unknown token answers like any other, so that nothing can be learned from it."""

    @routes.get("/u/{token}", response_class=HTMLResponse, summary="Ask for confirmation; changes nothing")
    def confirm(token: str) -> HTMLResponse:
        return HTMLResponse(PAGE, headers=NO_INDEX)

    @routes.post("/u/{token}", response_class=PlainTextResponse, summary="No more marketing on this channel")
    async def unsubscribe(token: str, request: Request) -> PlainTextResponse:
        await request.body()
        found = await run_in_threadpool(_find, context, secret, token)
        if found is not None:
            said = denial(found.view, found.channel, token, context)
            if said is not None:
                await context.log.append([said])
        return PlainTextResponse("You are unsubscribed.", headers=NO_INDEX)


def _find(context: Context, secret: bytes, token: str) -> _Found | None:
    known = read_token(secret, token)
    if known is None:
        return None
    profile_id, channel = known
    with context.engine.connect() as connection:
        customer = customer_of(connection, profile_id)
    return None if customer is None or customer.view is None else _Found(customer.view, channel)


def denial(view: View, channel: str, token: str, context: Context) -> Outgoing | None:
    """The `consent.changed` of an opt-out; None when it is denied already. Repeating it gives the same event."""
    consent = view.consents.get(channel)
    if consent is not None and consent.status == "denied":
        return None
    identifiers: dict[str, str] = {}
    for known in view.identifiers:
        identifiers.setdefault(known.kind, known.value)
    strongest = next((kind for kind in KINDS if kind in identifiers), None)
    if strongest is None:
        return None
    data = {"customer": identifiers, "channel": channel, "status": "denied", "purpose": "marketing"}
    now = context.clock()
    answers = "nothing" if consent is None else rfc3339(consent.at)
    event = Event(
        specversion="1.0",
        # one opt-out per grant: a second click is the same event, an opt-out after a new grant is another
        id=derived_id(f"unsubscribe/{token}", answers),
        source="cartera/campaign",
        type="consent.changed",
        time=now,
        data=raw(data),
        receivedat=now,
        fingerprint=fingerprint("consent.changed", None, data),
    )
    return say(INTERACTIONS, f"{strongest}:{identifiers[strongest]}", event)
