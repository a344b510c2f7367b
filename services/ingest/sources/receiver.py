"""`POST /v1/sources/{name}/events`: the door for webhooks. The signature is the key."""

import hmac
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from services.ingest.body import read_body
from services.ingest.entrance import Entrance
from services.ingest.posting import no_json
from services.ingest.sources.deliveries import parts_of
from services.ingest.sources.document import Source
from services.ingest.sources.registry import Registry
from services.ingest.sources.signature import Delivery, verified
from shared.errors import InvalidEvent
from shared.runtime.service import Context
from shared.runtime.web import Problem
from shared.telemetry import logger

_OUTCOME: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What became of the events in it; rejected ones are kept as dead letters",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["accepted", "rejected", "ignored"],
                    "properties": {name: {"type": "integer"} for name in ("accepted", "rejected", "ignored")},
                }
            }
        },
    }
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {}, "application/x-www-form-urlencoded": {}},
    }
}


def router(context: Context, entrance: Entrance, registry: Registry) -> APIRouter:
    """The door for deliveries and for the challenge of those who verify an address first."""
    routes = APIRouter(tags=["ingest"])

    @routes.post(
        "/v1/sources/{name}/events",
        summary="Deliver a webhook; signed by its sender, no key",
        openapi_extra=_BODY,
        responses=_OUTCOME,
        response_class=Response,
    )
    async def receive(name: str, request: Request) -> Response:
        source = await _source(registry, name)
        _verify(context, source, request, await request.body())
        body = await read_body(request)
        try:
            parts = parts_of(source, request.headers, body)
        except InvalidEvent as error:
            await entrance.refuse(body, error, source.name)
            _count(context, source, "rejected")
            raise no_json(error) from error
        outcome = await entrance.receive(source, parts)
        for word, count in outcome.items():
            _count(context, source, word, count)
        return Response(msgspec.json.encode(outcome), media_type="application/json")

    @routes.get("/v1/sources/{name}/events", summary="Answer the challenge of Meta", response_class=PlainTextResponse)
    async def challenge(name: str, request: Request) -> Response:
        source = await _source(registry, name)
        asked = request.query_params
        token = source.document.verify_token
        if source.kind is None or not source.kind.challenge or not token:
            raise Problem(405, "method_not_allowed", "this source verifies no address", headers={"Allow": "POST"})
        if not hmac.compare_digest(token.encode(), asked.get("hub.verify_token", "").encode("utf-8", "replace")):
            _count(context, source, "refused")
            raise Problem(403, "forbidden", "the verify token is not the one of this source")
        return PlainTextResponse(asked.get("hub.challenge", "")[:256])

    return routes


async def _source(registry: Registry, name: str) -> Source:
    source = (await registry.known()).sources.get(name)
    if source is None or source.kind is None:
        raise Problem(404, "not_found", "no webhook has this name")
    return source


def _verify(context: Context, source: Source, request: Request, body: bytes) -> None:
    """Raise 401 unless the sender knows the secret. What he sent is not kept: anybody can send anything."""
    public = str(context.settings.get("public_url") or str(request.base_url).rstrip("/"))
    query = f"?{request.url.query}" if request.url.query else ""
    delivery = Delivery(public + request.url.path + query, request.headers, body)
    if verified(source.scheme, source.document.secret or "", delivery, context.clock()):
        return
    _count(context, source, "refused")
    logger().info("webhook_refused", service="ingest", reason="signature")
    raise Problem(401, "invalid_signature", "the signature does not fit: look at the secret of this source")


def _count(context: Context, source: Source, outcome: str, count: int = 1) -> None:
    context.metrics.webhooks.labels(source.name, outcome).inc(count)
