"""Merge proposals: two customers whom evidence would make one, had a limit not refused it. A person decides.

A decision is evidence too: to accept is an explicit link, to reject an explicit split. Either way the proposal is gone
when that has been applied, and a rebuild comes to the same.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, select

from services.profile.identity import resolve
from services.profile.model import Cluster, Component, Sighting
from services.profile.tables import proposal
from services.profile.work import Work
from shared.database import among, put
from shared.events.envelope import derived_id
from shared.events.identifiers import Identifier
from shared.events.times import from_ms

SETTLED = frozenset({"shared", "split"})
"""Reasons of refusal that are answers already: nobody need be asked."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Two customers, the identifiers of theirs that were seen together, by which event, and why it did not count."""

    id: str
    profile_ids: tuple[str, str]
    identifiers: tuple[dict[str, str], dict[str, str]]
    reason: str
    event: dict[str, str]
    at: datetime


def save(connection: Connection, work: Work) -> None:
    """Bring the proposals of the components that changed up to date; one that is a single customer costs nothing."""
    changed = [one for one in work.changed() if not _is_known(work.loaded.get(one.id), one)]
    ids = {one.id for one in changed}
    before = _rows(one for id, one in work.loaded.items() if id in ids or id not in work.components)
    after = _rows(changed)
    for these in among(connection, proposal.c.id, sorted(before.keys() - after.keys())):
        connection.execute(delete(proposal).where(these))
    put(connection, proposal, [row for id, row in sorted(after.items()) if before.get(id) != row])


def _is_known(before: Component | None, after: Component) -> bool:
    """Whether the evidence is what it was: then so are the proposals."""
    return before is not None and before.edges is after.edges and before.statements is after.statements


def _rows(components: Iterable[Component]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for one in components if len(one.clusters) > 1 for row in _of(one)}


def _of(component: Component) -> Iterable[dict[str, Any]]:
    """One row for every two customers: of the earliest evidence that they are one."""
    refused = resolve(component.nodes, component.edges, component.statements).refused
    home = {name: cluster for cluster in component.clusters for name in cluster.members}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for pair in sorted((pair for pair, why in refused.items() if why not in SETTLED), key=component.edges.__getitem__):
        left, right = home[pair[0]], home[pair[1]]
        names = (min(left.id, right.id), max(left.id, right.id))
        if left is not right and names not in found:
            found[names] = _row(pair, (left, right), refused[pair], component.edges[pair])
    return found.values()


def _row(
    pair: tuple[Identifier, Identifier], clusters: tuple[Cluster, Cluster], reason: str, seen: Sighting
) -> dict[str, Any]:
    left, right = clusters
    return {
        "id": derived_id(f"proposal/{min(left.id, right.id)}", max(left.id, right.id)),
        "left_id": left.id,
        "right_id": right.id,
        "identifiers": msgspec.json.encode([{"kind": one.kind, "value": one.value} for one in pair]),
        "reason": reason,
        "at": seen.at,
        "source": seen.source,
        "event_id": seen.id,
    }


_identifiers = msgspec.json.Decoder(tuple[dict[str, str], dict[str, str]])


def page(connection: Connection, limit: int, before: tuple[int, str] | None) -> list[Proposal]:
    """Proposals, the newest evidence first, from after a place (time in ms, id)."""
    query = select(proposal)
    if before is not None:
        at, name = before
        query = query.where((proposal.c.at < at) | ((proposal.c.at == at) & (proposal.c.id < name)))
    rows = connection.execute(query.order_by(proposal.c.at.desc(), proposal.c.id.desc()).limit(limit))
    return [_proposal(row) for row in rows]


def find(connection: Connection, proposal_id: str) -> Proposal | None:
    """One proposal that is still open."""
    row = connection.execute(select(proposal).where(proposal.c.id == proposal_id)).one_or_none()
    return None if row is None else _proposal(row)


def _proposal(row: Row[Any]) -> Proposal:
    return Proposal(
        id=row.id,
        profile_ids=(row.left_id, row.right_id),
        identifiers=_identifiers.decode(row.identifiers),
        reason=row.reason,
        event={"source": row.source, "id": row.event_id},
        at=from_ms(row.at),
    )
