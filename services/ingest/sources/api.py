"""`/v1/sources`: documents of sources, and the release from quarantine."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from services.ingest.body import read_body
from services.ingest.cloudevents import read_json
from services.ingest.posting import no_json
from services.ingest.sources import store
from services.ingest.sources.document import Document, read_document, shown
from services.ingest.sources.kinds import EVENTS, GENERIC, kinds
from services.ingest.sources.registry import Registry
from services.ingest.sources.store import Quarantine
from shared.database import transaction
from shared.errors import InvalidEvent
from shared.events.times import rfc3339
from shared.runtime.service import Context
from shared.runtime.web import DEFAULT_LIMIT, Cursor, CursorText, Limit, Problem, exact_query, needs, paged


def _schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {
            "name": {"type": "string"},
            "kind": {"enum": [EVENTS, GENERIC, *kinds()]},
            "mode": {"enum": ["lenient", "strict"], "default": "lenient"},
            "secret": {"type": "string", "writeOnly": True},
            "verify_token": {"type": "string", "writeOnly": True},
            "signature": {"type": "object"},
            "format": {"enum": ["json", "form"]},
            "mapping": {"type": "array", "items": {"type": "object", "required": ["type", "id", "fields"]}},
        },
        "additionalProperties": False,
    }


def router(context: Context, registry: Registry) -> APIRouter:
    """The paths of `/v1/sources`; a name may hold slashes, because it is the CloudEvents `source`."""
    routes = APIRouter(tags=["ingest"])
    _add_reading(routes, context)
    _add_changes(routes, context, registry)
    return routes


def _add_reading(routes: APIRouter, context: Context) -> None:
    guarded = [Depends(needs("read")), Depends(exact_query)]

    @routes.get("/v1/sources", summary="The sources, by name", dependencies=guarded, response_class=Response)
    def list_sources(limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None) -> Response:
        after = Cursor.decode(cursor, (str,))
        rows = [row for row in _all(context) if after is None or row["name"] > after[0]]
        page = paged(rows, limit, lambda row: (row["name"],))
        return _json({"sources": page.items, "next_cursor": page.next_cursor})

    @routes.get("/v1/sources/{name:path}", summary="One source", dependencies=guarded, response_class=Response)
    def get_source(name: str) -> Response:
        found = next((row for row in _all(context) if row["name"] == name), None)
        if found is None:
            raise _unknown()
        return _json(found)


def _all(context: Context) -> Iterable[dict[str, Any]]:
    """The documents, and the sources in quarantine that have none."""
    with context.engine.connect() as connection:
        rows = {document.name: shown(document) for document in store.documents(connection)}
        confined = store.quarantines(connection)
    for one in confined:
        rows.setdefault(one.source, {"name": one.source, "kind": EVENTS, "mode": None})["quarantine"] = _confined(one)
    return [rows[name] for name in sorted(rows)]


def _confined(one: Quarantine) -> dict[str, Any]:
    return {"since": rfc3339(one.since), "accepted": one.accepted, "rejected": one.rejected}


def _add_changes(routes: APIRouter, context: Context, registry: Registry) -> None:
    guarded = [Depends(needs("admin"))]
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema()}}}}

    @routes.post(
        "/v1/sources/{name:path}/release",
        summary="Let a source in again; what was kept meanwhile is replayed from its dead letters",
        dependencies=guarded,
        response_class=Response,
    )
    def release_source(name: str) -> Response:
        with transaction(context.engine) as connection:
            if not store.release(connection, name):
                raise Problem(404, "not_found", "this source is not in quarantine")
        return _json({"name": name, "released": True})

    @routes.put(
        "/v1/sources/{name:path}",
        summary="Set up a source",
        dependencies=guarded,
        openapi_extra=body,
        response_class=Response,
    )
    async def put_source(name: str, request: Request) -> Response:
        try:
            sent = read_json(await read_body(request))
        except InvalidEvent as error:
            raise no_json(error) from error
        document, fresh = await run_in_threadpool(_put, context, name, sent)
        registry.forget()
        return _json(shown(document), 201 if fresh else 200)

    @routes.delete("/v1/sources/{name:path}", summary="Remove a source", dependencies=guarded, status_code=204)
    def delete_source(name: str) -> Response:
        with transaction(context.engine) as connection:
            if not store.remove(connection, name):
                raise _unknown()
        registry.forget()
        return Response(status_code=204)


def _put(context: Context, name: str, sent: object) -> tuple[Document, bool]:
    with transaction(context.engine) as connection:
        before = store.find(connection, name)
        document = read_document(name, sent, before)
        store.keep(connection, document, context.clock())
    return document, before is None


def _unknown() -> Problem:
    return Problem(404, "not_found", "there is no such source")


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
