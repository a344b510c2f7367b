"""What a run left behind, read from the database, the topics, REST and the logs."""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg

from services.composition import SERVICES
from tests.chaos.checks import Version
from tests.chaos.load import CANARY
from tests.chaos.reading import Record, Topics

SAMPLED = 200
"""So many customers are asked for by REST."""

LEAK = re.compile(rf"{CANARY}|\+?3491\d{{7}}", re.IGNORECASE)
FAULT = re.compile(r"Traceback|consumer_stopped|request_failed|was never awaited")

_any = msgspec.json.Decoder()


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query on the whole database."""
    with psycopg.connect(url) as server:
        return server.execute(query.encode()).fetchall()


def timeline(url: str) -> list[tuple[str, str]]:
    """Source and id of every event in the timelines."""
    found = [_any.decode(bytes(body)) for (body,) in rows(url, "SELECT body FROM profile.event")]
    return [(event["source"], event["id"]) for event in found]


def letters(url: str) -> frozenset[str]:
    """The ids of the events that are dead letters."""
    found = rows(url, "SELECT original FROM ingest.dead_letter")
    return frozenset(json.loads(bytes(original))["id"] for (original,) in found)


def records(url: str) -> dict[str, Mapping[str, Any]]:
    """Every record by its profile id."""
    found = rows(url, "SELECT profile_id, record FROM profile.profile")
    return {profile_id: _any.decode(bytes(body)) for profile_id, body in found}


def by_rest(address: str, known: Mapping[str, Mapping[str, Any]], seed: int) -> list[Mapping[str, Any]]:
    """Some records, each asked for by one of its identifiers."""
    chance = random.Random(seed + 3)
    found = []
    with httpx.Client(base_url=address, headers={"Authorization": "Bearer root"}, timeout=30) as client:
        for record in chance.sample(list(known.values()), min(SAMPLED, len(known))):
            name = chance.choice(record["identifiers"])
            answer = client.get("/v1/profiles", params={name["kind"]: name["value"]})
            found += answer.raise_for_status().json()["profiles"]
    return found


def memberships(url: str) -> dict[tuple[str, str], str | None]:
    """The class of every customer by segmentation and profile id."""
    found = rows(url, 'SELECT segmentation, profile_id, "class" FROM segment.membership')
    return {(segmentation, profile_id): name for segmentation, profile_id, name in found}


def outboxes(url: str) -> dict[str, int]:
    """The number of rows in each service's outbox."""
    return {name: rows(url, f'SELECT count(*) FROM "{name}".outbox')[0][0] for name in SERVICES}


def sending(url: str) -> frozenset[str]:
    """The messages of which it is not settled whether they left."""
    return frozenset(name for (name,) in rows(url, "SELECT message_id FROM campaign.message WHERE state = 'sending'"))


def versions(found: Sequence[Record]) -> list[Version]:
    """The topic `profiles`, marks left out."""
    return [_version(record) for record in found if record.key]


def _version(record: Record) -> Version:
    key = record.key or ""
    if record.value is None:
        name = b"\n".join(value for _, value in record.headers if value).decode("utf-8", "replace")
        return Version(key, f"gone {key} {name}", b"", None)
    event = _any.decode(record.value)
    return Version(key, event["id"], record.value, event["data"])


def events(found: Sequence[Record]) -> list[Mapping[str, Any]]:
    """The CloudEvents of a topic in its order."""
    return [_any.decode(record.value) for record in found if record.value]


def said_by_campaign(topics: Topics) -> list[Mapping[str, Any]]:
    """The interactions that the platform appended itself, each once."""
    own = {}
    for record in topics.read("interactions"):
        if record.value and b'"cartera/campaign"' in record.value:
            event = _any.decode(record.value)
            if event["source"] == "cartera/campaign":
                own[event["id"]] = event
    return list(own.values())


def logs(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every line that a service wrote."""
    for file in sorted(folder.glob("*.out")):
        with file.open(errors="replace") as lines:
            for line in lines:
                yield file, line.rstrip()


def leaks(folder: Path) -> list[str]:
    """Lines with personal data."""
    return [f"{file.name}: {line[:300]}" for file, line in logs(folder) if LEAK.search(line)]


def fenced(folder: Path) -> int:
    """How often a worker was told that it is no longer the owner of what it was about to write or claim."""
    return sum('"claim_lost"' in line for _, line in logs(folder))


def faults(folder: Path) -> list[str]:
    """Lines that only a fault of the program writes."""
    return [f"{file.name}: {line[:1500]}" for file, line in logs(folder) if FAULT.search(line)]
