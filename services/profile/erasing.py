"""How a customer is erased, and how what is said of him from before then stays out. Pure."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from services.profile.evidence import regrouped
from services.profile.model import (
    Component,
    Forgotten,
    Heard,
    State,
    customer_identifiers,
    identifiers_in,
    own_id,
)
from shared.events.envelope import Event, raw
from shared.events.erasures import digest_of, erasure_in
from shared.events.identifiers import Identifier, strength
from shared.events.interactions import DECODERS
from shared.events.interactions import Statement as StatementPayload
from shared.events.times import to_ms

_members = msgspec.json.Decoder(dict[str, Any])
_identity = frozenset(kind for kind, decoder in DECODERS.items() if decoder.type is StatementPayload)


def erase(state: State, event: Event) -> State:
    """The components without the customer whom an erasure names: his identifiers, their counts and all their links.

    It is the customer as he is now, so what he came to be after somebody asked for the erasure goes as well. The
    others in his component stay, resolved anew without the evidence that is gone.
    """
    about = erasure_in.decode(event.data)
    gone = [
        cluster
        for component in state.components
        for cluster in component.clusters
        if any(own_id(name, component.nodes[name].anew) == about.profile_id for name in cluster.members)
    ]
    members = frozenset(name for cluster in gone for name in cluster.members)
    left = [one for component in state.components if (one := _without(component, members)) is not None]
    pairs = [pair for component in state.components for pair in component.edges]
    forgotten = Forgotten(
        members,
        tuple(sorted({*about.names, *map(digest_of, members)})),
        frozenset((about.profile_id, *(id for cluster in gone for id in (cluster.id, *cluster.aliases)))),
        frozenset(end for pair in pairs if not members.isdisjoint(pair) for end in pair) - members,
    )
    return State(tuple(left), event, forgotten=forgotten)


def _without(component: Component, members: Collection[Identifier]) -> Component | None:
    nodes = {name: node for name, node in component.nodes.items() if name not in members}
    if len(nodes) == len(component.nodes):
        return component
    if not nodes:
        return None
    strongest = min(nodes, key=strength)
    ids = {own_id(name, node.anew) for name, node in nodes.items()}
    return regrouped(
        Component(
            component.id if component.id in ids else own_id(strongest, nodes[strongest].anew),
            nodes,
            {pair: seen for pair, seen in component.edges.items() if not any(end in members for end in pair)},
            tuple(one for one in component.statements if not any(name in members for name in (*one.left, *one.right))),
            tuple(cluster for cluster in component.clusters if cluster.members.isdisjoint(members)),
        )
    )


def admitted(event: Event, erased: Mapping[Identifier, int]) -> Event | None:
    """What may be told of an event once customers are erased: all, nothing, or all but the names of the erased.

    `erased` are the moments (ms) of erasure of names. What happened up to then to a customer whose strongest
    identifier is erased, or states something about an erased one, stays out; with a name that another customer's
    event merely mentions, only the name does.
    """
    at = to_ms(event.time)
    out = {name for name in identifiers_in(event) if erased.get(name, at - 1) >= at}
    if not out:
        return event
    data = _members.decode(event.data)
    known = customer_identifiers(data.get("customer", {}))
    if event.type in _identity or not known or known[0] in out:
        return None
    data["customer"] = {kind: value for kind, value in data["customer"].items() if not _is_one(kind, value, out)}
    stripped = replace(event, data=raw(data))
    return replace(stripped, body=_body(stripped)) if isinstance(stripped, Heard) else stripped


def _is_one(kind: str, value: object, out: Collection[Identifier]) -> bool:
    return isinstance(value, str) and Identifier(kind, value) in out


def _body(event: Heard) -> bytes:
    return msgspec.json.encode({**_members.decode(event.body), "data": event.data})
