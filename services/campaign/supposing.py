"""Rules as they would be if some documents were put in force: for dry runs. Nothing is stored."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from services.campaign import documents
from services.campaign.company import parse_company
from services.campaign.definition import DefinitionError, campaign_document
from services.campaign.documents import CAMPAIGN, COMPANY, SETTINGS, TEMPLATE, Document, Rulebook, Rulebooks
from services.campaign.specimen import unknown_variables
from services.campaign.template import parse_template, template_document
from shared.errors import Fault


def check(rulebooks: Rulebooks, document: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]]:
    """Kind, name and stored form of a document. Raises DefinitionError."""
    if CAMPAIGN in document:
        campaign = rulebooks.parse_campaign(document)
        return CAMPAIGN, campaign.name, campaign_document(campaign)
    if TEMPLATE in document:
        template = parse_template(document)
        faults = unknown_variables(template)
        if faults:
            raise DefinitionError(faults)
        return TEMPLATE, template.name, template_document(template)
    if isinstance(document.get(SETTINGS), dict):
        parse_company(document[SETTINGS])
        return SETTINGS, COMPANY, document[SETTINGS]
    raise DefinitionError([Fault("a document is a campaign, a template or settings")])


def supposing(connection: Connection, rulebooks: Rulebooks, supposed: Sequence[Mapping[str, Any]]) -> Rulebook:
    """The rulebook with these documents in the place of those in force. Raises DefinitionError."""
    known = {(one.kind, one.name): one for one in documents.every(connection)}
    for document in supposed:
        kind, name, body = check(rulebooks, document)
        former = known.get((kind, name))
        paused = former is not None and former.paused
        known[kind, name] = Document(kind, name, paused, 0, json.dumps(body, ensure_ascii=False, sort_keys=True))
    return documents.parse(list(known.values()), rulebooks.deployment)
