"""The desk of dead letters: looked at, counted, repaired and sent on their way again, one by one or by a filter."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime
from starlette.concurrency import run_in_threadpool

from services.ingest import letters, store
from services.ingest.body import read_body
from services.ingest.cloudevents import Sent
from services.ingest.entrance import Entrance
from services.ingest.model import REPLAYED, Letter
from services.ingest.openapi import CLOUD_EVENT, COUNTS, LETTER, LETTERS, REPLAYS
from services.ingest.posting import no_json, read_posted
from shared.database import transaction
from shared.errors import InvalidEvent
from shared.events.times import rfc3339, to_ms
from shared.runtime.service import Context
from shared.runtime.web import DEFAULT_LIMIT, Cursor, CursorText, Limit, Problem, exact_query, needs

_WORD = Query(max_length=256)


def router(context: Context, entrance: Entrance) -> APIRouter:
    """The paths of `/v1/dead-letters`."""
    routes = APIRouter(tags=["ingest"])
    _add_reading(routes, context)
    _add_bulk_replay(routes, context, entrance)
    _add_repairs(routes, context, entrance)
    return routes


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
        following = _place(found[-1]) if more and found else None
        return _json({"dead_letters": [letters.shown(letter) for letter in found], "next_cursor": following})

    @routes.get(
        "/v1/dead-letters/counts",
        summary="How many there are, by reason and source",
        dependencies=guarded,
        responses=COUNTS,
        response_class=Response,
    )
    def count_letters(
        wanted: Annotated[store.Filter, Depends(_wanted)], limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
    ) -> Response:
        after = Cursor.decode(cursor, (str, str))
        with context.engine.connect() as connection:
            rows = store.counts(connection, wanted, (after[0], after[1]) if after else None, limit + 1)
            total = store.total(connection, wanted)
        shown, more = rows[:limit], len(rows) > limit
        following = Cursor.encode((shown[-1].code, shown[-1].source)) if more else None
        return _json({"total": total, "counts": [_count(row) for row in shown], "next_cursor": following})

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
    since: Annotated[AwareDatetime | None, Query(alias="from", description="Arrived then or later.")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Arrived before then.")] = None,
) -> store.Filter:
    return store.Filter(code=code, source=source, state=state, type=type, since=since, until=until)


def _place(letter: Letter) -> str:
    return Cursor.encode((to_ms(letter.received_at), letter.id))


def _count(row: store.Count) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), "latest_at": rfc3339(row.latest_at)}


def _add_bulk_replay(routes: APIRouter, context: Context, entrance: Entrance) -> None:
    @routes.post(
        "/v1/dead-letters/replay",
        summary="Send on all that match, oldest first and a page at a time; a second time changes nothing",
        dependencies=[Depends(needs("admin")), Depends(exact_query)],
        responses=REPLAYS,
        response_class=Response,
    )
    async def replay_letters(
        wanted: Annotated[store.Filter, Depends(_wanted)], limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
    ) -> Response:
        after = Cursor.decode(cursor, (int, str))
        found, more = await run_in_threadpool(
            _unreplayed, context, wanted, (after[0], after[1]) if after else None, limit
        )
        refused = await _replay(context, entrance, found)
        return _json(
            {
                "replayed": len(found) - len(refused),
                "refused": len(refused),
                "results": [_outcome(letter, refused.get(letter.id)) for letter in found],
                "next_cursor": _place(found[-1]) if more and found else None,
            }
        )


def _unreplayed(
    context: Context, wanted: store.Filter, after: tuple[int, str] | None, limit: int
) -> tuple[list[Letter], bool]:
    with context.engine.connect() as connection:
        return store.unreplayed(connection, wanted, after, limit)


def _outcome(letter: Letter, error: InvalidEvent | None) -> dict[str, Any]:
    if error is None:
        return {"id": letter.id, "status": "replayed"}
    return {"id": letter.id, "status": "refused", "code": error.code, "errors": letters.errors_of(error)}


async def _replay(context: Context, entrance: Entrance, found: list[Letter]) -> Mapping[str, InvalidEvent]:
    """Append first, close after: whoever dies in between appends the same once more, and it is applied once."""
    refused = await entrance.replay(found)
    done = [letter.id for letter in found if letter.id not in refused]
    await run_in_threadpool(_mark_replayed, context, done)
    return refused


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
        accepted = await entrance.examine(corrected, letter.received_at)
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
            refused = await _replay(context, entrance, [letter])
            if refused:
                raise refused[letter_id]
            letter = msgspec.structs.replace(letter, state=REPLAYED)
        return _json(letters.shown(letter))


def _one_event(request: Request, body: bytes) -> Sent:
    try:
        posted = read_posted(request, body)
    except InvalidEvent as error:
        raise no_json(error) from error
    if not posted.single:
        raise Problem(422, "invalid_envelope", "the body must be one CloudEvent")
    if posted.events[0].error is not None:
        raise no_json(posted.events[0].error)
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


def _mark_replayed(context: Context, names: list[str]) -> None:
    with transaction(context.engine) as connection:
        store.mark_replayed(connection, names)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
