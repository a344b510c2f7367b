"""From what was sent to the accepted event with its bytes and its key, or to all that is wrong with it. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.ingest.acceptance import TOO_LARGE, accept_bytes, data_of, key_of
from services.ingest.cloudevents import read_record
from services.ingest.model import Accepted
from shared.errors import Fault, InvalidEvent
from shared.log import Record

LARGEST_RECORD = 256 * 1024
"""Bytes of one event that comes by a source topic."""


def judge(
    envelope: object, received_at: datetime, settings: Mapping[str, Any], age: timedelta | None = None
) -> Accepted:
    """The accepted event. Raises InvalidEvent. Under the clock of events nothing is in the future."""
    clamp = settings.get("clock", "system") == "system"
    event, value = accept_bytes(envelope, received_at, settings, clamp=clamp, age=age)
    return Accepted(event, value, key_of(event), data_of(envelope))


def read_source(record: Record, received_at: datetime, settings: Mapping[str, Any]) -> Accepted:
    """The accepted event of a record of a source topic. Raises InvalidEvent."""
    if len(record.value or b"") > LARGEST_RECORD:
        raise too_large(LARGEST_RECORD)
    return judge(read_record(record), received_at, settings)


def judge_history(envelope: object, received_at: datetime, settings: Mapping[str, Any], history: str) -> Accepted:
    """The accepted event of an import. Raises InvalidEvent."""
    clamp = settings.get("clock", "system") == "system"
    event, value = accept_bytes(envelope, received_at, settings, history, clamp)
    if len(value) > LARGEST_RECORD:
        raise too_large(LARGEST_RECORD)
    return Accepted(event, value, key_of(event), data_of(envelope))


def too_large(most: int) -> InvalidEvent:
    """What is wrong with an event of more bytes than allowed."""
    return InvalidEvent(TOO_LARGE, (Fault(f"an event may have at most {most} bytes"),))
