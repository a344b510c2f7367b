"""The outermost frame of every request: its id, its size, the headers of its answer, and what went wrong unforeseen."""

import re
import secrets
import time
from collections.abc import Mapping

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.runtime.web.problems import Problem, answer, of_any
from shared.telemetry import logger

LARGEST_BODY = 4 * 1024 * 1024
REQUEST_ID = "X-Request-Id"
# Hexadecimal and long: nothing that could be a telephone number or a name.
_FOREIGN_ID = re.compile(r"[0-9a-fA-F-]{20,36}")
_NUL = b"%00"  # no text of PostgreSQL can hold it
SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGE_POLICY = "frame-ancestors 'none'; base-uri 'self'; object-src 'none'"
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"


class Frame:
    """ASGI middleware; streams pass through it unbuffered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of connection pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        offered = headers.get(REQUEST_ID, "")
        request_id = offered if _FOREIGN_ID.fullmatch(offered) else secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(scope, receive, send, request_id)
        with structlog.contextvars.bound_contextvars(request_id=request_id, correlation_id=request_id):
            await exchange.run(self._app, headers.get("content-length", ""))
        structlog.contextvars.unbind_contextvars("key_id")


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._received = 0
        self._status = 0
        self._started_at = time.monotonic()

    async def run(self, app: ASGIApp, declared: str) -> None:
        try:
            if declared.isdecimal() and int(declared) > LARGEST_BODY:
                raise _too_large()
            if _NUL in self._scope["raw_path"] or _NUL in self._scope["query_string"]:
                raise Problem(400, "bad_request", "an address must not hold the character NUL")
            await app(self._scope, self.receive, self.send)
        except Exception as error:
            problem = of_any(error)
            if problem.status_code == 500:
                logger().error("request_failed", exc_info=error, **self._facts())
            if self._status:
                raise
            await answer(problem)(self._scope, self.receive, self.send)
        logger().debug("request", status=self._status, **self._facts())

    async def receive(self) -> Message:
        """Refuse a body whose end was not declared as soon as it is too large."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > LARGEST_BODY:
                raise _too_large()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            _complete(MutableHeaders(scope=message), self._request_id)
        await self._send(message)

    def _facts(self) -> dict[str, str | int]:
        # The pattern, never the path: paths hold tokens and search terms.
        route = getattr(self._scope.get("route"), "path", "unmatched")
        duration = round((time.monotonic() - self._started_at) * 1000)
        return {"method": self._scope["method"], "route": route, "duration_ms": duration}


def _too_large() -> Problem:
    return Problem(413, "too_large", f"a request may have at most {LARGEST_BODY} bytes")


def _complete(headers: MutableHeaders, request_id: str) -> None:
    headers[REQUEST_ID] = request_id
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    page = headers.get("content-type", "").startswith("text/html")
    headers.setdefault("Content-Security-Policy", _PAGE_POLICY if page else _DATA_POLICY)
    if "json" in headers.get("content-type", ""):
        headers.setdefault("Cache-Control", "no-store")
