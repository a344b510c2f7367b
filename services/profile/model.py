"""What the profile service knows: identifiers with their counts, the evidence linking them, the customers it makes."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from services.profile.tally import EMPTY, Said, Stamp, Tally
from shared.events.envelope import Event, derived_id, encode
from shared.events.identifiers import PRIORITY, Identifier, strength
from shared.events.times import to_ms

Pair = tuple[Identifier, Identifier]
"""Two identifiers, the stronger first."""


class Sighting(msgspec.Struct, frozen=True, array_like=True, order=True):
    """The event that made evidence: its time (ms), a digest that breaks ties, and its name."""

    at: int
    digest: int
    source: str
    id: str

    @property
    def stamp(self) -> Stamp:
        """Its place in the total order of events."""
        return self.at, self.digest


class Node(msgspec.Struct, frozen=True, array_like=True):
    """One identifier: what was counted and said for it, and when it was first seen.

    `first` is of interactions, `stated` of explicit identity statements (they are no activity of the customer).
    `given` is the node's own profile id once it has been given to a customer, `ended` the version of the record into
    which that customer went last. `hub`: shared for good. `anew`: when (ms) a former customer of this name was erased;
    whoever comes under it later is another, with an id of his own.
    """

    tally: Tally = EMPTY
    consents: Mapping[str, Said] = {}
    first: Stamp | None = None
    stated: Stamp | None = None
    given: str = ""
    hub: bool = False
    ended: int = 0
    anew: int = 0

    @property
    def since(self) -> Stamp:
        """When the identifier was first seen; by a statement only if no interaction named it."""
        return self.first or self.stated or (0, 0)


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """An explicit identity statement: `left` belong together (link), or `left` are others than `right` (split).

    A split without `right` parts a single identifier from all it had been linked with by then.
    """

    verdict: str
    made: Sighting
    left: tuple[Identifier, ...]
    right: tuple[Identifier, ...] = ()


class Cluster(msgspec.Struct, frozen=True):
    """One customer: the identifiers that are his, and the id and version of his record."""

    id: str
    version: int
    members: frozenset[Identifier]
    aliases: tuple[str, ...] = ()


class Component(msgspec.Struct, frozen=True):
    """Connected evidence: it can hold several customers, because links can be refused.

    An edge may name a hub that is in another component: such an edge is shown, but links nothing.
    """

    id: str
    nodes: Mapping[Identifier, Node]
    edges: Mapping[Pair, Sighting] = {}
    statements: tuple[Statement, ...] = ()
    clusters: tuple[Cluster, ...] = ()


class Heard(Event, frozen=True, kw_only=True):
    """An interaction together with its bytes as they stand on the topic: they hold the sender's extensions too.

    It goes on as `body_of` gives it, never encoded anew.
    """

    body: bytes = msgspec.field(default=b"", name=" body")


class Forgotten(msgspec.Struct, frozen=True):
    """Whom an erasure took away: his identifiers, digests of these (and of those he had when it was asked for), and
    every profile id that leads or led to him; `near` are the identifiers of others that were seen with his.
    """

    identifiers: frozenset[Identifier]
    named: tuple[str, ...]
    profile_ids: frozenset[str]
    near: frozenset[Identifier]


class State(msgspec.Struct, frozen=True):
    """The components that an event touches, and the event that made them what they are.

    `erased` are the moments (ms) up to which what is said of a name stays out; `forgotten` is what an erasure took.
    """

    components: tuple[Component, ...] = ()
    cause: Event | None = None
    erased: Mapping[Identifier, int] = {}
    forgotten: Forgotten | None = None


class Named(msgspec.Struct, frozen=True):
    """The part of every interaction that tells whom it is about."""

    customer: Mapping[str, Any] = {}
    identifiers: tuple[Mapping[str, Any], ...] = ()


_named = msgspec.json.Decoder(Named)
_heard = msgspec.json.Decoder(Heard)


def hear(value: bytes) -> Heard:
    """An interaction from the bytes on the topic. Raises msgspec.DecodeError."""
    return replace(_heard.decode(value), body=value)


def body_of(event: Event) -> bytes:
    """The bytes of an interaction."""
    return event.body if isinstance(event, Heard) else encode(event)


def own_id(identifier: Identifier, anew: int = 0) -> str:
    """The profile id that an identifier can give to a customer: derived, so that every order of events names alike."""
    return derived_id(f"profile/{identifier}", anew)


def sighting(event: Event) -> Sighting:
    """The event as evidence."""
    name = f"{event.source}\n{event.id}\n{event.fingerprint}"
    digest = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 1
    return Sighting(to_ms(event.time), digest, event.source, event.id)


def customer_identifiers(customer: Mapping[str, Any]) -> tuple[Identifier, ...]:
    """The identifiers in `data.customer`, strongest first."""
    found = [Identifier(kind, customer[kind]) for kind in PRIORITY if isinstance(customer.get(kind), str)]
    return tuple(found)


def listed_identifiers(listed: tuple[Mapping[str, Any], ...]) -> tuple[Identifier, ...]:
    """The identifiers of a statement's list: `{"kind", "value"}` or `{kind: value}`; strongest first, each once."""
    found: set[Identifier] = set()
    for entry in listed:
        found.update(customer_identifiers({str(entry["kind"]): entry.get("value")} if "kind" in entry else entry))
    return tuple(sorted(found, key=strength))


def identifiers_in(event: Event) -> tuple[Identifier, ...]:
    """Every identifier that an event names, strongest first; none for marks and for what cannot be read."""
    try:
        named = _named.decode(event.data)
    except msgspec.DecodeError:
        return ()
    known = customer_identifiers(named.customer)
    if not named.identifiers:
        return known
    return tuple(sorted({*known, *listed_identifiers(named.identifiers)}, key=strength))
