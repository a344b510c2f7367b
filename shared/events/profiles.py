"""Topic `profiles`: the live record of a customer, one message per version; a null value when the customer is gone."""

from datetime import datetime

import msgspec

TOPIC = "profiles"
UPDATED = "profile.updated"


class Known(msgspec.Struct, frozen=True):
    """An identifier of the record."""

    kind: str
    value: str
    first_seen_at: datetime


class Consent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the customer allowed on one channel; `expires_at` ends a grant."""

    status: str
    purpose: str
    at: datetime
    expires_at: datetime | None = None


class Day(msgspec.Struct, frozen=True, array_like=True):
    """One day (UTC date) on which the customer bought: `[date, purchases, net revenue in minor units by currency]`.

    `first_at` and `last_at` of the record have the exact moments; a day only counts.
    """

    date: str
    count: int
    revenue: dict[str, int]


class Purchases(msgspec.Struct, frozen=True):
    """Purchases of all times. `revenue` is paid totals less tax and shipping, net of refunds, by currency."""

    count: int = 0
    revenue: dict[str, str] = {}
    average_order_value: dict[str, str] = {}
    first_at: datetime | None = None
    last_at: datetime | None = None
    refunds: int = 0
    days: tuple[Day, ...] = ()


class Calls(msgspec.Struct, frozen=True):
    """Phone calls."""

    count: int = 0
    inbound: int = 0
    outbound: int = 0
    missed: int = 0
    duration_seconds: int = 0
    last_at: datetime | None = None


class Emails(msgspec.Struct, frozen=True):
    """E-mails; machine opens and clicks are not counted.

    `bounced` counts all bounces, `hard_bounced` those for good; `soft_bounced` are the others since the last sign that
    mail arrives, 3 at most.
    """

    sent: int = 0
    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    replied: int = 0
    received: int = 0
    bounced: int = 0
    complained: int = 0
    unsubscribed: int = 0
    last_at: datetime | None = None
    hard_bounced: int = 0
    hard_bounced_at: datetime | None = None
    soft_bounced: int = 0
    soft_bounced_at: datetime | None = None


class Chats(msgspec.Struct, frozen=True):
    """Chats with people and robots."""

    conversations: int = 0
    messages: int = 0
    resolved: int = 0
    handed_over: int = 0
    last_at: datetime | None = None


class Interests(msgspec.Struct, frozen=True):
    """Interest short of buying. `days` is `{date: count}` (UTC dates)."""

    count: int = 0
    last_at: datetime | None = None
    days: dict[str, int] = {}


class Satisfaction(msgspec.Struct, frozen=True):
    """Last answers by survey (`nps`, `csat`, …) and the mean sentiment inputs as whole thousandths."""

    answers: int = 0
    last: dict[str, float] = {}
    last_at: datetime | None = None


class Preferences(msgspec.Struct, frozen=True):
    """What he uses most: sales channel, category, store; ties go to the smaller name."""

    channel: str | None = None
    category: str | None = None
    store: str | None = None


class Loyalty(msgspec.Struct, frozen=True):
    """Points; the tier is filled in by a segmentation."""

    points: int = 0
    tier: str | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one customer, as in `GET /v1/profiles/{id}`."""

    profile_id: str
    version: int
    aliases: tuple[str, ...] = ()
    identifiers: tuple[Known, ...] = ()
    traits: dict[str, object] = {}
    consents: dict[str, Consent] = {}
    first_seen_at: datetime
    last_seen_at: datetime
    purchases: Purchases = Purchases()
    calls: Calls = Calls()
    emails: Emails = Emails()
    chats: Chats = Chats()
    interest: Interests = Interests()
    satisfaction: Satisfaction = Satisfaction()
    preferences: Preferences = Preferences()
    loyalty: Loyalty = Loyalty()
    scores: dict[str, object] = {}


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record is gone: carried in the headers of the null value. `reason` is `merge`, `split` or `erasure`."""

    profile_id: str
    reason: str
    version: int
    time: datetime
    into: str | None = None
    event_id: str = ""
    history: str | None = None
    erasure_id: str | None = None


decoder = msgspec.json.Decoder(Profile)


def identifiers_of(profile: Profile) -> dict[str, str]:
    """The first identifier of each kind, as other messages show a customer: `{"customer_id": "C-17", "email": …}`."""
    shown: dict[str, str] = {}
    for known in profile.identifiers:
        shown.setdefault(known.kind, known.value)
    return shown
