"""The topics themselves: how they should be, how they are, and making those that are missing."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka.errors import KafkaError, TopicAlreadyExistsError
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from shared.errors import Unavailable
from shared.log.kafka.answering import answering, said
from shared.log.kafka.configuration import ANSWER_SECONDS
from shared.log.kafka.requests import PAUSE, Requests, check

TOPIC_RESOURCE = 2
"""The number of topics among the kinds of things that have configurations."""

REPLICATION = 3
"""Copies of every partition where there are as many brokers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a topic is created. `replication` None is three, or as many as there are brokers; `min_insync` None is one
    less, at least one. `configs` are Kafka's own names and values.
    """

    partitions: int = 6
    replication: int | None = None
    min_insync: int | None = None
    configs: Mapping[str, str] = field(default_factory=dict)

    def replicas(self, brokers: int) -> int:
        """Copies of every partition on so many brokers."""
        return self.replication or min(REPLICATION, brokers)

    def all_configs(self, brokers: int) -> dict[str, str]:
        """The configuration with what follows from the number of brokers."""
        insync = self.min_insync or max(1, self.replicas(brokers) - 1)
        return {
            "min.insync.replicas": str(insync),
            "unclean.leader.election.enable": "false",
            **self.configs,
        }


@dataclass(frozen=True, slots=True)
class Actual:
    """How a topic is. `configs` holds every value in force, defaults of the broker included."""

    partitions: int
    replication: int
    configs: Mapping[str, str]


class Topics:
    """Knows the topics of one prefix by their short names."""

    def __init__(self, requests: Requests, prefix: str, plan_of: Callable[[str], Plan]) -> None:
        self._requests = requests
        self._prefix = prefix
        self._plan_of = plan_of
        self._counts: dict[str, int] = {}

    def full(self, topic: str) -> str:
        """The name that the brokers know."""
        return self._prefix + topic

    def short(self, name: str) -> str:
        """The name without the prefix."""
        return name.removeprefix(self._prefix)

    async def counts(self, names: Collection[str]) -> Mapping[str, int]:
        """The number of partitions of each topic; topics that do not exist are created.

        Everybody asks for himself: in a queue each would wait for those before him to learn that nobody answers.
        """
        if missing := [name for name in names if name not in self._counts]:
            await self._learn(missing)
        return {name: self._counts[name] for name in names}

    def forget(self) -> None:
        """Ask again next time: a topic may have been deleted."""
        self._counts.clear()

    async def create(self, names: Sequence[str]) -> None:
        """Create topics as planned; one that exists by now is left as it is. Raises Unavailable with the reason."""
        brokers = await self.brokers()
        wanted: list[tuple[object, ...]] = []
        for name in names:
            plan = self._plan_of(name)
            configs = list(plan.all_configs(brokers).items())
            wanted.append((self.full(name), plan.partitions, plan.replicas(brokers), [], configs))
        answer = await self._requests.controller(CreateTopicsRequest(wanted, int(ANSWER_SECONDS * 1000), False))
        for name, code, *more in answer.topic_errors:
            try:
                check(code)
            except TopicAlreadyExistsError:
                continue
            except KafkaError as error:
                reason = more[0] if more and more[0] else said(error)
                raise Unavailable(f"the topic {name} is missing and cannot be created ({reason})") from error

    async def actual(self, names: Sequence[str]) -> Mapping[str, Actual]:
        """How those of the topics are that exist."""
        there = [(name, found) for name, found in (await self._described()).items() if name in names]
        if not there:
            return {}
        resources = [(TOPIC_RESOURCE, self.full(name), None) for name, _ in there]
        answer = await self._requests.any(DescribeConfigsRequest(resources))
        configs: dict[str, dict[str, str]] = {}
        for code, message, _, name, entries in answer.resources:
            if code:
                raise Unavailable(f"the configuration of {name} cannot be read: {message}")
            configs[self.short(name)] = {entry[0]: entry[1] for entry in entries}
        return {
            name: Actual(len(found), min(len(part.replicas) for part in found), configs[name]) for name, found in there
        }

    async def brokers(self) -> int:
        """The number of brokers at this moment."""
        return len((await self._requests.metadata()).brokers)

    async def _described(self) -> Mapping[str, Sequence["_Partition"]]:
        answer = await self._requests.metadata()
        mine = [(self.short(name), parts) for code, name, _, parts in answer.topics if not code and self._has(name)]
        return {name: [_Partition(leader, replicas) for _, _, leader, replicas, *_ in parts] for name, parts in mine}

    def _has(self, name: str) -> bool:
        return name.startswith(self._prefix)

    async def _learn(self, names: Sequence[str]) -> None:
        missing = await self._look(names)
        if missing:
            await self.create(missing)
        async with answering(ANSWER_SECONDS):
            while await self._look(missing):
                await asyncio.sleep(PAUSE)

    async def _look(self, names: Sequence[str]) -> list[str]:
        """Learn of the topics that exist and have leaders; the others."""
        described = await self._described()
        for name in names:
            found = described.get(name, ())
            if found and all(part.leader >= 0 for part in found):
                self._counts[name] = len(found)
        return [name for name in names if name not in self._counts]


class _Partition(NamedTuple):
    leader: int
    replicas: Sequence[int]
