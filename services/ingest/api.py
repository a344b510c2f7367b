"""The REST of the entrance: posting events; the desk of dead letters has a module of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.ingest import desk, letters, published
from services.ingest.acceptance import TOO_LARGE
from services.ingest.body import read_body
from services.ingest.cloudevents import Posted
from services.ingest.entrance import Entrance, Verdict
from services.ingest.openapi import EVENTS, OUTCOME
from services.ingest.posting import no_json, read_posted
from services.ingest.sources import api as sources
from services.ingest.sources import receiver
from services.ingest.sources.registry import Registry
from shared.errors import InvalidEvent
from shared.runtime.service import Context
from shared.runtime.web import Problem, needs

MOST_EVENTS = 2_500
"""Events in one request."""


def router(context: Context) -> APIRouter:
    """`POST /v1/events` and the paths of `/v1/dead-letters`."""
    routes = APIRouter(tags=["ingest"])
    registry = Registry(context.engine)
    entrance = Entrance(context, registry)
    _add_events(routes, entrance)
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
        dependencies=[Depends(needs("write"))],
        openapi_extra=EVENTS,
        responses=OUTCOME,
        response_class=Response,
    )
    async def post_events(request: Request) -> Response:
        posted = await _posted(request, entrance)
        if len(posted.events) > MOST_EVENTS:
            raise Problem(413, "too_many_events", f"a request may hold at most {MOST_EVENTS} events")
        verdicts = await entrance.take(posted.events)
        return _answer(verdicts, posted.single)


async def _posted(request: Request, entrance: Entrance) -> Posted:
    body = await read_body(request)
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
        code = codes.pop() if len(codes) == 1 else "invalid_events"
        faults = letters.errors_of(rejected[0]) if single else ()
        message = "the event was rejected" if single else "every event was rejected"
        raise Problem(413 if code == TOO_LARGE else 422, code, message, faults, extra=outcome)
    return _json(outcome, 202)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
