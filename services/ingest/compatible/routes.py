"""The paths of Segment's and RudderStack's tracking interfaces."""

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from services.ingest.body import read_body
from services.ingest.compatible import posted
from services.ingest.compatible.access import BEACON, admitted
from services.ingest.compatible.answers import preflight, shared_with_pages, taken
from services.ingest.compatible.openapi import BATCH, SINGLE, TAKEN
from services.ingest.compatible.posted import Posted
from services.ingest.compatible.translation import PREFIX, TYPES, Post, translated
from services.ingest.compatible.vocabulary import Vocabulary
from services.ingest.entrance import ASIDE, Entrance
from services.ingest.letters import errors_of
from shared.errors import InvalidEvent
from shared.runtime.web import Endpoint, Problem, hot

BATCHES = ("/v1/batch", "/v1/import", "/v1/b", "/beacon/v1/batch")
SINGLES = {f"/v1/{kind}": kind for kind in sorted(TYPES)} | {
    f"/v1/{kind[0]}": kind for kind in sorted(TYPES) if kind != "merge"
}
_SHOWN = frozenset({"/v1/batch", "/v1/import", *(f"/v1/{kind}" for kind in TYPES)})

Read = Callable[[bytes], Posted]


def add_tracking(routes: APIRouter, entrance: Entrance, vocabulary: Vocabulary) -> None:
    """Add all paths that take events by POST, and their preflights."""
    batch = _endpoint(entrance, vocabulary, posted.read_batch, None)
    for path in BATCHES:
        _add(routes, path, batch, "Send many events, as Segment's and RudderStack's libraries do", BATCH)
    for path, kind in SINGLES.items():
        single = _endpoint(entrance, vocabulary, posted.read_single, kind)
        _add(routes, path, single, f"Send one {kind} call, as Segment's and RudderStack's libraries do", SINGLE)


def _add(routes: APIRouter, path: str, endpoint: Endpoint, summary: str, body: dict[str, object]) -> None:
    shown = path in _SHOWN
    routes.post(
        path, summary=summary, openapi_extra=body, responses=TAKEN, response_class=Response, include_in_schema=shown
    )(endpoint)
    routes.options(path, include_in_schema=False, response_class=Response)(preflight)


def _endpoint(entrance: Entrance, vocabulary: Vocabulary, read: Read, kind: str | None) -> Endpoint:
    async def post(request: Request) -> Response:
        body = await read_body(request)
        with entrance.pressure.room(len(body)):
            return await _take(request, body)

    async def _take(request: Request, body: bytes) -> Response:
        try:
            found = await run_in_threadpool(read, body) if len(body) > ASIDE * 512 else read(body)
        except InvalidEvent as error:
            raise await _unreadable(request, body, error) from error
        grant = await admitted(request, found.write_key or request.query_params.get(BEACON))
        entrance.pressure.admit(grant.key_id, len(found.items))
        sent_at = request.headers.get("SentAt")
        post = Post(PREFIX + grant.key_id, request.state.request_id, vocabulary, sent_at, kind)
        return taken(await entrance.take(translated(found, post)))

    async def _unreadable(request: Request, body: bytes, error: InvalidEvent) -> Problem:
        grant = await admitted(request, request.query_params.get(BEACON))
        entrance.pressure.admit(grant.key_id, 1)
        await entrance.refuse(body, error, PREFIX + grant.key_id)
        faults = errors_of(error)
        return Problem(400, error.code, faults[0]["detail"], faults)

    return hot(shared_with_pages(post))
