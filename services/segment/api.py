"""REST of the segment service: definitions, counts, members, a customer's classes and why, the feed of changes."""

import asyncio
import json
from asyncio import to_thread
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse

from services.segment import definitions, explaining, previewing, queries
from services.segment.attributes import describe
from services.segment.definition import DefinitionError
from services.segment.present import present
from shared.events.envelope import Event, encode
from shared.events.times import from_ms, rfc3339, whole_ms
from shared.runtime.service import Context
from shared.runtime.web import Cursor, CursorText, Limit, Problem, exact_query, needs

READ = [Depends(needs("read")), Depends(exact_query)]
ADMIN = [Depends(needs("admin")), Depends(exact_query)]
Document = Annotated[dict[str, Any], Body()]


def _place(after: CursorText = None, cursor: CursorText = None) -> str | None:
    """Where a list of changes goes on; it may be asked as of any list, or as one asks a feed."""
    return after or cursor


Place = Annotated[str | None, Depends(_place)]


def router(context: Context) -> APIRouter:
    """All paths of the segment service."""
    routes = APIRouter(tags=["segment"])
    _definition_paths(routes, context)
    _change_paths(routes, context)
    _population_paths(routes, context)
    _customer_paths(routes, context)
    _feed_paths(routes, context)
    return routes


def _definition_paths(routes: APIRouter, context: Context) -> None:
    @routes.get("/v1/attributes", dependencies=READ, summary="What rules may ask about a customer")
    def attributes() -> dict[str, Any]:
        return {"attributes": describe(), "next_cursor": None}

    @routes.get("/v1/segmentations", dependencies=READ, summary="All definitions in force")
    def listed() -> dict[str, Any]:
        with context.engine.connect() as connection:
            building = definitions.building(connection)
            found = queries.definitions(connection)
        return {"segmentations": [_shown(row, building) for row in found], "next_cursor": None}

    @routes.get("/v1/segmentations/{name}", dependencies=READ, summary="One definition")
    def one(name: str) -> dict[str, Any]:
        with context.engine.connect() as connection:
            found = [row for row in queries.definitions(connection) if row["name"] == name]
            building = definitions.building(connection)
        if not found:
            raise _unknown(name)
        return _shown(found[0], building)


def _change_paths(routes: APIRouter, context: Context) -> None:
    @routes.put("/v1/segmentations/{name}", dependencies=ADMIN, summary="Put a definition in force")
    async def put(name: str, document: Document, response: Response) -> dict[str, Any]:
        now = await present(context)
        created, shown = await to_thread(_put, context, name, document, now)
        context.nudge()
        response.status_code = 201 if created else 200
        return shown

    @routes.delete("/v1/segmentations/{name}", dependencies=ADMIN, status_code=204, summary="Take a definition away")
    async def delete(name: str) -> None:
        if not await to_thread(definitions.drop, context.engine, name, await present(context)):
            raise _unknown(name)
        context.nudge()

    @routes.post(
        "/v1/segmentations/preview", dependencies=READ, summary="Sizes and moves of a definition; nothing is saved"
    )
    async def preview(document: Document) -> dict[str, Any]:
        return await to_thread(_preview, context, document, await present(context))


def _put(context: Context, name: str, document: dict[str, Any], now: datetime) -> tuple[bool, dict[str, Any]]:
    try:
        created = definitions.put(context.engine, name, document, now)
    except DefinitionError as error:
        raise _wrong(error) from error
    with context.engine.connect() as connection:
        row = next(row for row in queries.definitions(connection) if row["name"] == name)
        return created, _shown(row, definitions.building(connection))


def _preview(context: Context, document: dict[str, Any], now: datetime) -> dict[str, Any]:
    try:
        with context.engine.connect() as connection:
            return previewing.preview(connection, document, now)
    except DefinitionError as error:
        raise _wrong(error) from error


def _population_paths(routes: APIRouter, context: Context) -> None:
    @routes.get("/v1/segmentations/{name}/classes", dependencies=READ, summary="Counts and shares per class")
    def classes(name: str) -> dict[str, Any]:
        with context.engine.connect() as connection:
            names = definitions.class_names(connection, name)
            counted = queries.counts(connection, name)
        if names is None:
            raise _unknown(name)
        total = sum(counted.values())
        return {
            "segmentation": name,
            "total": total,
            "classes": [
                {"class": n, "count": counted.get(n, 0), "share": counted.get(n, 0) / total if total else 0.0}
                for n in names
            ],
            "next_cursor": None,
        }

    @routes.get("/v1/segmentations/{name}/classes/{class_}/members", dependencies=READ, summary="Who is in a class")
    def members(name: str, class_: str, limit: Limit = 100, cursor: CursorText = None) -> dict[str, Any]:
        after = Cursor.decode(cursor, (str,))
        with context.engine.connect() as connection:
            if class_ not in (definitions.class_names(connection, name) or ()):
                raise _unknown(f"{name}/{class_}")
            rows = queries.members(connection, name, class_, after[0] if after else None, limit + 1)
            shown = queries.shown(connection, [row[0] for row in rows])
        more = len(rows) > limit
        rows = rows[:limit]
        return {
            "members": [
                {"profile_id": p, "since": rfc3339(from_ms(since)), "customer": shown.get(p, {})} for p, since in rows
            ],
            "next_cursor": Cursor.encode([rows[-1][0]]) if more else None,
        }


def _customer_paths(routes: APIRouter, context: Context) -> None:
    @routes.get("/v1/profiles/{profile_id}/classes", dependencies=READ, summary="A customer's classes, and why")
    async def classes(profile_id: str, at: datetime | None = None) -> dict[str, Any]:
        now = await present(context)
        asked = whole_ms(at if at.tzinfo else at.replace(tzinfo=UTC)) if at else now
        return await to_thread(_classes, context, profile_id, asked if asked < now else None, now)

    @routes.get("/v1/profiles/{profile_id}/classes/history", dependencies=READ, summary="A customer's class changes")
    def history(profile_id: str, place: Place, limit: Limit = 100) -> dict[str, Any]:
        after = Cursor.decode(place, (int,))
        with context.engine.connect() as connection:
            rows = queries.history(connection, profile_id, after[0] if after else 0, limit + 1)
            if not rows and after is None and queries.customer_of(connection, profile_id) is None:
                raise Problem(404, "not_found", f"No customer {profile_id} is known here.")
        more = len(rows) > limit
        rows = rows[:limit]
        return {
            "changes": [_json(change) for _, change in rows],
            "next_cursor": Cursor.encode([rows[-1][0]]) if more else None,
        }


def _classes(context: Context, profile_id: str, past: datetime | None, now: datetime) -> dict[str, Any]:
    with context.engine.connect() as connection:
        customer = queries.customer_of(connection, profile_id)
        if customer is None:
            raise Problem(404, "not_found", f"No customer {profile_id} is known here.")
        shown = explaining.classes(connection, customer, past or max(now, customer.as_of))
    return {"profile_id": profile_id, "at": rfc3339(past or now), "classes": shown}


def _feed_paths(routes: APIRouter, context: Context) -> None:
    @routes.get("/v1/segment-changes", dependencies=READ, summary="The feed of class changes, oldest first")
    def feed(place: Place, limit: Limit = 100) -> dict[str, Any]:
        start = Cursor.decode(place, (int,))
        position = start[0] if start else 0
        with context.engine.connect() as connection:
            rows = queries.changes_after(connection, position, limit)
        last = rows[-1][0] if rows else position
        return {"changes": [_json(change) for _, change in rows], "next_cursor": Cursor.encode([last])}

    @routes.get("/v1/segment-changes/stream", dependencies=READ, summary="The same feed as server-sent events")
    async def stream(request: Request, last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
        start = Cursor.decode(last_event_id, (int,))
        return StreamingResponse(
            _events(request, context, start[0] if start else None),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )


async def _events(request: Request, context: Context, position: int | None) -> AsyncIterator[str]:
    """Changes as they come; a comment every 15 seconds keeps the connection open. Ends after ten minutes."""

    def read(place: int) -> list[tuple[int, Any]]:
        with context.engine.connect() as connection:
            return queries.changes_after(connection, place, 500)

    if position is None:
        position = await to_thread(lambda: definitions.newest_change(context.engine))
    yield "retry: 2000\n\n"
    for turn in range(2400):
        rows = await to_thread(read, position)
        for seq, change in rows:
            yield f"id: {Cursor.encode([seq])}\nevent: segment.changed\ndata: {encode(change).decode()}\n\n"
            position = seq
        if await request.is_disconnected():
            return
        if not rows:
            if turn % 60 == 59:
                yield ": still here\n\n"
            await asyncio.sleep(0.25)


def _json(change: Event) -> Any:
    return json.loads(encode(change))


def _shown(row: dict[str, Any], building: bool) -> dict[str, Any]:
    return {
        **row["definition"],
        "name": row["name"],
        "version": row["version"],
        "applied_at": rfc3339(from_ms(row["applied_at"])),
        "state": "building" if building else "live",
    }


def _unknown(name: str) -> Problem:
    return Problem(404, "not_found", f"There is no segmentation {name}.")


def _wrong(error: DefinitionError) -> Problem:
    where = {"position": str(error.position)} if error.position is not None else {}
    return Problem(
        422, "invalid_definition", str(error), [{"detail": error.message, "pointer": error.pointer, **where}]
    )
