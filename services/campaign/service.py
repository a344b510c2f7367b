"""The campaign service as a value."""

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import yaml
from sqlalchemy import Connection, Engine

from services.campaign import core, documents, reading, store
from services.campaign.api import router_of
from services.campaign.definition import campaign_document, parse_campaign
from services.campaign.documents import Deployment, Document, Rulebooks, deployment_of
from services.campaign.gateway import Gateway, ways_of
from services.campaign.model import CampaignEvent
from services.campaign.present import UPSTREAM
from services.campaign.store import Work
from services.campaign.tables import metadata
from services.campaign.template import parse_template, template_document
from shared.events.times import to_ms
from shared.runtime.service import Context, Service, Timers

_rulebooks: WeakKeyDictionary[Engine, Rulebooks] = WeakKeyDictionary()
"""The rules of each database that this process has opened."""


def rulebooks_of(engine: Engine) -> Rulebooks:
    """The rules of a database; as long as nobody gave it its settings, with the defaults of a deployment."""
    return _rulebooks.setdefault(engine, Rulebooks(Deployment()))


def _configured(context: Context) -> Rulebooks:
    rulebooks = rulebooks_of(context.engine)
    rulebooks.deploy(deployment_of(context.settings))
    return rulebooks


def shipped() -> Sequence[tuple[str, str, dict[str, Any]]]:
    """The documents that come with the service, as (kind, name, document)."""
    found = []
    for file in sorted(files(__package__).joinpath("shipped").iterdir(), key=lambda entry: entry.name):
        for document in yaml.safe_load_all(file.read_text("utf-8")):
            if "template" in document:
                template = parse_template(document)
                found.append((documents.TEMPLATE, template.name, template_document(template)))
            else:
                campaign = parse_campaign(document)
                found.append((documents.CAMPAIGN, campaign.name, campaign_document(campaign)))
    return found


def _start(connection: Connection, context: Context) -> None:
    """Lay down the shipped documents, each once: what was changed or deleted since stays so."""
    _configured(context)
    # here, so that a wrong setting stops the start and not the gateway later
    ways_of(context.settings, "", context.clock)
    laid = {document.name for document in documents.every(connection, documents.SHIPPED)}
    now = to_ms(context.clock())
    for kind, name, body in shipped():
        if f"{kind}/{name}" in laid:
            continue
        if documents.find(connection, kind, name) is None:
            documents.put(connection, Document(kind, name, False, now, json.dumps(body, ensure_ascii=False)))
        documents.put(connection, Document(documents.SHIPPED, f"{kind}/{name}", False, now, "null"))


def _load(connection: Connection, events: Sequence[CampaignEvent]) -> Work:
    return store.load(connection, rulebooks_of(connection.engine).load(connection), events)


def _workers(context: Context) -> Sequence[Callable[[Callable[[], bool]], None]]:
    return [Gateway(context, _configured(context)).work]


SERVICE = Service(
    name="campaign",
    consumes=("profiles", "segment-changes"),
    produces=("messages", "interactions", "erasures"),
    metadata=metadata,
    migrations=Path(__file__).parent / "migrations",
    decode=reading.read,
    load=_load,
    evolve=core.evolve,
    react=core.react,
    save=lambda connection, work: store.save(connection, cast(Work, work)),
    router=lambda context: router_of(context, _configured(context)),
    identity=reading.identity,
    event_ms=reading.event_ms,
    describe=reading.describe,
    order=reading.order,
    timers=Timers(next_due=store.next_due, due=store.due, overdue=store.overdue),
    upstream=UPSTREAM,
    gated={"profiles": "segment"},
    report=lambda work: cast(Work, work).confirmed,
    start=_start,
    workers=_workers,
)
