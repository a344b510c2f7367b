"""REST of the campaign service: campaigns, templates, settings, the ledger, the kill switch, and the way out."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Response

from services.campaign import documents, ledger
from services.campaign.company import company_document, parse_company
from services.campaign.composition import writer_of
from services.campaign.definition import DefinitionError, campaign_document
from services.campaign.documents import CAMPAIGN, COMPANY, SENDING, SETTINGS, STOPPED, TEMPLATE, Document, Rulebooks
from services.campaign.preview import customer_of, dry_run, preview
from services.campaign.public import public_paths
from services.campaign.report import report
from services.campaign.template import parse_template, template_document
from shared.database import transaction
from shared.events.times import from_ms, rfc3339, to_ms
from shared.runtime.service import Context
from shared.runtime.web import DEFAULT_LIMIT, Cursor, CursorText, Limit, Problem, needs, paged

READ = [Depends(needs("read"))]
ADMIN = [Depends(needs("admin"))]
Body_ = Annotated[dict[str, Any], Body()]


def router_of(context: Context, rulebooks: Rulebooks) -> APIRouter:
    """All paths of the campaign service."""
    routes = APIRouter(tags=["campaign"])
    _campaign_paths(routes, context, rulebooks)
    _preview_paths(routes, context, rulebooks)
    _template_paths(routes, context)
    _settings_paths(routes, context, rulebooks)
    _message_paths(routes, context)
    _sending_paths(routes, context)
    public_paths(routes, context, writer_of(context.settings).secret)
    return routes


def _campaign_paths(routes: APIRouter, context: Context, rulebooks: Rulebooks) -> None:
    @routes.get("/v1/campaigns", dependencies=READ, summary="All campaigns")
    def listed() -> dict[str, Any]:
        with context.engine.connect() as connection:
            found = documents.every(connection, CAMPAIGN)
        return {"campaigns": [_campaign(document) for document in found], "next_cursor": None}

    @routes.get("/v1/campaigns/{name}", dependencies=READ, summary="One campaign")
    def one(name: str) -> dict[str, Any]:
        return _campaign(_found(context, CAMPAIGN, name))

    @routes.put("/v1/campaigns/{name}", dependencies=ADMIN, summary="Put a campaign in force")
    def put(name: str, document: Body_, response: Response) -> dict[str, Any]:
        def read(named: Mapping[str, Any]) -> dict[str, Any]:
            return campaign_document(rulebooks.parse_campaign(named))

        return _campaign(_put(context, CAMPAIGN, name, document, read, response))

    @routes.delete("/v1/campaigns/{name}", dependencies=ADMIN, status_code=204, summary="Take a campaign away")
    def delete(name: str) -> None:
        _delete(context, CAMPAIGN, name)

    @routes.post("/v1/campaigns/{name}/pause", dependencies=ADMIN, summary="Refuse its messages until resumed")
    def pause(name: str) -> dict[str, Any]:
        return _campaign(_set_paused(context, name, True))

    @routes.post("/v1/campaigns/{name}/resume", dependencies=ADMIN, summary="Go on with a paused campaign")
    def resume(name: str) -> dict[str, Any]:
        return _campaign(_set_paused(context, name, False))


def _preview_paths(routes: APIRouter, context: Context, rulebooks: Rulebooks) -> None:
    writer = writer_of(context.settings)

    @routes.post(
        "/v1/campaigns/{name}/preview", dependencies=READ, summary="The decision and the texts; nothing is sent"
    )
    def show(name: str, profile_id: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
        with context.engine.connect() as connection:
            rulebook = rulebooks.load(connection)
            customer = customer_of(connection, profile_id)
        campaign = rulebook.policy.campaigns.get(name)
        if campaign is None:
            raise _unknown(CAMPAIGN, name)
        if customer is None:
            raise Problem(404, "not_found", f"no customer {profile_id} is known here")
        return preview(campaign, customer, rulebook, writer, context.clock())

    @routes.post("/v1/campaigns/{name}/dry-run", dependencies=READ, summary="Who would get it now, who not, and why")
    def run(name: str) -> dict[str, Any]:
        with context.engine.connect() as connection:
            rulebook = rulebooks.load(connection)
            campaign = rulebook.policy.campaigns.get(name)
            if campaign is None:
                raise _unknown(CAMPAIGN, name)
            return dry_run(connection, campaign, rulebook, context.clock())

    @routes.get(
        "/v1/campaigns/{name}/report",
        dependencies=READ,
        summary="What it has done, and its effect against the hold-out",
    )
    def tell(name: str) -> dict[str, Any]:
        with context.engine.connect() as connection:
            found = report(connection, name)
            if not found["steps"] and documents.find(connection, CAMPAIGN, name) is None:
                raise _unknown(CAMPAIGN, name)
        return found


def _template_paths(routes: APIRouter, context: Context) -> None:
    @routes.get("/v1/templates", dependencies=READ, summary="All templates")
    def listed() -> dict[str, Any]:
        with context.engine.connect() as connection:
            found = documents.every(connection, TEMPLATE)
        return {"templates": [_shown(document) for document in found], "next_cursor": None}

    @routes.get("/v1/templates/{name}", dependencies=READ, summary="One template")
    def one(name: str) -> dict[str, Any]:
        return _shown(_found(context, TEMPLATE, name))

    @routes.put("/v1/templates/{name}", dependencies=ADMIN, summary="Put a template in force")
    def put(name: str, document: Body_, response: Response) -> dict[str, Any]:
        def read(named: Mapping[str, Any]) -> dict[str, Any]:
            return template_document(parse_template(named))

        return _shown(_put(context, TEMPLATE, name, document, read, response))

    @routes.delete("/v1/templates/{name}", dependencies=ADMIN, status_code=204, summary="Take a template away")
    def delete(name: str) -> None:
        _delete(context, TEMPLATE, name)


def _settings_paths(routes: APIRouter, context: Context, rulebooks: Rulebooks) -> None:
    @routes.get("/v1/settings", dependencies=READ, summary="The company settings")
    def show() -> dict[str, Any]:
        with context.engine.connect() as connection:
            return company_document(rulebooks.load(connection).policy.company)

    @routes.put("/v1/settings", dependencies=ADMIN, summary="Replace the company settings; what is left out is default")
    def put(document: Body_) -> dict[str, Any]:
        try:
            parse_company(document)
        except DefinitionError as error:
            raise _wrong(error) from error
        _store(context, Document(SETTINGS, COMPANY, False, to_ms(context.clock()), _json(document)))
        return show()


def _message_paths(routes: APIRouter, context: Context) -> None:
    @routes.get("/v1/messages", dependencies=READ, summary="The ledger, newest first")
    def listed(
        profile_id: str | None = None,
        campaign: str | None = None,
        state: str | None = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: CursorText = None,
    ) -> dict[str, Any]:
        before = Cursor.decode(cursor, (int, str))
        filters = {"profile_id": profile_id, "campaign": campaign, "state": state}
        with context.engine.connect() as connection:
            rows = ledger.listed(connection, filters, (before[0], before[1]) if before else None, limit + 1)
        page = paged(rows, limit, ledger.sort_key)
        return {"messages": [_public(row) for row in page.items], "next_cursor": page.next_cursor}

    @routes.get("/v1/messages/{message_id}", dependencies=READ, summary="One message with every state it was in")
    def one(message_id: str) -> dict[str, Any]:
        with context.engine.connect() as connection:
            return _public(_message(ledger.one(connection, message_id), message_id))

    @routes.post("/v1/messages/{message_id}/resend", dependencies=ADMIN, status_code=202, summary="Send a held message")
    def resend(message_id: str) -> dict[str, Any]:
        return _ask(context, message_id, "resend")

    @routes.post(
        "/v1/messages/{message_id}/drop", dependencies=ADMIN, status_code=202, summary="Give a held message up"
    )
    def drop(message_id: str) -> dict[str, Any]:
        return _ask(context, message_id, "drop")


def _sending_paths(routes: APIRouter, context: Context) -> None:
    @routes.post("/v1/sending/stop", dependencies=ADMIN, summary="The kill switch: nothing leaves until start")
    def stop() -> dict[str, Any]:
        _store(context, Document(SENDING, STOPPED, False, to_ms(context.clock()), "true"))
        return {"sending": "stopped"}

    @routes.post("/v1/sending/start", dependencies=ADMIN, summary="Send again; what was held stays held")
    def start() -> dict[str, Any]:
        with transaction(context.engine) as connection:
            documents.remove(connection, SENDING, STOPPED)
        context.nudge()
        return {"sending": "started"}


def _ask(context: Context, message_id: str, wish: str) -> dict[str, Any]:
    with transaction(context.engine) as connection:
        shown = _message(ledger.one(connection, message_id), message_id)
        if shown["state"] != "held":
            raise Problem(
                409, "not_held", f"the message is {shown['state']}; only held messages can be sent or dropped"
            )
        ledger.ask(connection, shown, wish, to_ms(context.clock()))
    context.nudge()
    return _public(shown)


def _put(
    context: Context,
    kind: str,
    name: str,
    document: Mapping[str, Any],
    read: Callable[[Mapping[str, Any]], dict[str, Any]],
    response: Response,
) -> Document:
    if document.get(kind, name) != name:
        fault = {"detail": f"differs from the name {name} in the address", "pointer": f"/{kind}"}
        raise Problem(422, "invalid_definition", "the name in the document is another one", [fault])
    try:
        body = read({**document, kind: name})
    except DefinitionError as error:
        raise _wrong(error) from error
    with transaction(context.engine) as connection:
        former = documents.find(connection, kind, name)
        paused = former is not None and former.paused
        stored = Document(kind, name, paused, to_ms(context.clock()), _json(body))
        documents.put(connection, stored)
    context.nudge()
    response.status_code = 200 if former else 201
    return stored


def _store(context: Context, document: Document) -> None:
    with transaction(context.engine) as connection:
        documents.put(connection, document)
    context.nudge()


def _delete(context: Context, kind: str, name: str) -> None:
    with transaction(context.engine) as connection:
        if not documents.remove(connection, kind, name):
            raise _unknown(kind, name)
    context.nudge()


def _set_paused(context: Context, name: str, paused: bool) -> Document:
    document = _found(context, CAMPAIGN, name)._replace(paused=paused)
    _store(context, document)
    return document


def _found(context: Context, kind: str, name: str) -> Document:
    with context.engine.connect() as connection:
        document = documents.find(connection, kind, name)
    if document is None:
        raise _unknown(kind, name)
    return document


def _shown(document: Document) -> dict[str, Any]:
    return {**json.loads(document.body), "updated_at": rfc3339(from_ms(document.updated_at))}


def _campaign(document: Document) -> dict[str, Any]:
    return {**_shown(document), "state": "paused" if document.paused else "live"}


def _public(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "planned_ms"}


def _message(shown: dict[str, Any] | None, message_id: str) -> dict[str, Any]:
    if shown is None:
        raise Problem(404, "not_found", f"there is no message {message_id}")
    return shown


def _unknown(kind: str, name: str) -> Problem:
    return Problem(404, "not_found", f"there is no {kind} {name}")


def _wrong(error: DefinitionError) -> Problem:
    faults = [{"detail": fault.detail, "pointer": fault.pointer} for fault in error.faults]
    return Problem(422, "invalid_definition", "the document cannot be used", faults)


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, sort_keys=True)
