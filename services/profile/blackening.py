"""The log without the erased: what it says of them is blackened, again whenever a store has told that it is done."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping

import msgspec

from services.profile import receipts
from services.profile.erasing import admitted
from services.profile.model import body_of, hear, identifiers_in
from services.profile.receipts import Blackening
from shared.database import transaction
from shared.errors import Unavailable
from shared.events.dead_letters import TOPIC as DEAD_LETTERS
from shared.events.erasures import TOPIC as ERASURES
from shared.events.erasures import digest_of, mentions
from shared.events.interactions import TOPIC as INTERACTIONS
from shared.events.messages import TOPIC as MESSAGES
from shared.events.profiles import TOPIC as PROFILES
from shared.events.segments import TOPIC as CHANGES
from shared.log import Record, Rewritable
from shared.runtime.service import Context
from shared.telemetry import logger

LOOK_EVERY = 1.0
"""Seconds between two looks at whether there is something to blacken."""

BY_PROFILE = frozenset({PROFILES, CHANGES, MESSAGES, "scores"})
"""The topics whose records have the profile id as their key."""


class Blackener:
    """The worker that goes through the log for the erasures that ask for it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def work(self, is_stopping: Callable[[], bool]) -> None:
        """Until the platform stops. An outage is waited out."""
        looked_at = 0.0
        while not is_stopping():
            if time.monotonic() - looked_at >= LOOK_EVERY:
                looked_at = time.monotonic()
                try:
                    self.turn()
                except Unavailable as outage:
                    logger().warning("waiting", service="profile", reason=str(outage))
            time.sleep(0.1)

    def turn(self) -> None:
        """One pass for every erasure that waits for one."""
        with self._context.engine.connect() as connection:
            wanted = receipts.to_blacken(connection)
        for erasure_id, seen, about in wanted:
            changed = asyncio.run(self._blacken(about))
            with transaction(self._context.engine) as connection:
                receipts.blackened(connection, erasure_id, seen, changed, self._context.clock())

    async def _blacken(self, about: Blackening) -> Mapping[str, int]:
        """The number of records by topic; none in a log that forgets by compaction and retention only."""
        log = self._context.log
        return await log.blacken(lambda record: without(record, about)) if isinstance(log, Rewritable) else {}


def without(record: Record, about: Blackening) -> Record:
    """A record as it may stay: as it is, without a name, or with nothing but its place."""
    if record.value is None or record.topic == ERASURES:
        return record
    if record.topic in BY_PROFILE:
        return record._replace(value=None) if record.key in about.profile_ids and not _is_leaving(record) else record
    if record.topic == INTERACTIONS:
        return _interaction(record, about)
    if record.timestamp > about.until or not _tells_of(record, about.names):
        return record
    return record._replace(key=None, value=None, headers=())


def _is_leaving(record: Record) -> bool:
    """Whether it says that he left a class because he was erased: it names nobody, and others must read it."""
    return record.topic == CHANGES and b'"cause":"erasure"' in (record.value or b"")


def _interaction(record: Record, about: Blackening) -> Record:
    try:
        event = hear(record.value or b"")
    except msgspec.DecodeError:
        return record
    out = {name: about.at for name in identifiers_in(event) if digest_of(name) in about.names}
    left = admitted(event, out)
    if left is None:
        return record._replace(key=None, value=None)
    return record if left is event else record._replace(value=body_of(left))


def _tells_of(record: Record, names: Collection[str]) -> bool:
    value = record.value or b""
    if record.topic != DEAD_LETTERS:
        return mentions(value, names)
    try:
        return mentions(msgspec.json.decode(value, type=_Letter).data.original_base64, names)
    except msgspec.DecodeError:
        return False


class _Original(msgspec.Struct):
    original_base64: bytes


class _Letter(msgspec.Struct):
    data: _Original
