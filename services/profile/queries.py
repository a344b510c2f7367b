"""What is asked of the profile service: records, searches, timelines and the evidence behind a customer."""

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from services.profile.identity import resolve
from services.profile.model import Component
from services.profile.store import components
from services.profile.tables import event, identifier, profile
from shared.database import among
from shared.events.identifiers import Identifier, strength
from shared.events.profiles import Profile, decoder
from shared.events.times import from_ms

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Happened(NamedTuple):
    """An interaction on a timeline: its time (ms), its place among those of the same time, and its bytes."""

    at: int
    seq: int
    body: bytes


def by_identifier(connection: Connection, name: Identifier) -> Profile | None:
    """The record of the customer who has an identifier."""
    query = (
        select(profile.c.record)
        .join(identifier, identifier.c.profile_id == profile.c.profile_id)
        .where((identifier.c.kind == name.kind) & (identifier.c.value == name.value))
    )
    body = connection.scalar(query)
    return None if body is None else decoder.decode(body)


def by_id(connection: Connection, profile_id: str) -> Profile | None:
    """The record of the customer to whom an id leads: his own or one that he had before a merge."""
    query = (
        select(profile.c.record)
        .join(identifier, identifier.c.profile_id == profile.c.profile_id)
        .where(identifier.c.own_id == profile_id)
    )
    body = connection.scalar(query)
    return None if body is None else decoder.decode(body)


def search(connection: Connection, words: str, limit: int, after: str = "") -> list[Profile]:
    """Customers in whose identifiers or names every word occurs, whatever its case; ordered by profile id."""
    query = select(profile.c.record).where(profile.c.profile_id > after)
    for word in words.casefold().split():
        query = query.where(profile.c.search.contains(word, autoescape=True))
    return [decoder.decode(body) for body in connection.scalars(query.order_by(profile.c.profile_id).limit(limit))]


def timeline(
    connection: Connection, known: Profile, limit: int, before: tuple[int, int] | None = None, kind: str | None = None
) -> list[Happened]:
    """The interactions of a customer, newest first, from before a place (time in ms, `seq`)."""
    rows: list[Happened] = []
    names = [(one.kind, one.value) for one in known.identifiers]
    for these in among(connection, (event.c.kind, event.c.value), names):
        query = select(event.c.occurred_at, event.c.seq, event.c.body).where(these)
        if kind is not None:
            query = query.where(event.c.type == kind)
        if before is not None:
            at, seq = before
            query = query.where((event.c.occurred_at < at) | ((event.c.occurred_at == at) & (event.c.seq < seq)))
        newest = query.order_by(event.c.occurred_at.desc(), event.c.seq.desc()).limit(limit)
        rows += [Happened(at, seq, body) for at, seq, body in connection.execute(newest)]
    return sorted(rows, key=lambda row: (row.at, row.seq), reverse=True)[:limit]


def shown(body: bytes) -> dict[str, msgspec.Raw]:
    """An interaction as it was accepted, without the digest by which copies are told."""
    found = _members.decode(body)
    found.pop("fingerprint", None)
    return found


def latest_of(home: Component) -> int:
    """The latest moment (ms) of all that evidence holds: what was counted, said, stated, or seen together."""
    moments = [statement.made.at for statement in home.statements]
    moments += [seen.at for seen in home.edges.values()]
    for node in home.nodes.values():
        moments += [node.tally.last or 0, node.since[0]]
        moments += [said.at for said in node.consents.values()]
        moments += [trait.at for trait in node.tally.traits.values()]
    return max(moments, default=0)


class Link(msgspec.Struct, frozen=True):
    """Evidence that identifiers belong together, the event that made it, and whether it counts."""

    identifiers: tuple[dict[str, str], ...]
    event: dict[str, str]
    state: str
    reason: str | None = None


def evidence(connection: Connection, known: Profile) -> dict[str, Any]:
    """The identifiers of a customer with all links that touch one of them, applied or rejected."""
    query = select(identifier.c.component_id).where(identifier.c.own_id == known.profile_id)
    home = components(connection, list(connection.scalars(query)))
    names = [Identifier(one.kind, one.value) for one in known.identifiers]
    return _evidence(home[0], names)


def _evidence(home: Component, names: list[Identifier]) -> dict[str, Any]:
    resolution = resolve(home.nodes, home.edges, home.statements)
    mine = frozenset(names)
    links = []
    for pair, seen in sorted(home.edges.items(), key=lambda item: item[1]):
        if not mine.isdisjoint(pair):
            reason = resolution.refused.get(pair)
            links.append(_link(pair, {"source": seen.source, "id": seen.id}, reason))
    for statement in sorted(home.statements, key=lambda one: one.made):
        if statement.verdict == "link" and not mine.isdisjoint(statement.left):
            made = {"source": statement.made.source, "id": statement.made.id}
            links.append(_link(statement.left, made, resolution.statements.get(statement) or None))
        elif statement.verdict == "split" and not mine.isdisjoint((*statement.left, *statement.right)):
            made = {"source": statement.made.source, "id": statement.made.id}
            links.append(_link((*statement.left, *statement.right), made, "split"))
    identifiers = [
        {
            "kind": name.kind,
            "value": name.value,
            "first_seen_at": from_ms(home.nodes[name].since[0]),
            "shared": name in resolution.shared,
        }
        for name in sorted(mine, key=strength)
    ]
    return {"identifiers": identifiers, "links": links}


def _link(identifiers: tuple[Identifier, ...], made: dict[str, str], reason: str | None) -> Link:
    shown = tuple({"kind": one.kind, "value": one.value} for one in dict.fromkeys(identifiers))
    return Link(shown, made, "rejected" if reason else "applied", reason)
