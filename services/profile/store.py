"""How a batch is loaded and saved with a fixed number of statements."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Table, delete, select

from services.profile import proposals, receipts
from services.profile.model import (
    Cluster,
    Component,
    Node,
    Pair,
    Sighting,
    Statement,
    body_of,
    identifiers_in,
    own_id,
)
from services.profile.record import record
from services.profile.tables import component, event, identifier, profile
from services.profile.work import Work, erased_in
from shared.database import among, put
from shared.events.envelope import Event
from shared.events.identifiers import Identifier
from shared.events.profiles import Profile
from shared.events.times import to_ms

NAMES = ("name", "first_name", "last_name", "company")
"""The traits that a free search looks through besides the identifiers."""


class _Body(msgspec.Struct, frozen=True, array_like=True):
    nodes: tuple[tuple[Identifier, Node], ...]
    edges: tuple[tuple[Pair, Sighting], ...] = ()
    statements: tuple[Statement, ...] = ()
    clusters: tuple[tuple[str, int, tuple[Identifier, ...], tuple[str, ...]], ...] = ()


_bodies = msgspec.msgpack.Decoder(_Body)
_packer = msgspec.msgpack.Encoder()
_records = msgspec.json.Encoder()


def pack(one: Component) -> bytes:
    """A component as it is stored; equal evidence need not have equal bytes."""
    clusters = tuple((c.id, c.version, tuple(sorted(c.members)), c.aliases) for c in one.clusters)
    return _packer.encode(_Body(tuple(one.nodes.items()), tuple(one.edges.items()), one.statements, clusters))


def unpack(component_id: str, body: bytes) -> Component:
    """A component as it was before `pack`."""
    read = _bodies.decode(body)
    clusters = tuple(Cluster(id, version, frozenset(names), aliases) for id, version, names, aliases in read.clusters)
    return Component(component_id, dict(read.nodes), dict(read.edges), read.statements, clusters)


def load(connection: Connection, events: Sequence[Event]) -> Work:
    """All components that the events of a batch name, locked in the order of their ids until the transaction ends."""
    names = sorted({name for one in events for name in identifiers_in(one)})
    profile_ids = erased_in(events)
    ids = _component_ids(connection, names, profile_ids)
    while True:
        found = components(connection, sorted(ids), lock=True)
        again = _component_ids(connection, names, profile_ids) if connection.dialect.name == "postgresql" else ids
        if again == ids:
            return Work(found, receipts.erased_among(connection, names))
        ids = again


def _component_ids(connection: Connection, names: Sequence[Identifier], profile_ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for these in among(connection, (identifier.c.kind, identifier.c.value), names):
        found.update(connection.scalars(select(identifier.c.component_id).where(these)))
    for these in among(connection, identifier.c.own_id, profile_ids):
        found.update(connection.scalars(select(identifier.c.component_id).where(these)))
    return found


def components(connection: Connection, ids: Sequence[str], lock: bool = False) -> list[Component]:
    """Components by their ids, in the order of these; `lock` keeps other writers out (PostgreSQL row locks)."""
    found = []
    for these in among(connection, component.c.component_id, ids):
        query = select(component).where(these).order_by(component.c.component_id)
        found += [unpack(id, body) for id, body in connection.execute(query.with_for_update() if lock else query)]
    return found


def components_of(connection: Connection, profile_ids: Sequence[str]) -> list[Component]:
    """The components of customers by the ids of their records."""
    query = select(identifier.c.component_id).where(identifier.c.own_id.in_(profile_ids)).distinct()
    return components(connection, sorted(connection.scalars(query)))


def save(connection: Connection, work: Work) -> None:
    """Write back what a batch changed.

    The database's unique keys refuse an identifier that another worker was first to see; the transaction then ends in
    Conflict, and the batch is read again.
    """
    changed = work.changed()
    former = {one.id: one for id in (*work.gone(), *(c.id for c in changed)) if (one := work.loaded.get(id))}
    homes, before = _homes(former.values()), _clusters(former.values())
    after = _clusters(changed)
    _remove(connection, component, component.c.component_id, work.gone())
    put(connection, component, [{"component_id": one.id, "body": pack(one)} for one in changed])
    _save_identifiers(connection, homes, _homes(changed))
    _remove(connection, profile, profile.c.profile_id, sorted(before.keys() - after.keys()))
    rows = [
        _profile(record(home, cluster))
        for id, (home, cluster) in sorted(after.items())
        if id not in before or before[id][1] is not cluster
    ]
    put(connection, profile, rows)
    proposals.save(connection, work)
    for erasure in work.erasures:
        receipts.forget(connection, work, erasure)
    receipts.note(connection, work.removals)
    put(connection, event, [_event(one) for one in work.events], "refuse")


_Homes = Mapping[Identifier, tuple[str, str, int]]
"""Of each identifier its component, its customer, and the erasure after which it came anew."""


def _save_identifiers(connection: Connection, before: _Homes, after: _Homes) -> None:
    new: list[Mapping[str, Any]] = []
    moved: list[Mapping[str, Any]] = []
    for name, home in sorted(after.items()):
        if before.get(name) != home:
            row = {"kind": name.kind, "value": name.value, "own_id": own_id(name, home[2])}
            (moved if name in before else new).append({**row, "component_id": home[0], "profile_id": home[1]})
    gone = sorted(before.keys() - after.keys())
    for these in among(connection, (identifier.c.kind, identifier.c.value), gone):
        connection.execute(delete(identifier).where(these))
    put(connection, identifier, new, "refuse")
    put(connection, identifier, moved)


def _homes(of: Iterable[Component]) -> dict[Identifier, tuple[str, str, int]]:
    return {
        name: (one.id, cluster.id, one.nodes[name].anew)
        for one in of
        for cluster in one.clusters
        for name in cluster.members
    }


def _clusters(of: Iterable[Component]) -> dict[str, tuple[Component, Cluster]]:
    return {cluster.id: (one, cluster) for one in of for cluster in one.clusters}


def _profile(known: Profile) -> dict[str, Any]:
    words = [one.value for one in known.identifiers]
    words += [str(known.traits[name]) for name in NAMES if name in known.traits]
    return {
        "profile_id": known.profile_id,
        "version": known.version,
        "last_seen_at": to_ms(known.last_seen_at),
        "record": _records.encode(known),
        "search": "\n".join(words).casefold(),
    }


def _event(one: Event) -> dict[str, Any]:
    strongest = identifiers_in(one)[0]
    return {
        "kind": strongest.kind,
        "value": strongest.value,
        "occurred_at": to_ms(one.time),
        "type": one.type,
        "body": body_of(one),
    }


def _remove(connection: Connection, table: Table, key: Column[str], ids: Sequence[str]) -> None:
    for these in among(connection, key, ids):
        connection.execute(delete(table).where(these))
