"""Single questions to the cluster, each to the broker that can answer it, repeated while leaders move."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
    StaleMetadata,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from shared.log.kafka.answering import answering
from shared.log.kafka.configuration import ANSWER_SECONDS

Answer = TypeVar("Answer")

PAUSE = 0.1
"""Seconds between two attempts."""

_LOST = (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError)


class Requests:
    """One connection to each broker for questions. It is opened by the first question and anew after an outage."""

    def __init__(self, settings: Callable[[], Mapping[str, Any]]) -> None:
        self._settings = settings
        self._client: Any = None
        self._opening = asyncio.Lock()
        self._coordinators: dict[str, int] = {}

    async def any(self, request: Any) -> Any:
        """The answer of any broker."""

        async def ask(client: Any) -> Any:
            return await client.send(_some(client), request)

        return await self.repeated(ask)

    async def controller(self, request: Any) -> Any:
        """The answer of the controller of the cluster."""

        async def ask(client: Any) -> Any:
            node = client.cluster.controller
            return await client.send(node.nodeId if node is not None else _some(client), request)

        return await self.repeated(ask)

    async def coordinator(self, group: str, request: Any, check: Callable[[Any], None]) -> Any:
        """The answer of the coordinator of a group; `check` raises the error that the answer holds."""

        async def ask(client: Any) -> Any:
            if group not in self._coordinators:
                self._coordinators[group] = await client.coordinator_lookup(CoordinationType.GROUP, group)
            try:
                answer = await client.send(self._coordinators[group], request, group=ConnectionGroup.COORDINATION)
                check(answer)
            except KafkaError:
                self._coordinators.pop(group, None)
                raise
            return answer

        return await self.repeated(ask)

    async def repeated(self, ask: Callable[[Any], Awaitable[Answer]]) -> Answer:
        """What `ask` gives, asked again while its errors are passing ones. Raises Unavailable when time is up, and at
        once when no broker can be reached.
        """
        async with answering(ANSWER_SECONDS):
            while True:
                client = await self._open()
                try:
                    return await ask(client)
                except _LOST:
                    await self._drop(client)
                except KafkaError as error:
                    if not error.retriable:
                        raise
                    await client.force_metadata_update()
                await asyncio.sleep(PAUSE)

    async def metadata(self) -> Any:
        """The brokers, topics, partitions and leaders of this moment. Asking for all topics creates none."""

        async def ask(client: Any) -> Any:
            answer = await client.send(_some(client), MetadataRequest(None))
            client.cluster.update_metadata(answer)
            return answer

        return await self.repeated(ask)

    async def ping(self) -> None:
        """Raise Unavailable unless a broker answers."""
        await self.any(MetadataRequest([]))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._drop(self._client)

    async def _open(self) -> Any:
        async with self._opening:
            if self._client is None:
                client = AIOKafkaClient(**self._settings())
                try:
                    await client.bootstrap()
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client

    async def _drop(self, client: Any) -> None:
        if self._client is client:
            self._client = None
            self._coordinators.clear()
        await client.close()


def leader(client: Any, place: Any) -> int:
    """The broker that leads a partition. Raises an error that is worth repeating when none is known."""
    node = client.cluster.leader_for_partition(place)
    if node is None or node < 0:
        raise StaleMetadata(place)
    return int(node)


def check(code: int, message: str = "") -> None:
    """Raise the error of an answer, if it holds one."""
    if code:
        raise for_code(code)(message or None)


def _some(client: Any) -> int:
    node = client.get_random_node()
    if node is None:
        raise KafkaConnectionError("no broker is known")
    return int(node)
