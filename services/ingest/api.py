"""The REST of the entrance: posting events, and the desk at which dead letters are repaired and replayed."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime
from starlette.concurrency import run_in_threadpool

from services.ingest import letters, store
from services.ingest.acceptance import TOO_LARGE
from services.ingest.body import read_body
from services.ingest.cloudevents import MediaTypeError, Posted, Sent, read_http
from services.ingest.compatible.browser import add_browser
from services.ingest.compatible.posted import MOST_EVENTS
from services.ingest.compatible.routes import add_tracking
from services.ingest.compatible.vocabulary import Vocabulary, load
from services.ingest.entrance import Entrance, Verdict
from services.ingest.model import REPLAYED, Letter
from services.ingest.openapi import CLOUD_EVENT, EVENTS, LETTER, LETTERS, OUTCOME
from shared.database import transaction
from shared.errors import InvalidEvent
from shared.events.times import to_ms
from shared.runtime.service import Context
from shared.runtime.web import (
    DEFAULT_LIMIT,
    SECURITY,
    Cursor,
    CursorText,
    Limit,
    Problem,
    authorize,
    exact_query,
    hot,
    needs,
)

INVALID_EVENTS = "invalid_events"
"""The code of a request whose events were rejected for different reasons."""

_WORD = Query(max_length=256)


def router(context: Context, vocabulary: Vocabulary | None = None) -> APIRouter:
    """`POST /v1/events`, the paths of Segment and RudderStack, and those of `/v1/dead-letters`."""
    routes = APIRouter(tags=["ingest"])
    names = vocabulary or load()
    entrance = Entrance(context, names)
    _add_events(routes, entrance)
    add_tracking(routes, entrance, names)
    add_browser(routes, entrance, names)
    _add_reading(routes, context)
    _add_repairs(routes, context, entrance)
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
        posted = _read(request, body)
    except InvalidEvent as error:
        await entrance.refuse(body, error)
        raise _no_json(error) from error
    if posted.single and posted.events[0].error is not None:
        await entrance.take(posted.events)
        raise _no_json(posted.events[0].error)
    return posted


def _read(request: Request, body: bytes) -> Posted:
    try:
        return read_http(request.headers.raw, body)
    except MediaTypeError as error:
        raise Problem(415, "unsupported_media_type", "send application/json or application/cloudevents+json") from error


def _no_json(error: InvalidEvent) -> Problem:
    return Problem(400, error.code, "the body is not valid JSON", letters.errors_of(error))


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


def _add_reading(routes: APIRouter, context: Context) -> None:
    guarded = [Depends(needs("read")), Depends(exact_query)]

    @routes.get(
        "/v1/dead-letters",
        summary="Rejected events, newest first",
        dependencies=guarded,
        responses=LETTERS,
        response_class=Response,
    )
    def list_letters(
        wanted: Annotated[store.Filter, Depends(_wanted)], limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
    ) -> Response:
        before = Cursor.decode(cursor, (int, str))
        with context.engine.connect() as connection:
            found, more = store.page(connection, wanted, (before[0], before[1]) if before else None, limit)
        following = Cursor.encode((to_ms(found[-1].received_at), found[-1].id)) if more and found else None
        return _json({"dead_letters": [letters.shown(letter) for letter in found], "next_cursor": following})

    @routes.get(
        "/v1/dead-letters/{letter_id}",
        summary="One rejected event",
        dependencies=guarded,
        responses=LETTER,
        response_class=Response,
    )
    def get_letter(letter_id: str) -> Response:
        return _json(letters.shown(_found(context, letter_id)))


def _wanted(
    code: Annotated[str | None, _WORD] = None,
    source: Annotated[str | None, _WORD] = None,
    state: Annotated[str | None, Query(pattern="^(open|repaired|replayed)$")] = None,
    type: Annotated[str | None, _WORD] = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> store.Filter:
    return store.Filter(code=code, source=source, state=state, type=type, since=since, until=until)


def _add_repairs(routes: APIRouter, context: Context, entrance: Entrance) -> None:
    guarded = [Depends(needs("admin"))]

    @routes.put(
        "/v1/dead-letters/{letter_id}",
        summary="Put the corrected CloudEvent beside the original",
        dependencies=guarded,
        openapi_extra={"requestBody": {"required": True, "content": CLOUD_EVENT}},
        responses=LETTER,
        response_class=Response,
    )
    async def repair_letter(letter_id: str, request: Request) -> Response:
        body = await read_body(request)
        letter = await run_in_threadpool(_found, context, letter_id)
        corrected = _one_event(request, body)
        accepted = entrance.examine(corrected, letter.received_at)
        done = await run_in_threadpool(_repair, context, letter_id, corrected.original, accepted.event.type)
        if not done:
            raise Problem(409, "already_replayed", "this event has been replayed: send a new one")
        return _json(letters.shown(await run_in_threadpool(_found, context, letter_id)))

    @routes.post(
        "/v1/dead-letters/{letter_id}/replay",
        summary="Send a repaired event on its way; a second time changes nothing",
        dependencies=guarded,
        responses=LETTER,
        response_class=Response,
    )
    async def replay_letter(letter_id: str) -> Response:
        letter = await run_in_threadpool(_found, context, letter_id)
        if letter.state != REPLAYED:
            await entrance.replay(letter)
            await run_in_threadpool(_mark_replayed, context, letter_id)
            letter = msgspec.structs.replace(letter, state=REPLAYED)
        return _json(letters.shown(letter))


def _one_event(request: Request, body: bytes) -> Sent:
    try:
        posted = _read(request, body)
    except InvalidEvent as error:
        raise _no_json(error) from error
    if not posted.single:
        raise Problem(422, "invalid_envelope", "the body must be one CloudEvent")
    if posted.events[0].error is not None:
        raise _no_json(posted.events[0].error)
    return posted.events[0]


def _found(context: Context, letter_id: str) -> Letter:
    with context.engine.connect() as connection:
        letter = store.find(connection, letter_id)
    if letter is None:
        raise Problem(404, "not_found", "there is no such dead letter")
    return letter


def _repair(context: Context, letter_id: str, corrected: bytes, kind: str) -> bool:
    with transaction(context.engine) as connection:
        return store.repair(connection, letter_id, corrected, kind)


def _mark_replayed(context: Context, letter_id: str) -> None:
    with transaction(context.engine) as connection:
        store.mark_replayed(connection, letter_id)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
