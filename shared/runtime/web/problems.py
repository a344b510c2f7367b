"""Every error of the web interface as one document: RFC 9457 with `code` and `message`."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from shared.errors import Conflict, InvalidEvent, Unavailable
from shared.events.storable import pointer

MEDIA_TYPE = "application/problem+json"
NAMESPACE = "urn:cartera:problem:"
CODES: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "rate_limited",
    500: "internal_error",
    503: "unavailable",
}
MOST_ERRORS = 100
INVALID_PARAMETER = "invalid_parameter"


class Problem(HTTPException):
    """An answer that is not the one asked for; raise it from any endpoint.

    `errors` are `{detail, pointer}` or `{detail, parameter}`; the members of `extra` stand beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.code = code
        self.errors = tuple(errors)
        self.extra = dict(extra or {})


def answer(problem: Problem) -> Response:
    """The response of a problem."""
    body: dict[str, Any] = {
        **problem.extra,
        "type": NAMESPACE + problem.code,
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "detail": problem.detail,
        "code": problem.code,
        "message": problem.detail,
    }
    if problem.errors:
        body["errors"] = problem.errors
    content = msgspec.json.encode(body)
    return Response(content, problem.status_code, dict(problem.headers or {}), media_type=MEDIA_TYPE)


def of_http(error: HTTPException) -> Problem:
    """What the framework raises by itself: 404, 405 and the like."""
    if isinstance(error, Problem):
        return error
    code = CODES.get(error.status_code, "http_error")
    return Problem(error.status_code, code, str(error.detail), headers=error.headers)


def of_validation(error: RequestValidationError) -> Problem:
    """A request that does not fit its declaration: each fault with its place, never with the value that was sent.

    A body of the wrong shape is a 422; a parameter that cannot be understood is a 400.
    """
    errors: list[dict[str, str]] = []
    for fault in error.errors()[:MOST_ERRORS]:
        if fault["type"] == "json_invalid":
            return Problem(400, "invalid_json", f"the body is not valid JSON (position {fault['loc'][-1]})")
        where, *path = fault["loc"]
        place = {"pointer": pointer(path)} if where == "body" else {"in": where, "parameter": ".".join(map(str, path))}
        errors.append({"detail": str(fault["msg"]), "code": str(fault["type"]), **place})
    if all("parameter" in error for error in errors):
        names = ", ".join(dict.fromkeys(error["parameter"] for error in errors))
        return Problem(400, INVALID_PARAMETER, f"these parameters cannot be used: {names}", errors)
    return Problem(422, "invalid", "the request is not valid", errors)


def of_event(error: InvalidEvent) -> Problem:
    """An event that can never be applied."""
    errors = [{"detail": fault.detail, "pointer": fault.pointer} for fault in error.faults]
    return Problem(422, error.code, "; ".join(fault.detail for fault in error.faults), errors)


def of_unavailable(error: Unavailable) -> Problem:
    """Another system is away; the client is told when to try again, within one second and five minutes."""
    seconds = min(max(int(error.retry_after), 1), 300)
    return Problem(503, "unavailable", str(error), headers={"Retry-After": str(seconds)})


def of_any(error: Exception) -> Problem:
    """The problem of whatever an endpoint raised."""
    match error:
        case HTTPException():
            return of_http(error)
        case RequestValidationError():
            return of_validation(error)
        case InvalidEvent():
            return of_event(error)
        case Unavailable():
            return of_unavailable(error)
        case Conflict():
            return Problem(409, "conflict", str(error))
    return Problem(500, "internal_error", "the server failed; the error was recorded")


def install(app: FastAPI) -> None:
    """Answer what endpoints raise, and what routing raises, with problems. The rest is for the outermost frame."""

    async def handle(_: Request, error: Exception) -> Response:
        return answer(of_any(error))

    for kind in (HTTPException, RequestValidationError, InvalidEvent, Unavailable, Conflict):
        app.add_exception_handler(kind, handle)
