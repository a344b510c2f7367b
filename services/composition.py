"""The composition root: from settings to a platform. The only place that knows which adapters are used."""

import json
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from importlib import metadata as packages
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine

from services import topics
from services.campaign.service import SERVICE as CAMPAIGN
from services.importing.admission import Admit, Admitted
from services.ingest.judging import judge_history
from services.ingest.service import build as build_ingest
from services.profile.service import SERVICE as PROFILE
from services.segment.audience import AudienceLanguage
from services.segment.service import SERVICE as SEGMENT
from shared import security
from shared.config import Settings
from shared.database import open_postgres, open_sqlite, transaction
from shared.database.migrating import Chain, migrate
from shared.errors import WrongSetting
from shared.events.times import to_ms
from shared.log import Log, kafka
from shared.log.kafka import KafkaLog
from shared.log.sqlite import open_log
from shared.runtime import clock as clocks
from shared.runtime.runner import Platform
from shared.runtime.service import Service
from shared.security import FirstKeys, StoredKeys, first_keys, mint_secret, stored_secret
from shared.telemetry import Metrics

SERVICES: dict[str, Callable[[Mapping[str, Any]], Service]] = {
    "ingest": build_ingest,
    "profile": lambda _: PROFILE,
    "segment": lambda _: SEGMENT,
    "campaign": lambda _: CAMPAIGN,
}
"""Every service by its name, made from the company settings."""

TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,200}")
"""What Kafka allows in the name of a topic."""
KEYS = Chain("keys", Path(security.__file__).parent / "migrations", security.metadata)
"""What makes the tables of the API keys."""


def version() -> str:
    """The installed version."""
    return packages.version("cartera")


def data_folder(settings: Settings) -> Path:
    """The data folder, made when missing, readable by its owner only. Raises WrongSetting when it cannot be used."""
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise WrongSetting(
            f"CARTERA_DATA_DIR: cannot use {folder} ({error.strerror}): choose another folder"
        ) from error
    if not os.access(folder, os.W_OK):
        raise WrongSetting(f"CARTERA_DATA_DIR: {folder} is not writable: choose another folder or change its owner")
    return folder


def open_the_log(settings: Settings) -> Log:
    """The configured log."""
    if settings.log_url is not None:
        return open_kafka(settings)
    return open_log(data_folder(settings) / "log.db", settings.partitions, clock=lambda: to_ms(clocks.system()))


def open_kafka(settings: Settings) -> KafkaLog:
    """The log on the brokers of CARTERA_LOG_URL; nothing is connected yet."""
    if settings.log_url is None:
        raise WrongSetting("CARTERA_LOG_URL is not set: only Kafka has topics to create")
    if not TOPIC_PREFIX.fullmatch(settings.topic_prefix):
        raise WrongSetting("CARTERA_TOPIC_PREFIX: letters, digits, '.', '_' and '-' only, at most 200 of them")
    return kafka.open_log(kafka.parse(settings.log_url), settings.topic_prefix, topics.plan_of())


def read_together() -> Mapping[str, Sequence[str]]:
    """The topics that each service reads, by its name."""
    return {name: build({}).consumes for name, build in SERVICES.items()}


def engine_of(settings: Settings) -> Callable[[str], Engine]:
    """Gives the database of a service by its name."""
    if settings.database_url is not None:
        return open_postgres(settings.database_url.get_secret_value())
    folder = data_folder(settings)
    return lambda name: open_sqlite(folder / f"{name}.db")


def open_keys(settings: Settings) -> tuple[StoredKeys, FirstKeys]:
    """The API keys; the first two are made when they are missing."""
    folder = data_folder(settings)
    fixed = {
        "write": settings.write_key.get_secret_value() if settings.write_key else None,
        "admin": settings.admin_key.get_secret_value() if settings.admin_key else None,
    }
    keys = StoredKeys(partial(transaction, _keys_database(settings)), clocks.system, fixed)
    return keys, first_keys(keys, fixed, folder / "keys.json" if settings.database_url is None else None)


def _keys_database(settings: Settings) -> Engine:
    engine = engine_of(settings)(KEYS.owner)
    migrate(engine, [KEYS])
    return engine


def company_currency(settings: Settings) -> str:
    """The company currency of a data folder: as configured, else that of its sample, else the default."""
    sample = data_folder(settings) / "sample.json"
    if "currency" not in settings.model_fields_set and sample.exists():
        return str(json.loads(sample.read_text())["currency"])
    return settings.currency


def admission(settings: Settings) -> Admit:
    """How the events of an import are judged: as ingest judges those that are posted."""
    rules = {"currency": company_currency(settings), "region": settings.region, "clock": settings.clock}

    def admit(envelope: Mapping[str, Any], received_at: datetime, history: str) -> Admitted:
        accepted = judge_history(envelope, received_at, rules, history)
        return Admitted(accepted.key, accepted.value, to_ms(accepted.event.time))

    return admit


def compose(
    settings: Settings, names: Sequence[str], address: str, *, reactions_on_history: bool = False
) -> tuple[Platform, FirstKeys]:
    """A platform of the named services. `reactions_on_history` lets an import plan messages, into files only."""
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        raise WrongSetting(f"no service is called {unknown[0]!r}; there are {', '.join(SERVICES)}")
    keys, first = open_keys(settings)
    company = company_settings(settings, address, reactions_on_history)
    platform = Platform(
        services=[SERVICES[name](company) for name in names],
        engine_of=engine_of(settings),
        log=open_the_log(settings),
        clock=clocks.system,
        metrics=Metrics(version()),
        keys=keys,
        settings=company,
        owner=f"{socket.gethostname()}/{os.getpid()}",
        events_clock=settings.clock == "events",
    )
    platform.prepare()
    return platform, first


def company_settings(settings: Settings, address: str, reactions_on_history: bool) -> dict[str, Any]:
    """What services may read of the configuration, as plain values."""
    folder = data_folder(settings)
    return {
        "currency": settings.currency,
        "region": settings.region,
        "dead_letter_retention": settings.dead_letters_kept,
        "clock": settings.clock,
        "mapping_file": settings.mapping_file,
        "rate_limit": settings.rate_limit,
        "outbox_dir": folder / "outbox",
        "smtp_url": _plain(settings.smtp_url),
        "sms_url": _plain(settings.sms_url),
        "webhook_url": _plain(settings.webhook_url),
        "webhook_secret": _plain(settings.webhook_secret),
        "mail_from": settings.mail_from,
        "public_url": (settings.public_url or address).rstrip("/"),
        "secret": _secret(settings),
        "audience_language": AudienceLanguage(settings.currency),
        "send_history": "outbox" if reactions_on_history else "mute",
    }


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _secret(settings: Settings) -> str:
    """The secret that signs unsubscribe links; made once, shared by all processes, in a file with mode 0600."""
    if settings.database_url is not None:
        return stored_secret(partial(transaction, _keys_database(settings)), "links")
    file = data_folder(settings) / "secret"
    try:
        return file.read_text("ascii")
    except FileNotFoundError:
        text = mint_secret()
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(text)
        return text


def now() -> datetime:
    """The present moment."""
    return clocks.system()
