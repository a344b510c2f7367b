"""A posted body as events, and what is answered when it is none."""

from fastapi import Request

from services.ingest.cloudevents import MediaTypeError, Posted, read_http
from services.ingest.letters import errors_of
from shared.errors import InvalidEvent
from shared.runtime.web import Problem


def read_posted(request: Request, body: bytes) -> Posted:
    """The events of a request. Raises InvalidEvent `invalid_json`, and Problem 415 for another media type."""
    try:
        return read_http(request.headers.raw, body)
    except MediaTypeError as error:
        raise Problem(415, "unsupported_media_type", "send application/json or application/cloudevents+json") from error


def no_json(error: InvalidEvent) -> Problem:
    """The answer to a body that is no JSON."""
    return Problem(400, error.code, "the body is not valid JSON", errors_of(error))
