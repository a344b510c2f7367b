"""How the libraries show their write key: Bearer, Basic with the key as user, or a field of the body or address."""

from fastapi import Request

from shared.runtime.web import CHALLENGE, Problem, grant_of
from shared.security import Grant, presented_key

BEACON = "writeKey"
"""The parameter of the address that holds the key where no header can be sent."""


async def admitted(request: Request, stated: str | None) -> Grant:
    """The grant of a request. `stated` is the key that it names itself, used only when there is none in its header.

    Raises Problem 401 `missing_write_key` or `invalid_write_key`, and 403 for a key that may not send events.
    """
    header = request.headers.get("Authorization", "").strip()
    if presented_key(header) is None and stated:
        header = f"Bearer {stated.encode('utf-8', 'replace').decode('latin-1')}"
    if not header:
        raise Problem(401, "missing_write_key", "no write key given", headers=CHALLENGE)
    grant = await grant_of(request, header)
    if grant is None:
        raise _unknown()
    if "write" not in grant.scopes:
        raise Problem(403, "forbidden", "this key does not allow write")
    return grant


def _unknown() -> Problem:
    return Problem(401, "invalid_write_key", "this write key is not known", headers=CHALLENGE)
