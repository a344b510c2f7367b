"""The body of a request, inflated within bounds."""

import zlib

from fastapi import Request

from shared.runtime.web import Problem

LARGEST_BODY = 4 * 1024 * 1024
"""Bytes of a request, inflated."""

_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


async def read_body(request: Request) -> bytes:
    """The body as it was before its `Content-Encoding`, inflated only as far as allowed. Raises Problem."""
    body = await request.body()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        body = _inflate(body, encoding)
    if len(body) > LARGEST_BODY:
        raise Problem(413, "too_large", f"a request may have at most {LARGEST_BODY} bytes, inflated")
    return body


def _inflate(body: bytes, encoding: str) -> bytes:
    if encoding not in _WINDOW:
        raise Problem(415, "unsupported_encoding", "Content-Encoding must be gzip, deflate or identity")
    inflating = zlib.decompressobj(_WINDOW[encoding])
    try:
        inflated = inflating.decompress(body, LARGEST_BODY + 1)
    except zlib.error as error:
        raise Problem(400, "invalid_encoding", f"the body is not {encoding}") from error
    if not inflating.eof and len(inflated) <= LARGEST_BODY:
        raise Problem(400, "invalid_encoding", f"the {encoding} body ends too early")
    return inflated
