"""A seeded plan of faults: what is hurt when, for how long. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

REPLICAS: Mapping[str, int] = {"ingest": 3, "profile": 3, "segment": 3, "campaign": 3}
"""The most processes of each service that run at once."""

SESSION_SECONDS = 8.0
"""After which a group gives up a member that does not answer."""

REST_SECONDS = 4.0
"""A broker that comes back may be the last with a copy of what the next fault takes away; so long it is left alone."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything one run has. `kills` counts processes; `short` are stops that nobody need notice."""

    events: int
    kills: int
    stops: int
    short: int
    brokers: int
    databases: int
    scalings: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens `at` so many seconds after the load began.

    `kind`: kill, stop, broker_kill, broker_pause, database, scale. `lasting` is how long it holds (seconds), `choice`
    decides among whom, `count` how many processes are killed at once or how many replicas there shall be.
    """

    at: float
    kind: str
    lasting: float = 0.0
    choice: float = 0.0
    count: int = 1


def plan(seed: int, sizes: Sizes) -> list[Fault]:
    """All faults of a run in the order of their moments."""
    chance = random.Random(seed + 1)
    faults = [*_kills(chance, sizes), *_stops(chance, sizes)]
    servers = ["broker_kill"] * sizes.brokers + ["database"] * sizes.databases
    servers += ["broker_pause"] * (sizes.brokers // 3)
    chance.shuffle(servers)
    for number, kind in enumerate(servers):
        at = sizes.seconds * (number + chance.uniform(0.1, 0.5)) / len(servers)
        lasting = chance.uniform(3, 9) if kind == "broker_pause" else chance.uniform(0, 2)
        faults.append(Fault(at, kind, lasting, chance.random()))
    for number in range(sizes.scalings):
        at = sizes.seconds * (number + chance.random()) / sizes.scalings
        faults.append(Fault(at, "scale", choice=chance.random(), count=chance.randint(1, 3)))
    return sorted(faults, key=lambda fault: fault.at)


def _kills(chance: random.Random, sizes: Sizes) -> list[Fault]:
    """One process at a time, or up to four at once."""
    left, groups = sizes.kills, []
    while left:
        groups.append(min(left, chance.choices((1, 2, 3, 4), (30, 30, 25, 15))[0]))
        left -= groups[-1]
    width = sizes.seconds / max(1, len(groups))
    return [
        Fault(width * (number + chance.random()), "kill", choice=chance.random(), count=count)
        for number, count in enumerate(groups)
    ]


def _stops(chance: random.Random, sizes: Sizes) -> list[Fault]:
    lengths = [chance.uniform(SESSION_SECONDS + 1, SESSION_SECONDS + 5) for _ in range(sizes.stops)]
    lengths += [chance.uniform(0.1, 3) for _ in range(sizes.short)]
    return [Fault(chance.uniform(0, sizes.seconds), "stop", lasting, chance.random()) for lasting in lengths]
