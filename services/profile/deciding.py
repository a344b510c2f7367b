"""The REST of merge proposals: look, accept, reject."""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Response
from sqlalchemy import Connection

from services.profile import proposals
from services.profile.openapi import PROPOSALS, STATED
from services.profile.stating import Stating
from shared.events.profiles import Profile
from shared.events.times import to_ms
from shared.runtime.service import Context
from shared.runtime.web import DEFAULT_LIMIT, Cursor, CursorText, Limit, Problem, exact_query, needs, paged

Known = Callable[[Connection, str], Profile]
"""The record of a customer, or the problem that there is none."""

_STATEMENT: dict[str, Any] = {"dependencies": [Depends(needs("admin"))], "status_code": 202, "responses": STATED}
"""What all paths have in common at which people state something."""


def add(routes: APIRouter, context: Context, stating: Stating, known: Known) -> None:
    """`/v1/merge-proposals` and what can be done with one."""

    @routes.get(
        "/v1/merge-proposals",
        dependencies=[Depends(needs("read")), Depends(exact_query)],
        responses=PROPOSALS,
        summary="Customers who may be one, for a person to decide",
    )
    def listed(limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None) -> Response:
        """The newest evidence first; what has been decided is no longer here."""
        place = Cursor.decode(cursor, (int, str))
        with context.engine.connect() as connection:
            found = proposals.page(connection, limit + 1, (place[0], place[1]) if place else None)
        page = paged(found, limit, lambda one: (to_ms(one.at), one.id))
        return _json({"merge_proposals": page.items, "next_cursor": page.next_cursor})

    @routes.post(
        "/v1/merge-proposals/{proposal_id}/accept",
        **_STATEMENT,
        summary="They are one",
    )
    def accept(proposal_id: str) -> Response:
        """State that both are one customer: an explicit link, which a split can undo."""
        return _decide(proposal_id, "customer.linked")

    @routes.post(
        "/v1/merge-proposals/{proposal_id}/reject",
        **_STATEMENT,
        summary="They are two",
    )
    def reject(proposal_id: str) -> Response:
        """State that they are two customers: an explicit split, which a link can undo."""
        return _decide(proposal_id, "customer.split")

    def _decide(proposal_id: str, kind: str) -> Response:
        with context.engine.connect() as connection:
            found = proposals.find(connection, proposal_id)
            if found is None:
                raise Problem(404, "not_found", "there is no such proposal, or it has been decided")
            both = [known(connection, profile_id) for profile_id in found.profile_ids]
        strongest = [one.identifiers[0] for one in both]
        listed = strongest if kind == "customer.linked" else strongest[1:]
        data = {"identifiers": [{"kind": one.kind, "value": one.value} for one in listed], "reason": "merge proposal"}
        event = stating.say(kind, both, data)
        return _json({"source": event.source, "id": event.id}, 202)


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
