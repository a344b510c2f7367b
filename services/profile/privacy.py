"""The REST of privacy: a customer's data to take along, his erasure, and the receipt of it."""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Response
from sqlalchemy import Connection

from services.profile import queries, receipts
from services.profile.openapi import ERASING, EXPORT, RECEIPT
from services.profile.stating import Stating
from shared.database import transaction
from shared.events.profiles import Profile
from shared.events.times import rfc3339
from shared.runtime.service import Context
from shared.runtime.web import Problem, needs

_PRIVACY = [Depends(needs("privacy"))]
PAGE = 1000
"""Events read at once for an export."""

Known = Callable[[Connection, str], Profile]
"""The record of a customer, or the problem that there is none."""


def add(routes: APIRouter, context: Context, stating: Stating, known: Known) -> None:
    """`…/export`, `DELETE /v1/profiles/{id}` and `/v1/erasures/{id}`."""

    @routes.get(
        "/v1/profiles/{profile_id}/export",
        dependencies=_PRIVACY,
        responses=EXPORT,
        summary="All that is kept of a customer",
    )
    def export(profile_id: str) -> Response:
        """Record, evidence and every event, from one snapshot; `elsewhere` names the paths of what others keep."""
        with context.engine.connect() as connection:
            body = _export(connection, known(connection, profile_id))
        return _json({"exported_at": rfc3339(context.clock()), **body})

    @routes.delete(
        "/v1/profiles/{profile_id}",
        dependencies=_PRIVACY,
        status_code=202,
        responses=ERASING,
        summary="Erase a customer",
    )
    def erase(profile_id: str) -> Response:
        """Have him removed from every store, topic and log; the answer is the receipt, which grows as they report."""
        with context.engine.connect() as connection:
            found = known(connection, profile_id)
        about, at = stating.erase(found)
        with transaction(context.engine) as connection:
            receipts.accept(connection, about, at)
            receipt = receipts.find(connection, about.erasure_id)
        return _json(receipt, 202)

    @routes.get(
        "/v1/erasures/{erasure_id}",
        dependencies=_PRIVACY,
        responses=RECEIPT,
        summary="The receipt of an erasure",
    )
    def erasure(erasure_id: str) -> Response:
        """`accepted`, `applied` when the record is gone, `complete` when every store has told what it removed."""
        with context.engine.connect() as connection:
            receipt = receipts.find(connection, erasure_id)
        if receipt is None:
            raise Problem(404, "not_found", "there is no such erasure")
        return _json(receipt)


def _export(connection: Connection, known: Profile) -> dict[str, Any]:
    events: list[dict[str, msgspec.Raw]] = []
    place: tuple[int, int] | None = None
    while page := queries.timeline(connection, known, PAGE, place):
        events += [queries.shown(row.body) for row in page]
        place = (page[-1].at, page[-1].seq)
    path = f"/v1/profiles/{known.profile_id}"
    elsewhere = [f"{path}/classes", f"{path}/classes/history", f"/v1/messages?profile_id={known.profile_id}"]
    return {
        "profile": known,
        "evidence": queries.evidence(connection, known),
        "events": events,
        "elsewhere": elsewhere,
    }


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
