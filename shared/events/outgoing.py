"""What a service says: one record for a topic."""

from typing import NamedTuple

import msgspec

from shared.events.envelope import Event, encode
from shared.events.profiles import TOPIC as PROFILES
from shared.events.profiles import Removal


class Outgoing(NamedTuple):
    """A record to publish. A null `value` is a tombstone; then the headers say why."""

    topic: str
    key: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


CONTENT_TYPE = (("content-type", b"application/cloudevents+json"),)


def say(topic: str, key: str, event: Event) -> Outgoing:
    """An event as a record of a topic, in structured mode."""
    return Outgoing(topic, key, encode(event), CONTENT_TYPE)


def remove(removal: Removal) -> Outgoing:
    """The tombstone of a customer record; the reason travels in the header `removal`."""
    return Outgoing(PROFILES, removal.profile_id, None, (("removal", msgspec.json.encode(removal)),))
