"""`/v1/schemas`: the published JSON Schemas, for whoever holds any key."""

from typing import Any

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import Response

from services.ingest.schemas import VERSIONS, name_of, schema_of
from shared.runtime.web import Problem, needs

_LIST: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Every type with its schema",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["schemas", "next_cursor"],
                    "properties": {
                        "schemas": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["type", "version", "id", "path"],
                                "properties": {
                                    **{name: {"type": "string"} for name in ("type", "id", "path")},
                                    "version": {"type": "integer"},
                                },
                            },
                        },
                        "next_cursor": {"type": "null"},
                    },
                }
            }
        },
    }
}
_ONE: dict[int | str, dict[str, Any]] = {
    200: {"description": "JSON Schema 2020-12", "content": {"application/schema+json": {"schema": {"type": "object"}}}}
}


def router() -> APIRouter:
    """The paths of `/v1/schemas`."""
    routes = APIRouter(tags=["ingest"], dependencies=[Depends(needs("read", "write"))])

    @routes.get("/v1/schemas", summary="The types of events", responses=_LIST, response_class=Response)
    async def list_schemas() -> Response:
        rows = [
            {"type": kind, "version": version, "id": name_of(kind), "path": f"/v1/schemas/{kind}"}
            for kind, version in VERSIONS.items()
        ]
        return Response(msgspec.json.encode({"schemas": rows, "next_cursor": None}), media_type="application/json")

    @routes.get(
        "/v1/schemas/{kind}", summary="The JSON Schema of a type's data", responses=_ONE, response_class=Response
    )
    async def get_schema(kind: str) -> Response:
        if kind not in VERSIONS:
            raise Problem(404, "not_found", "there is no such type: see /v1/schemas")
        return Response(msgspec.json.encode(schema_of(kind)), media_type="application/schema+json")

    return routes
