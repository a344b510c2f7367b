"""How the runtime names things: the inbox key of an event, the fingerprint of a record, the dead letter of a record."""

import base64
import hashlib

from shared.errors import InvalidEvent
from shared.events.dead_letters import REJECTED, DeadLetter
from shared.events.dead_letters import TOPIC as DEAD_LETTERS
from shared.events.envelope import Event, derived_id, raw
from shared.events.outgoing import Outgoing, say
from shared.events.times import from_ms
from shared.log import Record
from shared.runtime.service import Service


def digests(identity: tuple[str, str]) -> tuple[bytes, bytes]:
    """The inbox key of (source and id, content): 16 and 8 bytes."""
    key, content = identity
    return (
        hashlib.blake2b(key.encode(), digest_size=16).digest(),
        hashlib.blake2b(content.encode(), digest_size=8).digest(),
    )


def record_fingerprint(record: Record) -> str:
    """What a record was: tells whether the log still is the log that was read, not made anew or cut off."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(f"{record.offset}/{record.timestamp}/{record.key}/".encode())
    digest.update(record.value or b"")
    return digest.hexdigest()


def dead_letter(service: Service, record: Record, error: InvalidEvent) -> Outgoing:
    """A record that can never be applied, as a record of `dead-letters`: its reasons and its original bytes."""
    place = f"{service.name}/{record.topic}/{record.partition}/{record.offset}"
    letter = DeadLetter(
        id=derived_id(place, record_fingerprint(record)),
        source=f"topic/{record.topic}",
        code=error.code,
        errors=tuple({"detail": fault.detail, "pointer": fault.pointer} for fault in error.faults),
        original_base64=base64.b64encode(record.value or b"").decode(),
        service=service.name,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        headers=tuple((name, base64.b64encode(value).decode()) for name, value in record.headers),
    )
    event = Event(
        specversion="1.0",
        id=letter.id,
        source=f"cartera/{service.name}",
        type=REJECTED,
        time=from_ms(record.timestamp),
        data=raw(letter),
    )
    return say(DEAD_LETTERS, record.key or letter.id, event)
