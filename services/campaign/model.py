"""What the campaign service knows of a customer, the events that reach it, and the rules it decides by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from services.campaign.company import Company
from services.campaign.definition import Campaign
from shared.events.profiles import Calls, Chats, Consent, Emails, Known
from shared.events.times import EPOCH

PLANNED, SENDING, SENT, REFUSED, FAILED, HELD = "planned", "sending", "sent", "refused", "failed", "held"
DELIVERED, CLICKED, CONVERTED = "delivered", "clicked", "converted"
STATES = (PLANNED, SENDING, HELD, SENT, DELIVERED, CLICKED, CONVERTED, REFUSED, FAILED)
HOLD_OUT = "hold_out"
OPEN = frozenset({PLANNED, SENDING, HELD})
"""The states in which a message is not finished; finished ones live in the ledger only."""


class Purchases(msgspec.Struct, frozen=True):
    """What goals and templates need of the purchases; amounts are decimal strings by currency."""

    count: int = 0
    revenue: dict[str, str] = {}
    average_order_value: dict[str, str] = {}
    first_at: datetime | None = None
    last_at: datetime | None = None


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a customer record that decides about messages; it is read straight from the record's JSON."""

    profile_id: str
    version: int
    identifiers: tuple[Known, ...] = ()
    traits: dict[str, Any] = {}
    consents: dict[str, Consent] = {}
    purchases: Purchases = Purchases()
    calls: Calls = Calls()
    emails: Emails = Emails()
    chats: Chats = Chats()


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """The class a customer is in (None: he left) and the version of the change that put him there."""

    name: str | None
    version: int


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """One send that counts towards the caps; `at` is in milliseconds."""

    at: int
    category: str
    message_id: str


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of one campaign for one customer and occasion. All moments are milliseconds since 1970.

    `due_at` moves on when quiet hours postpone the message; `revision` counts its states; `event` is what templates
    see of the trigger; `started` is False until the reaction window of a waiting step was checked. `decided_at` is when
    it was claimed or held out; `goal_at` an event after the occasion that is its goal, up to `goal_until`.
    `bounced` is hard or soft.
    """

    message_id: str
    campaign: str
    step: int
    profile_id: str
    occasion: str
    occurred_at: int
    due_at: int
    changed_at: int
    planned_at: int
    state: str = PLANNED
    reason: str | None = None
    channel: str | None = None
    category: str = "marketing"
    sent_at: int | None = None
    history: str | None = None
    revision: int = 1
    started: bool = True
    subject: str | None = None
    event: dict[str, Any] = {}
    decided_at: int | None = None
    delivered_at: int | None = None
    clicked_at: int | None = None
    bounced: str | None = None
    goal_event: str | None = None
    goal_until: int | None = None
    goal_at: int | None = None

    @property
    def converted_at(self) -> int | None:
        """When the goal was reached after the message was decided; also told of who was held out."""
        if self.goal_at is None or self.decided_at is None or self.goal_at <= self.decided_at:
            return None
        return self.goal_at


class Customer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one customer. `gone` says why there is no record any more, `into` who survived the merge.

    `part` is the number of the partition that his records come on: whoever owns it sees to his messages.
    `record` is the JSON of a record that came with this batch; what is kept of it are the `facts` for audiences.
    """

    profile_id: str
    part: int = 0
    view: View | None = None
    version: int = 0
    classes: dict[str, Standing] = {}
    messages: tuple[Message, ...] = ()
    claims: tuple[Claim, ...] = ()
    gone: str | None = None
    into: str | None = None
    record: bytes | None = None
    facts: bytes | None = None

    def class_of(self, segmentation: str) -> str | None:
        """The current class in a segmentation; None when he has none."""
        standing = self.classes.get(segmentation)
        return standing.name if standing else None


Audience = Callable[[bytes, datetime], bool | None]
"""A compiled audience: a customer's facts and the moment as of which it is asked; None means unknown."""


class Language(Protocol):
    """The rule language of audiences, lent by the composition root: facts are bytes that only it can read."""

    def facts(self, record: bytes) -> bytes:
        """What audiences may ask of a customer, from the JSON of his record."""

    def compile(self, text: str) -> Audience:
        """A rule as a question. Raises CarteraError with what is wrong and where."""


class Outline(NamedTuple):
    """What a decision needs of a template: the channels it has a text for."""

    channels: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything but the customer that a decision depends on, as of one moment.

    `transports` are the channels that can be sent at all; `history` is `mute` (imports plan nothing) or `outbox`.
    `sending` are the imports that were asked to send, and when (ms): what then was younger than the reaction window is
    answered like anything live. `by_wall_clock`: what is live happens at the time of the wall clock, not of the events.
    """

    campaigns: Mapping[str, Campaign]
    paused: frozenset[str] = frozenset()
    templates: Mapping[str, Outline]
    company: Company
    audiences: Mapping[str, Audience] | None = None
    language: Language | None = None
    stopped: bool = False
    transports: frozenset[str] = frozenset({"email"})
    history: str = "mute"
    sending: Mapping[str, int] = field(default_factory=dict)
    by_wall_clock: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """What evolve works on: one customer under the policy of the moment."""

    customer: Customer
    policy: Policy


class ProfileSeen(NamedTuple):
    """A new version of a record, on a partition. `cause` is the key of the interaction that made it, `reason` event,
    merge or split.

    `about` is the message of ours that the interaction brings news of, `appended` the moment at which the log got it.
    """

    profile_id: str
    time: datetime
    view: View
    record: bytes
    history: str | None = None
    cause_source: str | None = None
    cause_id: str | None = None
    cause_type: str | None = None
    reason: str = "event"
    key: str = ""
    received: datetime | None = None
    about: str | None = None
    appended: datetime = EPOCH
    part: int = 0


class ProfileGone(NamedTuple):
    """The record is no more: `reason` is merge, split or erasure."""

    profile_id: str
    time: datetime
    reason: str
    version: int
    into: str | None = None
    history: str | None = None
    key: str = ""
    erasure_id: str | None = None
    part: int = 0


class ClassChanged(NamedTuple):
    """The customer moved from one class to another; `event` is what templates see of it, `appended` as above."""

    profile_id: str
    time: datetime
    segmentation: str
    from_: str | None
    to: str | None
    version: int
    cause: str
    event: dict[str, Any]
    profile_version: int = 0
    history: str | None = None
    key: str = ""
    received: datetime | None = None
    appended: datetime = EPOCH
    part: int = 0


class Due(NamedTuple):
    """The timer of a message: it fell due at `time`, and it is `now` (both the same for history)."""

    profile_id: str
    message_id: str
    time: datetime
    now: datetime


class Outcome(NamedTuple):
    """What became of a claimed message, or what an operator wants of a held one.

    `kind`: sent, failed, unknown, refused (by its template), late (decide again), resend, drop.
    """

    signal_id: int
    profile_id: str
    message_id: str
    kind: str
    time: datetime
    reason: str | None = None
    subject: str | None = None


class Marked(NamedTuple):
    """An import began or ended on one partition of one topic; until then its messages follow its own time."""

    name: str
    begun: bool
    topic: str
    partition: int
    time: datetime
    send: datetime | None = None


CampaignEvent = ProfileSeen | ProfileGone | ClassChanged | Due | Outcome | Marked
