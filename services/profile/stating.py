"""What people state about customers by REST: each statement becomes an event on `interactions`."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import anyio.from_thread
import msgspec

from services.profile import queries
from services.profile.store import components_of
from shared.events.envelope import Event, derived_id, encode, fingerprint, raw
from shared.events.erasures import REQUESTED, Erasure, digest_of
from shared.events.identifiers import Identifier
from shared.events.interactions import TOPIC
from shared.events.outgoing import say
from shared.events.profiles import Known, Profile
from shared.events.storable import LARGEST_EVENT, unstorable
from shared.events.times import from_ms, rfc3339, to_ms
from shared.runtime.service import Context
from shared.runtime.watermark import latest_event_time
from shared.runtime.web import Problem

SOURCE = "cartera/profile"
"""The source of the events that statements become."""


class Stating:
    """Says what was stated, so that it overrides all that is known by now. Called from threads of the web side."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._latest = 0

    def say(self, kind: str, about: Sequence[Profile], content: Mapping[str, Any], who: Known | None = None) -> Event:
        """The event, once the log has it; `who` is its customer unless that is the first of those it is about.

        It names one identifier only: a statement made here must not become evidence of a link.
        """
        named = who or about[0].identifiers[0]
        data = {"customer": {named.kind: named.value}, **content}
        faults = [
            {"detail": fault.detail, "pointer": fault.pointer.removeprefix("/traits")} for fault in unstorable(content)
        ]
        if faults:
            raise Problem(422, "invalid_event", "this cannot be stated", faults)
        time = from_ms(self._moment(about))
        print_ = fingerprint(kind, rfc3339(time), msgspec.to_builtins(data))
        event = Event(
            specversion="1.0",
            id=derived_id(f"{kind}/{print_}", to_ms(time)),
            source=SOURCE,
            type=kind,
            time=time,
            data=raw(data),
            receivedat=self._context.clock(),
            fingerprint=print_,
        )
        if len(encode(event)) > LARGEST_EVENT:
            raise Problem(413, "too_large", f"a statement may have at most {LARGEST_EVENT} bytes")
        record = say(TOPIC, str(Identifier(named.kind, named.value)), event)
        anyio.from_thread.run(self._context.log.append, [record])
        return event

    def erase(self, known: Profile) -> tuple[Erasure, int]:
        """Ask for a customer's erasure as of now (ms); the event holds digests only, for it stays in the log."""
        at = self._moment([known])
        about = Erasure(
            erasure_id=derived_id(f"erasure/{known.profile_id}", at),
            profile_id=known.profile_id,
            names=tuple(sorted(digest_of(Identifier(one.kind, one.value)) for one in known.identifiers)),
        )
        event = Event(
            specversion="1.0",
            id=about.erasure_id,
            source=SOURCE,
            type=REQUESTED,
            time=from_ms(at),
            data=raw(about),
            receivedat=self._context.clock(),
        )
        anyio.from_thread.run(self._context.log.append, [say(TOPIC, known.profile_id, event)])
        return about, at

    def _moment(self, about: Sequence[Profile]) -> int:
        """The present (ms) by the platform's clock, but later than all that is known of these customers, and unique.

        Under the clock of events, and where clocks differ, the present may be earlier than what is to be overridden.
        """
        now = to_ms(self._now())
        with self._context.engine.connect() as connection:
            homes = components_of(connection, [one.profile_id for one in about])
        known = max((queries.latest_of(home) for home in homes), default=0)
        with self._lock:
            self._latest = max(now, known + 1, self._latest + 1)
            return self._latest

    def _now(self) -> datetime:
        if self._context.settings.get("clock") != "events":
            return self._context.clock()
        return anyio.from_thread.run(latest_event_time, self._context.log, (("profile", TOPIC),))
