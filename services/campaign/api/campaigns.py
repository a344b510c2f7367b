"""Campaigns over REST: definitions, pausing, and what they would do and have done."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from services.campaign import documents
from services.campaign.api.stored import (
    ADMIN,
    READ,
    Body_,
    found,
    now_of,
    put_document,
    shown,
    store,
    unknown,
    wrong,
)
from services.campaign.composition import writer_of
from services.campaign.definition import Campaign, DefinitionError, campaign_document
from services.campaign.documents import CAMPAIGN, TEMPLATE, Document, Rulebook, Rulebooks
from services.campaign.preview import Page, customer_of, dry_run, preview
from services.campaign.report import report
from services.campaign.supposing import check, supposing
from shared.database import transaction
from shared.errors import Fault
from shared.runtime.service import Context
from shared.runtime.web import Cursor, CursorText, Limit, Problem


class Supposed(BaseModel):
    """Documents that a dry run takes as if they had been put."""

    documents: list[dict[str, Any]] = []


SAMPLE = 20
"""How many customers a dry run shows unless told otherwise."""


def paths(routes: APIRouter, context: Context, rulebooks: Rulebooks) -> None:
    """`/v1/campaigns`."""

    @routes.get("/v1/campaigns", dependencies=READ, summary="All campaigns")
    def listed() -> dict[str, Any]:
        with context.engine.connect() as connection:
            every = documents.every(connection, CAMPAIGN)
        return {"campaigns": [_campaign(document) for document in every], "next_cursor": None}

    @routes.get("/v1/campaigns/{name}", dependencies=READ, summary="One campaign")
    def one(name: str) -> dict[str, Any]:
        return _campaign(found(context, CAMPAIGN, name))

    @routes.put("/v1/campaigns/{name}", dependencies=ADMIN, summary="Put a campaign in force")
    def put(name: str, document: Body_, response: Response) -> dict[str, Any]:
        def read(connection: Connection, named: Mapping[str, Any]) -> dict[str, Any]:
            campaign = rulebooks.parse_campaign(named)
            _check_templates(connection, campaign)
            return campaign_document(campaign)

        return _campaign(put_document(context, (CAMPAIGN, name), document, read, response))

    @routes.delete("/v1/campaigns/{name}", dependencies=ADMIN, status_code=204, summary="Take a campaign away")
    def delete(name: str) -> None:
        with transaction(context.engine) as connection:
            if not documents.remove(connection, CAMPAIGN, name):
                raise unknown(CAMPAIGN, name)
        context.nudge()


def pausing(routes: APIRouter, context: Context) -> None:
    """The brake of a single campaign."""

    @routes.post("/v1/campaigns/{name}/pause", dependencies=ADMIN, summary="Refuse its messages until resumed")
    def pause(name: str) -> dict[str, Any]:
        return _campaign(_set_paused(context, name, True))

    @routes.post("/v1/campaigns/{name}/resume", dependencies=ADMIN, summary="Go on with a paused campaign")
    def resume(name: str) -> dict[str, Any]:
        return _campaign(_set_paused(context, name, False))


def looking_ahead(routes: APIRouter, context: Context, rulebooks: Rulebooks) -> None:
    """What a campaign would do now, with one customer and with all, and what it has done; nothing is sent."""
    writer = writer_of(context.settings)
    present = Depends(now_of(context))

    @routes.post("/v1/campaigns/{name}/preview", dependencies=READ, summary="Decision and texts for one customer")
    def show(
        name: str, profile_id: Annotated[str, Body(embed=True)], now: Annotated[datetime, present]
    ) -> dict[str, Any]:
        with context.engine.connect() as connection:
            rulebook, campaign = _in_force(connection, rulebooks, name)
            customer = customer_of(connection, profile_id)
        if customer is None:
            raise Problem(404, "not_found", f"no customer {profile_id} is known here")
        return preview(campaign, customer, rulebook, writer, now)

    @routes.post("/v1/campaigns/{name}/dry-run", dependencies=READ, summary="Who would get it now, who not, and why")
    def run(
        name: str,
        now: Annotated[datetime, present],
        limit: Limit = SAMPLE,
        cursor: CursorText = None,
        supposed: Annotated[Supposed | None, Body()] = None,
    ) -> dict[str, Any]:
        after = Cursor.decode(cursor, (str,))
        with context.engine.connect() as connection:
            rulebook, campaign = _in_force(connection, rulebooks, name, supposed.documents if supposed else ())
            return dry_run(connection, campaign, rulebook, now, Page(str(after[0]) if after else "", limit))

    @routes.post("/v1/documents/check", dependencies=READ, summary="Whether a template, campaign or settings would do")
    def judge(document: Body_) -> dict[str, Any]:
        try:
            kind, name, _ = check(rulebooks, document)
        except DefinitionError as error:
            raise wrong(error) from error
        return {"kind": kind, "name": name, "valid": True}

    @routes.get("/v1/campaigns/{name}/report", dependencies=READ, summary="What it has done, and its effect")
    def tell(name: str) -> dict[str, Any]:
        with context.engine.connect() as connection:
            told = report(connection, name)
            if not told["steps"] and documents.find(connection, CAMPAIGN, name) is None:
                raise unknown(CAMPAIGN, name)
        return told


def _in_force(
    connection: Connection, rulebooks: Rulebooks, name: str, supposed: Sequence[Mapping[str, Any]] = ()
) -> tuple[Rulebook, Campaign]:
    """The rules, as they would be with the supposed documents, and one campaign of them."""
    try:
        rulebook = supposing(connection, rulebooks, supposed) if supposed else rulebooks.load(connection)
    except DefinitionError as error:
        raise wrong(error) from error
    campaign = rulebook.policy.campaigns.get(name)
    if campaign is None:
        raise unknown(CAMPAIGN, name)
    return rulebook, campaign


def _check_templates(connection: Connection, campaign: Campaign) -> None:
    """Every step has its template, and one of the channels that the campaign may use."""
    there = {document.name for document in documents.every(connection, TEMPLATE)}
    faults = [
        Fault(f"there is no template {step.template}; put it first", f"/steps/{number}/template")
        for number, step in enumerate(campaign.steps)
        if step.template not in there
    ]
    if faults:
        raise DefinitionError(faults)


def _set_paused(context: Context, name: str, paused: bool) -> Document:
    document = found(context, CAMPAIGN, name)._replace(paused=paused)
    store(context, document)
    return document


def _campaign(document: Document) -> dict[str, Any]:
    return {**shown(document), "state": "paused" if document.paused else "live"}
