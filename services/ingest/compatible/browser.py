"""What browsers ask for by GET: the settings of Segment's library, and pixels."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.ingest.compatible.access import BEACON, admitted
from services.ingest.compatible.answers import json_answer, preflight, shared_with_pages
from services.ingest.compatible.posted import Posted, read_single
from services.ingest.compatible.translation import PREFIX, TYPES, Post, translated
from services.ingest.compatible.vocabulary import Vocabulary
from services.ingest.entrance import Entrance
from shared.errors import CarteraError
from shared.runtime.web import Endpoint, Problem
from shared.telemetry import logger

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent picture of one point."""

_SEGMENT = "/v1/pixel/"
_RUDDER = "/pixel/v1/"
_PREFIXES = ("properties.", "traits.", "context.")


def add_browser(routes: APIRouter, entrance: Entrance, vocabulary: Vocabulary) -> None:
    """Add the settings, the pixels, and RudderStack's path of liveness."""
    path = "/v1/projects/{write_key}/settings"
    routes.get(path, include_in_schema=False)(shared_with_pages(_settings))
    routes.options(path, include_in_schema=False)(preflight)
    for kind in sorted(TYPES - {"merge"}):
        routes.get(_SEGMENT + kind, include_in_schema=False)(_pixel(entrance, vocabulary, kind))
    for kind in ("track", "page"):
        routes.get(_RUDDER + kind, include_in_schema=False)(_pixel(entrance, vocabulary, kind))

    @routes.get("/health", include_in_schema=False)
    async def alive() -> Response:
        return json_answer({"server": "UP"})


async def _settings(request: Request) -> Response:
    """What Segment's browser library loads first. The key is not looked up: the first event shows whether it opens."""
    ours = request.url
    segment = {
        "apiKey": request.path_params["write_key"],
        "apiHost": f"{ours.netloc}/v1",
        "protocol": ours.scheme,
    }
    everything = {"enabled": True, "integrations": {}}
    return json_answer({"integrations": {"Segment.io": segment}, "plan": {"track": {"__default": everything}}})


def _pixel(entrance: Entrance, vocabulary: Vocabulary, kind: str) -> Endpoint:
    async def pixel(request: Request) -> Response:
        """Always the picture: whoever shows it cannot read an answer."""
        try:
            await _take(request)
        except (CarteraError, Problem) as error:
            logger().warning("pixel_refused", error=type(error).__name__)
        return Response(GIF, media_type="image/gif", headers={"Cache-Control": "no-store"})

    async def _take(request: Request) -> None:
        found = _posted(request.query_params)
        grant = await admitted(request, found.write_key)
        entrance.pressure.admit(grant.key_id, 1)
        post = Post(PREFIX + grant.key_id, request.state.request_id, vocabulary, None, kind)
        await entrance.take(translated(found, post))

    return pixel


def _posted(query: Mapping[str, str]) -> Posted:
    """The event in an address: JSON as base64 in `data`, or its fields one by one. Raises InvalidEvent."""
    data = query.get("data")
    found = read_single(_decoded(data) if data is not None else msgspec.json.encode(_fields(query)))
    return found._replace(write_key=found.write_key or query.get(BEACON))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _fields(query: Mapping[str, str]) -> dict[str, Any]:
    """`userId=…&properties.total=5` as an event. What is nested deeper than once stays under its whole name."""
    event: dict[str, Any] = {}
    for name, value in query.items():
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            event[name] = value
        else:
            event.setdefault(prefix[:-1], {})[name.removeprefix(prefix)] = value
    return event
