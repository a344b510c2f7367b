"""Campaigns, templates and settings as documents, and the policy that they make."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, select

from services.campaign import tables
from services.campaign.company import DEFAULTS, parse_company
from services.campaign.definition import Campaign, DefinitionError, parse_campaign
from services.campaign.model import Audience, Language, Outline, Policy
from services.campaign.template import Template, parse_template
from services.campaign.transport import channels_of
from shared import database
from shared.errors import CarteraError, Fault

CAMPAIGN, TEMPLATE, SETTINGS, SENDING, SHIPPED = "campaign", "template", "settings", "sending", "shipped"
COMPANY = "company"
STOPPED = "stopped"


class Document(NamedTuple):
    """One stored document; `updated_at` is in milliseconds."""

    kind: str
    name: str
    paused: bool
    updated_at: int
    body: str


class Deployment(NamedTuple):
    """What the composition root decides: answers to imports, transports, the language of audiences, the clock."""

    history: str = "mute"
    transports: frozenset[str] = frozenset({"email", "sms", "webhook"})
    language: Language | None = None
    company: Mapping[str, Any] = {}
    by_wall_clock: bool = True


def deployment_of(settings: Mapping[str, Any]) -> Deployment:
    """Read the composition root's settings."""
    company = {"currency": settings["currency"]} if settings.get("currency") else {}
    return Deployment(
        history=str(settings.get("send_history") or "mute"),
        transports=channels_of(settings),
        language=settings.get("audience_language"),
        company=company,
        by_wall_clock=settings.get("clock") != "events",
    )


def put(connection: Connection, document: Document) -> None:
    """Insert a document or replace its body and pause mark."""
    database.put(connection, tables.document, [{**document._asdict(), "paused": int(document.paused)}])


def remove(connection: Connection, kind: str, name: str) -> bool:
    """Delete a document; whether there was one."""
    table = tables.document
    return connection.execute(delete(table).where((table.c.kind == kind) & (table.c.name == name))).rowcount == 1


def find(connection: Connection, kind: str, name: str) -> Document | None:
    """One document."""
    table = tables.document
    row = connection.execute(select(table).where((table.c.kind == kind) & (table.c.name == name))).one_or_none()
    return None if row is None else Document(row.kind, row.name, bool(row.paused), row.updated_at, row.body)


def every(connection: Connection, kind: str | None = None) -> Sequence[Document]:
    """All documents of a kind (None: of all kinds) in order of their names."""
    table = tables.document
    query = select(table).order_by(table.c.kind, table.c.name)
    rows = connection.execute(query if kind is None else query.where(table.c.kind == kind))
    return [Document(row.kind, row.name, bool(row.paused), row.updated_at, row.body) for row in rows]


class Rulebook(NamedTuple):
    """The documents parsed: what decides, and the templates that are rendered."""

    policy: Policy
    templates: Mapping[str, Template]


class Rulebooks:
    """Reads the rulebook of a database; parsed anew only when a document has changed."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._read: tuple[Sequence[Document], Rulebook] | None = None

    def deploy(self, deployment: Deployment) -> None:
        """Take over what the composition root decided."""
        if deployment != self.deployment:
            self.deployment, self._read = deployment, None

    def load(self, connection: Connection) -> Rulebook:
        """The rulebook in force inside this transaction."""
        documents = every(connection)
        if self._read is None or self._read[0] != documents:
            self._read = documents, parse(documents, self.deployment)
        return self._read[1]

    def parse_campaign(self, document: object) -> Campaign:
        """Read a campaign and compile its audience. Raises DefinitionError."""
        campaign = parse_campaign(document)
        if campaign.audience is None:
            return campaign
        if self.deployment.language is None:
            raise DefinitionError([Fault("audiences are not available in this installation", "/audience")])
        try:
            self.deployment.language.compile(campaign.audience)
        except CarteraError as error:
            raise DefinitionError([Fault(str(error), "/audience")]) from error
        return campaign


def parse(documents: Sequence[Document], deployment: Deployment) -> Rulebook:
    """The rulebook of a set of documents."""
    bodies = {(d.kind, d.name): json.loads(d.body) for d in documents}
    campaigns = {name: parse_campaign(body) for (kind, name), body in bodies.items() if kind == CAMPAIGN}
    templates = {name: parse_template(body) for (kind, name), body in bodies.items() if kind == TEMPLATE}
    stored = next((d for d in documents if (d.kind, d.name) == (SETTINGS, COMPANY)), None)
    policy = Policy(
        campaigns=campaigns,
        paused=frozenset(d.name for d in documents if d.kind == CAMPAIGN and d.paused),
        templates={name: Outline(frozenset(template.channels)) for name, template in templates.items()},
        company=parse_company(settings_of(stored, deployment)),
        audiences=_audiences(campaigns, deployment.language),
        language=deployment.language,
        stopped=(SENDING, STOPPED) in bodies,
        transports=deployment.transports,
        history=deployment.history,
        by_wall_clock=deployment.by_wall_clock,
    )
    return Rulebook(policy, templates)


def _audiences(campaigns: Mapping[str, Campaign], language: Language | None) -> Mapping[str, Audience]:
    """The audiences that can be asked; one that a newer version cannot read any more is unknown to the decision."""
    found: dict[str, Audience] = {}
    for name, campaign in campaigns.items():
        if campaign.audience is not None and language is not None:
            with suppress(CarteraError):
                found[name] = language.compile(campaign.audience)
    return found


def settings_of(stored: Document | None, deployment: Deployment) -> Mapping[str, Any]:
    """The company settings as they were written: the defaults, over them the stored document.

    The currency is the installation's: it is the one that every service counts in.
    """
    return {**DEFAULTS, **(json.loads(stored.body) if stored else {}), **deployment.company}
