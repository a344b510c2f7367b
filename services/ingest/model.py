"""What the entrance knows: an accepted event, a dead letter, and what one record has led to."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from shared.events.envelope import Event
from shared.events.erasures import Erasure

OPEN = "open"
REPAIRED = "repaired"
REPLAYED = "replayed"


Mode = Literal["lenient", "strict"]
"""What becomes of an event that can be read but goes against the published schema: marked, or rejected."""


class Rule(msgspec.Struct, frozen=True):
    """How the events of one source are taken; a source without a rule is taken as it is."""

    mode: Mode | None = None
    quarantined: bool = False


class Accepted(msgspec.Struct, frozen=True):
    """A canonical event, its bytes on `interactions`, its key there, and `data` as they were sent."""

    event: Event
    value: bytes
    key: str
    data: dict[str, Any] = {}


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter. `original` is what was sent, `repaired` the corrected CloudEvent that replaces it."""

    id: str
    received_at: datetime
    source: str
    code: str
    errors: tuple[dict[str, str], ...]
    original: bytes
    type: str | None = None
    service: str = "ingest"
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    file: str | None = None
    line: int | None = None
    state: str = OPEN
    repaired: bytes | None = None


class Door(msgspec.Struct, frozen=True):
    """What one record has led to so far: nothing, an accepted event, or a letter that is kept.

    `rule` is that of the event's source.
    """

    rule: Rule | None = None
    accepted: Accepted | None = None
    letter: Letter | None = None


class Forgotten(msgspec.Struct, frozen=True):
    """A customer was erased at a moment: what was rejected of him has to go."""

    about: Erasure
    at: datetime


Incoming = Accepted | Letter | Forgotten
"""What the entrance reads: an event from a source topic, a letter that some service has written, an erasure."""
