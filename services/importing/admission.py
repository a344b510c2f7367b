"""How a composed event is judged, as the composition root provides it, and the letter of one that is refused."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from shared.errors import InvalidEvent
from shared.events.dead_letters import REJECTED, DeadLetter
from shared.events.envelope import Event, derived_id, encode, raw

LARGEST_ORIGINAL = 256 * 1024
"""Bytes of what was refused that are kept."""

_encoder = msgspec.json.Encoder(decimal_format="string")


class Admitted(NamedTuple):
    """An accepted event: its key and bytes on `interactions`, and its time (ms)."""

    key: str
    value: bytes
    at: int


Admit = Callable[[Mapping[str, Any], datetime, str], Admitted]
"""Judges an event that arrived at a moment as part of an import. Raises InvalidEvent."""


class Refused(NamedTuple):
    """What was refused and where it stands."""

    source: str
    file: str
    line: int
    original: bytes
    error: InvalidEvent

    def shown(self) -> dict[str, Any]:
        """For the summary, without the content."""
        return {"file": self.file, "line": self.line, "code": self.error.code, "errors": _errors(self.error)}


def original_of(envelope: Mapping[str, Any]) -> bytes:
    """An event as it would have been posted."""
    return _encoder.encode(envelope)


def letter(refused: Refused, received_at: datetime) -> tuple[str, bytes]:
    """Key and bytes of the record on `dead-letters`; the same place in the same file gives the same letter."""
    digest = hashlib.blake2b(refused.original, digest_size=16).hexdigest()
    name = derived_id(f"{refused.source}\n{digest}", f"{refused.file}:{refused.line}")
    content = DeadLetter(
        id=name,
        source=refused.source,
        code=refused.error.code,
        errors=_errors(refused.error),
        original_base64=base64.b64encode(refused.original[:LARGEST_ORIGINAL]).decode(),
        file=refused.file,
        line=refused.line,
    )
    event = Event(
        specversion="1.0",
        id=name,
        source="cartera/import",
        type=REJECTED,
        time=received_at,
        data=raw(content),
    )
    return name, encode(event)


def _errors(error: InvalidEvent) -> tuple[dict[str, str], ...]:
    return tuple({"detail": fault.detail, "pointer": fault.pointer} for fault in error.faults)
