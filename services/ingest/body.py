"""The body of a request, inflated within bounds."""

import zlib

from fastapi import Request

from shared.runtime.web import Problem

LARGEST_BODY = 4 * 1024 * 1024
"""Bytes of a request, inflated."""

_GZIP = 31
_ZLIB = 15
_BARE = -15
_ENCODINGS = ("gzip", "x-gzip", "deflate")


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
    """All members of the body, one after the other, as `gzip` itself reads them."""
    if encoding not in _ENCODINGS:
        raise Problem(415, "unsupported_encoding", "Content-Encoding must be gzip, deflate or identity")
    inflated = b""
    rest = body
    while True:
        inflating = zlib.decompressobj(_window(encoding, rest))
        try:
            inflated += inflating.decompress(rest, LARGEST_BODY + 1 - len(inflated))
        except zlib.error as error:
            raise Problem(400, "invalid_encoding", f"the body is not {encoding}") from error
        if len(inflated) > LARGEST_BODY:
            return inflated
        if not inflating.eof:
            raise Problem(400, "invalid_encoding", f"the {encoding} body ends too early")
        rest = inflating.unused_data
        if not rest:
            return inflated


def _window(encoding: str, data: bytes) -> int:
    """How zlib is to read: some senders of `deflate` leave out its header, which is a multiple of 31."""
    if encoding != "deflate":
        return _GZIP
    return _ZLIB if len(data) > 1 and data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0 else _BARE
