"""Templates over REST; one that a campaign needs cannot be taken away."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from services.campaign import documents
from services.campaign.api.stored import ADMIN, READ, Body_, found, put_document, shown, together, unknown
from services.campaign.definition import DefinitionError
from services.campaign.documents import CAMPAIGN, TEMPLATE
from services.campaign.specimen import unknown_variables
from services.campaign.template import parse_template, template_document
from shared.database import transaction
from shared.runtime.service import Context
from shared.runtime.web import Problem


def paths(routes: APIRouter, context: Context) -> None:
    """`/v1/templates`."""

    @routes.get("/v1/templates", dependencies=READ, summary="All templates")
    def listed() -> dict[str, Any]:
        with context.engine.connect() as connection:
            every = documents.every(connection, TEMPLATE)
        return {"templates": [shown(document) for document in every], "next_cursor": None}

    @routes.get("/v1/templates/{name}", dependencies=READ, summary="One template")
    def one(name: str) -> dict[str, Any]:
        return shown(found(context, TEMPLATE, name))

    @routes.put("/v1/templates/{name}", dependencies=ADMIN, summary="Put a template in force")
    def put(name: str, document: Body_, response: Response) -> dict[str, Any]:
        return shown(put_document(context, (TEMPLATE, name), document, _read, response))

    @routes.delete("/v1/templates/{name}", dependencies=ADMIN, status_code=204, summary="Take a template away")
    def delete(name: str) -> None:
        with transaction(context.engine) as connection:
            together(connection)
            users = _users(connection, name)
            if users:
                raise Problem(409, "in_use", f"the template is used by the campaigns {', '.join(users)}")
            if not documents.remove(connection, TEMPLATE, name):
                raise unknown(TEMPLATE, name)
        context.nudge()


def _read(_: Connection, named: Mapping[str, Any]) -> dict[str, Any]:
    template = parse_template(named)
    faults = unknown_variables(template)
    if faults:
        raise DefinitionError(faults)
    return template_document(template)


def _users(connection: Connection, name: str) -> list[str]:
    campaigns = [json.loads(document.body) for document in documents.every(connection, CAMPAIGN)]
    return [body["campaign"] for body in campaigns if any(step["template"] == name for step in body["steps"])]
