"""The state of the segment service, as values, and the events that change it."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from services.segment.attributes import Facts
from services.segment.definition import Definition, Memory
from shared.events.profiles import Profile, Removal
from shared.events.segments import CauseEvent, SegmentChanged


class Membership(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A customer's place in one segmentation. `class_` None: in no class (yet, or no longer)."""

    class_: str | None
    since: datetime
    version: int
    definition_version: int
    memory: Memory | None = None


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a customer between two events. `as_of` is the moment of the last evaluation, `due_at` (ms) the
    next at which time alone may change a class.

    `held_by` names the open import that last touched him: until it ends, his timers follow its time. `part` is the
    number of the partition that his records come on.
    `ruleset` is the version of all definitions under which he was evaluated last; `facts` None: he is gone.
    """

    profile_id: str
    profile_version: int
    facts: Facts | None
    as_of: datetime
    memberships: dict[str, Membership]
    shown: dict[str, str]
    due_at: int | None
    ruleset: int
    held_by: str | None = None
    part: int = 0


class Ruled(msgspec.Struct, frozen=True, kw_only=True):
    """A definition in force: its version, since when, and the numbers of the population that it needs."""

    definition: Definition
    version: int
    applied_at: datetime
    needs: frozenset[str] = frozenset()


class Ruleset(msgspec.Struct, frozen=True, kw_only=True):
    """All definitions in force; `version` rises with every change of any of them. `currency` is the company's.

    `dropped` are those taken away, with the moment.
    """

    version: int
    currency: str
    rules: tuple[Ruled, ...]
    dropped: Mapping[str, datetime] = {}


Population = Mapping[str, float]
"""Numbers of the whole population as of the close of a day: `mean:revenue_91d`, `cut:revenue_365d:0.8`, …"""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What one event touches. `former` is the population before the day that was just closed, `closed_day` the last
    that is closed (days since 1970)."""

    customer: Customer | None
    ruleset: Ruleset
    population: Population
    former: Population
    closed_day: int | None = None
    changes: tuple[SegmentChanged, ...] = ()
    history: str | None = None
    sequence: int = 0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A new version of a record, on a partition. `cause` is event, merge or split."""

    profile: Profile
    at: datetime
    event_id: str
    cause: str
    cause_event: CauseEvent | None
    received_at: datetime | None = None
    history: str | None = None
    part: int = 0


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """The record is gone: merged away, split up or erased."""

    removal: Removal


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """An import begins or ends."""

    name: str
    open: bool
    at: datetime


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's timers up to and including `until` are due."""

    profile_id: str
    until: datetime


class Recheck(msgspec.Struct, frozen=True, kw_only=True):
    """The population moved at the close of a day, and this customer may stand elsewhere now."""

    profile_id: str
    at: datetime


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """Definitions changed since this customer was evaluated."""

    profile_id: str


SegmentEvent = Seen | Gone | Marked | Due | Recheck | Refresh
