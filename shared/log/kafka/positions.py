"""What groups tell of their positions: the committed offset, and in its metadata the times of what was applied."""

import re
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import (
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from shared.log import Position
from shared.log.kafka.requests import Requests, check

Committed = Mapping[tuple[str, int], Position]
"""Positions by full topic name and partition."""

_TIMES = re.compile("(-?[0-9]+) (-?[0-9]+)")

_OTHERS = (IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
"""How a coordinator says that the group has members, and that we are none of them."""


def metadata(position: Position) -> str:
    """The times of a position as they stand in the metadata of a commit."""
    return f"{position.appended_at} {position.event_time}"


def position(offset: int, text: str | None) -> Position:
    """The position that a commit says. Of a commit that is not ours only the offset is known."""
    times = _TIMES.fullmatch(text or "")
    return Position(offset, *map(int, times.groups())) if times else Position(offset, 0, 0)


async def fetch(requests: Requests, group: str, topic: str, parts: int) -> Mapping[int, Position]:
    """What a group has committed of a topic, by partition."""
    request = OffsetFetchRequest(group, [(topic, list(range(parts)))])
    answer = await requests.coordinator(group, request, _check_fetched)
    return {
        part: position(offset, text) for _, found in answer.topics for part, offset, text, _ in found if offset >= 0
    }


async def commit(requests: Requests, group: str, committed: Committed) -> None:
    """Commit as one who is no member of the group. Where it has members they alone may, and will: nothing is done."""
    by_topic: dict[str, list[tuple[int, int, str]]] = {}
    for (topic, part), told in committed.items():
        by_topic.setdefault(topic, []).append((part, told.offset, metadata(told)))
    request = OffsetCommitRequest(group, -1, "", -1, list(by_topic.items()))
    await requests.coordinator(group, request, _check_committed)


def _check_fetched(answer: Any) -> None:
    check(answer.error_code)
    for _, found in answer.topics:
        for *_, code in found:
            check(code)


def _check_committed(answer: Any) -> None:
    for _, found in answer.topics:
        for _, code in found:
            try:
                check(code)
            except _OTHERS:
                continue
