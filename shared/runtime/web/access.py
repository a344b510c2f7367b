"""Who may do what: the dependency that every endpoint with a key declares."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

import structlog
from fastapi import Request, Security
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.concurrency import run_in_threadpool

from shared.runtime.web.problems import Problem
from shared.security import Grant, Keys

Scope = Literal["write", "read", "privacy", "admin"]
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="cartera"'}
SECURITY: dict[str, Any] = {"security": [{"bearer": []}, {"basic": []}]}
"""For the OpenAPI entry of an endpoint that calls `authorize` itself."""


class _Header(SecurityBase):
    """Shows a way to present a key in the OpenAPI document; reading it is left to `shared.security`."""

    def __init__(self, scheme: str, description: str) -> None:
        self.model = HTTPBase(scheme=scheme, description=description)
        self.scheme_name = scheme

    async def __call__(self, request: Request) -> str | None:
        return request.headers.get("Authorization")


_BEARER = _Header("bearer", "The API key.")
_BASIC = _Header("basic", "The API key as user, with an empty password.")

Guard = Callable[..., Coroutine[Any, Any, Grant]]


def needs(*scopes: Scope) -> Guard:
    """A dependency that answers 401 without a valid key and 403 when the key allows none of `scopes`."""

    async def guard(
        request: Request,
        bearer: Annotated[str | None, Security(_BEARER)],
        basic: Annotated[str | None, Security(_BASIC)],
    ) -> Grant:
        return await authorize(request, *scopes)

    return guard


async def authorize(request: Request, *scopes: Scope) -> Grant:
    """The grant of the request's key. Raises Problem 401 without a valid one, 403 when it allows none of `scopes`."""
    grant = await granted(request)
    if grant is None:
        raise Problem(401, "unauthorized", "a valid API key is needed", headers=CHALLENGE)
    if grant.scopes.isdisjoint(scopes):
        raise Problem(403, "forbidden", f"this key does not allow {' or '.join(scopes)}")
    request.state.key_id = grant.key_id
    structlog.contextvars.bind_contextvars(key_id=grant.key_id)
    return grant


async def granted(request: Request) -> Grant | None:
    """The grant of the request's key, None without a valid one."""
    return await grant_of(request, request.headers.get("Authorization"))


async def grant_of(request: Request, authorization: str | None) -> Grant | None:
    """The grant of the text of an Authorization header; waits for the database outside the event loop."""
    keys: Keys = request.app.state.keys
    if keys.fresh(authorization):
        return keys.grant_of(authorization)
    return await run_in_threadpool(keys.grant_of, authorization)
