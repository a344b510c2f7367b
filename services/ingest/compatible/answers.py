"""Answers that keep the libraries calm: 200 for what was taken, `code` and `message` for what was not, and CORS.

202 and 204 make one of them send everything again; so does a problem without the two members.
"""

import re
from collections.abc import Mapping, Sequence
from functools import wraps
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response

from services.ingest import letters
from services.ingest.entrance import Verdict
from shared.runtime.web import Endpoint, Problem, answer, of_any

PREFLIGHT_SECONDS = 900
_ALLOWED = re.compile(r"[A-Za-z0-9, _-]{1,1024}", re.ASCII)
_USUAL = "Authorization, Content-Type, Content-Encoding, AnonymousId, SentAt, X-Retry-Count"
_NAMES = {
    "too_large": ("payload_too_large", None),
    "invalid_encoding": ("invalid_gzip", None),
    "too_many_events": ("batch_too_long", 400),
}


def taken(verdicts: Sequence[Verdict]) -> Response:
    """200: success, and what was rejected by its number, with its reason."""
    rejected = [_rejected(index, verdict) for index, verdict in enumerate(verdicts) if verdict.error is not None]
    return json_answer({"success": True, "rejected": rejected} if rejected else {"success": True})


def _rejected(index: int, verdict: Verdict) -> dict[str, Any]:
    assert verdict.error is not None
    return {
        "index": index,
        "messageId": verdict.id,
        "code": verdict.error.code,
        "errors": letters.errors_of(verdict.error),
    }


def json_answer(body: Mapping[str, Any]) -> Response:
    """A JSON body with status 200."""
    return Response(msgspec.json.encode(body), media_type="application/json")


def shared_with_pages(endpoint: Endpoint) -> Endpoint:
    """The endpoint for web pages of any origin too: they may read its answers, the refusals among them."""

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except Exception as error:
            problem = of_any(error)
            if problem.status_code == 500:
                raise
            response = answer(_renamed(problem))
        response.headers.update(_headers(request))
        return response

    return answered


async def preflight(request: Request) -> Response:
    """What a browser asks before it sends a key."""
    wanted = request.headers.get("access-control-request-headers", "")
    headers = {
        **_headers(request),
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
        "Access-Control-Allow-Headers": wanted if _ALLOWED.fullmatch(wanted) else _USUAL,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return Response(status_code=204, headers=headers)


def _headers(request: Request) -> dict[str, str]:
    """Nobody is known here by cookies, so every origin may be allowed to send what it has."""
    origin = request.headers.get("origin")
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After, X-Request-Id",
        "Vary": "Origin",
    }


def _renamed(problem: Problem) -> Problem:
    """The problem under the name that Segment and RudderStack have for it."""
    code, status = _NAMES.get(problem.code, (problem.code, None))
    message = str(problem.detail)
    return Problem(status or problem.status_code, code, message, problem.errors, problem.headers, problem.extra)
