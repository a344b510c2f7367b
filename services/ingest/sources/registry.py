"""The sources as the web side of a process knows them: read whole, at most five seconds old, no query per event."""

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from services.ingest.model import Rule
from services.ingest.sources import store
from services.ingest.sources.document import Document, Source
from shared.errors import Unavailable

FRESH_SECONDS = 5.0


class Known(NamedTuple):
    """The sources by name, and the rules of their events."""

    sources: Mapping[str, Source]
    rules: Mapping[str, Rule]


class Registry:
    """Shared by the requests of one process. What was read last is used on while the database is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: Known | None = None
        self._look_at = 0.0
        self._reading = asyncio.Lock()

    async def known(self) -> Known:
        """The sources at this moment. Raises Unavailable when they could never be read."""
        if self._known is None or time.monotonic() >= self._look_at:
            async with self._reading:
                if self._known is None or time.monotonic() >= self._look_at:
                    self._known = await asyncio.to_thread(self._read, self._known)
                    self._look_at = time.monotonic() + FRESH_SECONDS
        return self._known

    def forget(self) -> None:
        """Read again before the next use: a document was changed here."""
        self._look_at = 0.0

    def _read(self, before: Known | None) -> Known:
        try:
            with self._engine.connect() as connection:
                documents = store.documents(connection)
        except OperationalError as error:
            if before is None:
                raise Unavailable("the database does not answer") from error
            return before
        same = before.sources if before is not None else {}
        sources = {document.name: _source(document, same.get(document.name)) for document in documents}
        return Known(sources, {name: Rule(source.document.mode) for name, source in sources.items()})


def _source(document: Document, before: Source | None) -> Source:
    """What is compiled already is kept as long as its document stays."""
    return before if before is not None and before.document == document else Source(document)
