"""The REST of the profile service: records and what is behind them; every write is an event on `interactions`."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Body, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import Connection

from services.profile import deciding, privacy, queries
from services.profile.openapi import EVIDENCE, PROFILE, PROFILES, STATED, TIMELINE
from services.profile.stating import Stating
from shared.events.envelope import Event
from shared.events.identifiers import KINDS, Identifier
from shared.events.profiles import Known, Profile
from shared.events.times import to_ms
from shared.runtime.service import Context
from shared.runtime.web import (
    DEFAULT_LIMIT,
    INVALID_PARAMETER,
    Cursor,
    CursorText,
    Limit,
    Problem,
    exact_query,
    needs,
    paged,
)

_STATEMENT: dict[str, Any] = {"dependencies": [Depends(needs("admin"))], "status_code": 202, "responses": STATED}
"""What all paths have in common at which people state something."""
_READ = [Depends(needs("read")), Depends(exact_query)]


class Listed(BaseModel):
    """What `GET /v1/profiles` understands: one identifier, or words to search for, or nothing for all."""

    customer_id: str | None = Field(None, min_length=1, max_length=1000)
    loyalty_card: str | None = Field(None, min_length=1, max_length=1000)
    email: str | None = Field(None, min_length=1, max_length=1000)
    phone: str | None = Field(None, min_length=1, max_length=1000)
    chat_handle: str | None = Field(None, min_length=1, max_length=1000)
    device_id: str | None = Field(None, min_length=1, max_length=1000)
    q: str | None = Field(None, max_length=1000, description="Words, each of which occurs in an identifier or name.")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=1000)
    cursor: str | None = None


class ConsentStated(BaseModel):
    """A consent of a customer on one channel."""

    status: Literal["granted", "denied"]
    purpose: str = Field("marketing", min_length=1, max_length=100, pattern=r"^[^/]+$")
    expires_at: AwareDatetime | None = None


class Merge(BaseModel):
    """Customers that are one."""

    profile_ids: list[str] = Field(min_length=2, max_length=10)
    reason: str | None = None


class Named(BaseModel):
    """An identifier as it stands in the record."""

    kind: str
    value: str


class Split(BaseModel):
    """Identifiers that belong to another customer than the rest of the record."""

    identifiers: list[Named] = Field(min_length=1, max_length=100)
    reason: str | None = None


def router(context: Context) -> APIRouter:
    """The endpoints of the profile service."""
    routes = APIRouter(tags=["profile"])
    _lists(routes, context)
    _behind(routes, context)
    stating = Stating(context)
    _statements(routes, context, stating)
    _identity(routes, context, stating)
    privacy.add(routes, context, stating, _known)
    deciding.add(routes, context, stating, _known)
    return routes


def _lists(routes: APIRouter, context: Context) -> None:
    @routes.get(
        "/v1/profiles",
        dependencies=_READ,
        responses=PROFILES,
        summary="Customers by identifier or by words",
    )
    def profiles(asked: Annotated[Listed, Query()]) -> Response:
        """The customer with an identifier (none or one), or those that a free search finds."""
        name = _asked_for(asked)
        with context.engine.connect() as connection:
            if name is not None:
                found = queries.by_identifier(connection, name)
                return _json({"profiles": [found] if found else [], "next_cursor": None})
            after = Cursor.decode(asked.cursor, (str,)) or ("",)
            some = queries.search(connection, asked.q or "", asked.limit + 1, after[0])
        page = paged(some, asked.limit, lambda one: (one.profile_id,))
        return _json({"profiles": page.items, "next_cursor": page.next_cursor})

    @routes.get(
        "/v1/profiles/{profile_id}",
        dependencies=_READ,
        responses=PROFILE,
        summary="The record of a customer",
    )
    def profile(profile_id: str) -> Response:
        """The record of a customer; an id that he had before a merge leads to him as well."""
        with context.engine.connect() as connection:
            return _json(_known(connection, profile_id))


def _behind(routes: APIRouter, context: Context) -> None:
    @routes.get(
        "/v1/profiles/{profile_id}/timeline",
        dependencies=_READ,
        responses=TIMELINE,
        summary="All that a customer did",
    )
    def timeline(
        profile_id: str,
        type: str | None = None,
        before: str | None = None,
        cursor: CursorText = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Response:
        """Every interaction of the customer on all channels, newest first; `before` is a time or a `next_cursor`."""
        place = _place(before, cursor)
        with context.engine.connect() as connection:
            found = queries.timeline(connection, _known(connection, profile_id), limit + 1, place, type)
        page = paged(found, limit, lambda row: (row.at, row.seq))
        return _json({"events": [queries.shown(row.body) for row in page.items], "next_cursor": page.next_cursor})

    @routes.get(
        "/v1/profiles/{profile_id}/evidence",
        dependencies=_READ,
        responses=EVIDENCE,
        summary="Why these identifiers are one customer",
    )
    def evidence(profile_id: str) -> Response:
        """The customer's identifiers, and every link that touches one of them, applied or rejected."""
        with context.engine.connect() as connection:
            return _json({**queries.evidence(connection, _known(connection, profile_id)), "next_cursor": None})


def _statements(routes: APIRouter, context: Context, stating: Stating) -> None:
    @routes.patch(
        "/v1/profiles/{profile_id}/traits",
        **_STATEMENT,
        summary="Change traits",
    )
    def traits(profile_id: str, stated: Annotated[dict[str, Any], Body()]) -> Response:
        """Change some traits; null takes one away."""
        with context.engine.connect() as connection:
            known = _known(connection, profile_id)
        return _accepted(stating.say("customer.identified", [known], {"traits": stated}))

    @routes.put(
        "/v1/profiles/{profile_id}/consents/{channel}",
        **_STATEMENT,
        summary="State a consent",
    )
    def consents(profile_id: str, channel: str, stated: ConsentStated) -> Response:
        """State what the customer allows on a channel, for a purpose, until it expires."""
        with context.engine.connect() as connection:
            known = _known(connection, profile_id)
        data = {"channel": channel.strip().lower(), **stated.model_dump(mode="json", exclude_none=True)}
        return _accepted(stating.say("consent.changed", [known], data))


def _identity(routes: APIRouter, context: Context, stating: Stating) -> None:
    @routes.post("/v1/profiles/merge", **_STATEMENT, summary="Make customers one")
    def merge(stated: Merge) -> Response:
        """Make customers one, for good or until a split."""
        with context.engine.connect() as connection:
            found = {one.profile_id: one for id in stated.profile_ids for one in (_known(connection, id),)}
        if len(found) < 2:
            raise Problem(422, "same_profile", "these are one customer already", [{"pointer": "/profile_ids"}])
        strongest = [one.identifiers[0] for one in found.values()]
        data = {"identifiers": [_shown(one) for one in strongest], "reason": stated.reason}
        return _accepted(stating.say("customer.linked", list(found.values()), data))

    @routes.post(
        "/v1/profiles/{profile_id}/split",
        **_STATEMENT,
        summary="Take identifiers out",
    )
    def split(profile_id: str, stated: Split) -> Response:
        """Take identifiers out of a customer; both sides become what they would be without the wrong link."""
        with context.engine.connect() as connection:
            known = _known(connection, profile_id)
        leaving = [Identifier(one.kind, _normal(one.kind, one.value)) for one in stated.identifiers]
        mine = {Identifier(one.kind, one.value): one for one in known.identifiers}
        faults = [
            {"detail": "is no identifier of this customer", "pointer": f"/identifiers/{position}"}
            for position, one in enumerate(leaving)
            if one not in mine
        ]
        staying = [one for name, one in mine.items() if name not in leaving]
        if not faults and not staying:
            faults = [{"detail": "nothing would be left of the customer", "pointer": "/identifiers"}]
        if faults:
            raise Problem(422, "invalid_split", "these identifiers cannot be taken out", faults)
        data = {"identifiers": [_shown(mine[one]) for one in leaving], "reason": stated.reason}
        return _accepted(stating.say("customer.split", [known], data, staying[0]))


def _asked_for(asked: Listed) -> Identifier | None:
    """The one identifier that is looked up, None for a search. Raises Problem when it is not clear what is meant."""
    given = {kind: value for kind in KINDS if (value := getattr(asked, kind)) is not None}
    names = [*given, *(["q"] if given and asked.q is not None else [])]
    if len(names) > 1:
        raise _unclear(names)
    return next((Identifier(kind, _normal(kind, value)) for kind, value in given.items()), None)


def _unclear(names: Sequence[str]) -> Problem:
    faults = [{"detail": "only one of these can be asked for at a time", "parameter": name} for name in names]
    return Problem(400, INVALID_PARAMETER, f"give one of {', '.join(names)}, not several", faults)


def _known(connection: Connection, profile_id: str) -> Profile:
    known = queries.by_id(connection, profile_id)
    if known is None:
        raise Problem(404, "unknown_profile", "there is no such customer")
    return known


def _normal(kind: str, value: str) -> str:
    """An identifier as it is asked for, in the spelling in which it is kept (a + in a URL may arrive as a space)."""
    if kind == "email":
        return value.strip().lower()
    if kind == "phone":
        digits = re.sub(r"[^\d]", "", value)
        return f"+{digits}" if value[:1] in ("+", " ") else digits
    return value.strip()


def _place(before: str | None, cursor: str | None) -> tuple[int, int] | None:
    """Where a timeline goes on: a time means before all of its millisecond."""
    if before is not None and cursor is not None:
        raise _unclear(["before", "cursor"])
    if before is not None:
        try:
            moment = datetime.fromisoformat(before.replace(" ", "+"))
        except ValueError:
            return _place(None, before)
        if moment.tzinfo is None:
            fault = {"detail": "has no time zone", "parameter": "before"}
            raise Problem(400, INVALID_PARAMETER, "a time needs its zone", [fault])
        return to_ms(moment), -1
    parts = Cursor.decode(cursor, (int, int))
    return None if parts is None else (parts[0], parts[1])


def _shown(known: Known) -> dict[str, str]:
    return {"kind": known.kind, "value": known.value}


def _accepted(event: Event) -> Response:
    return _json({"source": event.source, "id": event.id}, 202)


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
