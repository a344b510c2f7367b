"""The REST of the entrance: posting events, and what has a module of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.ingest import desk, letters, published
from services.ingest.acceptance import TOO_LARGE
from services.ingest.body import read_body
from services.ingest.cloudevents import Posted
from services.ingest.compatible.browser import add_browser
from services.ingest.compatible.posted import MOST_EVENTS
from services.ingest.compatible.routes import add_tracking
from services.ingest.compatible.vocabulary import Vocabulary, load
from services.ingest.entrance import Entrance, Verdict
from services.ingest.openapi import EVENTS, OUTCOME
from services.ingest.posting import no_json, read_posted
from services.ingest.sources import api as sources
from services.ingest.sources import receiver
from services.ingest.sources.registry import Registry
from shared.errors import InvalidEvent
from shared.runtime.service import Context
from shared.runtime.web import SECURITY, Problem, authorize, hot

INVALID_EVENTS = "invalid_events"
"""The code of a request whose events were rejected for different reasons."""


def router(context: Context, vocabulary: Vocabulary | None = None) -> APIRouter:
    """`POST /v1/events`, the paths of Segment and RudderStack, of dead letters, schemas and sources."""
    routes = APIRouter(tags=["ingest"])
    names = vocabulary or load()
    registry = Registry(context.engine)
    entrance = Entrance(context, names, registry)
    _add_events(routes, entrance)
    add_tracking(routes, entrance, names)
    add_browser(routes, entrance, names)
    routes.include_router(desk.router(context, entrance))
    routes.include_router(published.router())
    routes.include_router(receiver.router(context, entrance, registry))
    routes.include_router(sources.router(context, registry))
    return routes


def _add_events(routes: APIRouter, entrance: Entrance) -> None:
    @routes.post(
        "/v1/events",
        status_code=202,
        summary="Send one event or many",
        openapi_extra={**EVENTS, **SECURITY},
        responses=OUTCOME,
        response_class=Response,
    )
    @hot
    async def post_events(request: Request) -> Response:
        grant = await authorize(request, "write")
        body = await read_body(request)
        with entrance.pressure.room(len(body)):
            posted = await _posted(request, body, entrance)
            if len(posted.events) > MOST_EVENTS:
                raise Problem(413, "too_many_events", f"a request may hold at most {MOST_EVENTS} events")
            entrance.pressure.admit(grant.key_id, len(posted.events))
            return _answer(await entrance.take(posted.events), posted.single)


async def _posted(request: Request, body: bytes, entrance: Entrance) -> Posted:
    try:
        posted = read_posted(request, body)
    except InvalidEvent as error:
        await entrance.refuse(body, error)
        raise no_json(error) from error
    if posted.single and posted.events[0].error is not None:
        await entrance.take(posted.events)
        raise no_json(posted.events[0].error)
    return posted


def _answer(verdicts: Sequence[Verdict], single: bool) -> Response:
    rejected = [verdict.error for verdict in verdicts if verdict.error is not None]
    outcome: dict[str, Any] = {
        "accepted": len(verdicts) - len(rejected),
        "rejected": len(rejected),
        "results": [verdict.shown(index) for index, verdict in enumerate(verdicts)],
    }
    if rejected and not outcome["accepted"]:
        codes = {error.code for error in rejected}
        status = 413 if codes == {TOO_LARGE} else 422
        faults = letters.errors_of(rejected[0]) if single else ()
        message = "the event was rejected" if single else "every event was rejected"
        raise Problem(status, codes.pop() if len(codes) == 1 else INVALID_EVENTS, message, faults, extra=outcome)
    return _json(outcome, 202)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
