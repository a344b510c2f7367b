"""The company settings over REST: one document, answered as it was written, with the defaults filled in."""

from typing import Any

from fastapi import APIRouter

from services.campaign import documents
from services.campaign.api.stored import ADMIN, READ, Body_, as_json, store, wrong
from services.campaign.company import parse_company
from services.campaign.definition import DefinitionError
from services.campaign.documents import COMPANY, SETTINGS, Document, Rulebooks
from shared.errors import Fault
from shared.events.times import to_ms
from shared.runtime.service import Context


def paths(routes: APIRouter, context: Context, rulebooks: Rulebooks) -> None:
    """`/v1/settings`."""

    @routes.get("/v1/settings", dependencies=READ, summary="The company settings")
    def show() -> dict[str, Any]:
        with context.engine.connect() as connection:
            stored = documents.find(connection, SETTINGS, COMPANY)
        return dict(documents.settings_of(stored, rulebooks.deployment))

    @routes.put("/v1/settings", dependencies=ADMIN, summary="Replace the company settings; what is left out is default")
    def put(document: Body_) -> dict[str, Any]:
        try:
            parse_company(document)
            _check_currency(document, str(rulebooks.deployment.company.get("currency") or ""))
        except DefinitionError as error:
            raise wrong(error) from error
        store(context, Document(SETTINGS, COMPANY, False, to_ms(context.clock()), as_json(document)))
        return show()


def _check_currency(document: dict[str, Any], currency: str) -> None:
    """Every service counts in the one currency that the installation is configured with."""
    if currency and document.get("currency", currency) != currency:
        raise DefinitionError([Fault(f"is {currency} by CARTERA_CURRENCY; change it there and restart", "/currency")])
