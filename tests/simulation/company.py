"""The services of a run and their databases when it begins: migrated, with definitions, campaigns and settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from sqlalchemy import Connection, Engine

from services.campaign import documents
from services.campaign.documents import Document, deployment_of
from services.campaign.service import SERVICE as CAMPAIGN
from services.campaign.service import rulebooks_of
from services.profile.service import SERVICE as PROFILE
from services.segment import definitions
from services.segment.audience import AudienceLanguage
from services.segment.service import SERVICE as SEGMENT
from shared.database import open_sqlite, transaction
from shared.events.times import to_ms
from shared.runtime.schema import prepare
from shared.runtime.service import Context, Service
from tests.simulation.broker import Broker
from tests.simulation.faults import Calm, Counter, Process
from tests.simulation.load import BEFORE, MEASURED, SHORT
from tests.simulation.log import SimulatedLog

SERVICES: dict[str, Service] = {one.name: one for one in (PROFILE, SEGMENT, CAMPAIGN)}
SETTINGS = {"currency": "EUR", "audience_language": AudienceLanguage("EUR"), "secret": "s" * 32}
PATIENT = '{"reaction_window": "90d"}'
"""Settings of the company under which it does not matter how late something is decided."""


def lay_out(folder: Path, measured: bool) -> None:
    """The databases of a company that begins; `measured`: with the definitions that look at the population."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, service in SERVICES.items():
        with opened(folder / f"{name}.db") as engine:
            prepare(engine, service, partial(_start, service, engine))
            if service is SEGMENT:
                definitions.put(engine, "lately", SHORT, BEFORE)
                for one in () if measured else MEASURED:
                    definitions.drop(engine, one, BEFORE)
            if service is CAMPAIGN:
                kept = Document(documents.SETTINGS, documents.COMPANY, False, to_ms(BEFORE), PATIENT)
                with transaction(engine) as connection:
                    documents.put(connection, kept)


def _start(service: Service, engine: Engine, connection: Connection) -> None:
    if service.start is not None:
        nobody = Process("nobody", Counter(Calm()), Random(), slowest=0.0)
        log = SimulatedLog(Broker(1, lambda: 0), nobody)
        given = Context(engine=engine, log=log, clock=lambda: BEFORE, settings=SETTINGS, nudge=lambda: None)
        service.start(connection, given)


def configure(service: Service, engine: Engine) -> None:
    """What a process is told at its start besides what is in the database."""
    if service is CAMPAIGN:
        rulebooks_of(engine).deploy(deployment_of(SETTINGS))


@contextmanager
def opened(path: Path) -> Iterator[Engine]:
    """A database without faults."""
    engine = open_sqlite(path)
    try:
        yield engine
    finally:
        engine.dispose()
