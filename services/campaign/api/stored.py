"""Documents over REST: how they are put, found, deleted and refused, the same for every kind."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Body, Depends, Response
from sqlalchemy import Connection

from services.campaign import documents
from services.campaign.definition import DefinitionError
from services.campaign.documents import Document
from services.campaign.present import present
from shared.database import guard, transaction
from shared.events.times import from_ms, rfc3339, to_ms
from shared.runtime.service import Context
from shared.runtime.web import Problem, exact_query, needs

READ = [Depends(needs("read")), Depends(exact_query)]
ADMIN = [Depends(needs("admin")), Depends(exact_query)]
Body_ = Annotated[dict[str, Any], Body()]

Reading = Callable[[Connection, Mapping[str, Any]], dict[str, Any]]
"""From a document as it was sent to the one that is stored. Raises DefinitionError."""


def now_of(context: Context) -> Callable[[], Awaitable[datetime]]:
    """A dependency that gives the present moment."""

    async def now() -> datetime:
        return await present(context)

    return now


def put_document(
    context: Context, key: tuple[str, str], document: Mapping[str, Any], read: Reading, response: Response
) -> Document:
    """Put a document of a kind and name in force; 201 for a new one. Raises Problem."""
    kind, name = key
    if document.get(kind, name) != name:
        fault = {"detail": f"differs from the name {name} in the address", "pointer": f"/{kind}"}
        raise Problem(422, "invalid_definition", "the name in the document is another one", [fault])
    with transaction(context.engine) as connection:
        together(connection)
        try:
            body = read(connection, {**document, kind: name})
        except DefinitionError as error:
            raise wrong(error) from error
        former = documents.find(connection, kind, name)
        paused = former is not None and former.paused
        stored = Document(kind, name, paused, to_ms(context.clock()), as_json(body))
        documents.put(connection, stored)
    context.nudge()
    response.status_code = 200 if former else 201
    return stored


def together(connection: Connection) -> None:
    """Let nobody else change documents meanwhile: campaigns and templates name each other."""
    guard(connection, "documents", alone=True)


def store(context: Context, document: Document) -> None:
    """Put a finished document."""
    with transaction(context.engine) as connection:
        documents.put(connection, document)
    context.nudge()


def found(context: Context, kind: str, name: str) -> Document:
    """One document. Raises Problem 404."""
    with context.engine.connect() as connection:
        document = documents.find(connection, kind, name)
    if document is None:
        raise unknown(kind, name)
    return document


def shown(document: Document) -> dict[str, Any]:
    """A document as it is answered."""
    return {**json.loads(document.body), "updated_at": rfc3339(from_ms(document.updated_at))}


def unknown(kind: str, name: str) -> Problem:
    """There is none of this name."""
    return Problem(404, "not_found", f"there is no {kind} {name}")


def wrong(error: DefinitionError) -> Problem:
    """Each fault of a document with its place."""
    faults = [{"detail": fault.detail, "pointer": fault.pointer} for fault in error.faults]
    return Problem(422, "invalid_definition", "the document cannot be used", faults)


def as_json(body: Mapping[str, Any]) -> str:
    """The text of a stored document."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True)
