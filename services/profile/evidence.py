"""How an interaction becomes identity evidence, and how evidence becomes customers that keep their ids."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from services.profile.identity import hubs, resolve
from services.profile.model import (
    Cluster,
    Component,
    Node,
    Pair,
    Sighting,
    Statement,
    listed_identifiers,
    own_id,
)
from services.profile.tally import Stamp
from shared.events import interactions
from shared.events.identifiers import Identifier, strength


def pairs_of(identifiers: Sequence[Identifier]) -> tuple[Pair, ...]:
    """What seeing identifiers together links: the strongest with every other (they come strongest first)."""
    return tuple((identifiers[0], other) for other in identifiers[1:])


def statement_of(
    kind: str, payload: interactions.Statement, customer: tuple[Identifier, ...], made: Sighting
) -> Statement:
    """An explicit statement as evidence.

    A link joins all it names. A split parts the listed identifiers from those of `data.customer`; when it lists
    nothing else than these, it parts them from each other, and a single one from all it had been linked with.
    """
    listed = listed_identifiers(payload.identifiers)
    named = tuple(sorted({*listed, *customer}, key=strength))
    if kind == "customer.linked":
        return Statement("link", made, named)
    leaving = tuple(node for node in listed if node not in customer)
    if leaving:
        return Statement("split", made, leaving, customer)
    parted = listed or customer
    return Statement("split", made, parted, parted if len(parted) > 1 else ())


def united(components: Sequence[Component], strongest: Identifier, anew: int = 0) -> Component:
    """Several components as one, not yet resolved; it keeps the id of the largest, so that the fewest rows change."""
    if not components:
        return Component(own_id(strongest, anew), {})
    if len(components) == 1:
        return components[0]
    ordered = sorted(components, key=lambda component: (-len(component.nodes), component.id))
    nodes: dict[Identifier, Node] = {}
    edges: dict[Pair, Sighting] = {}
    for component in ordered:
        nodes.update(component.nodes)
        for pair, seen in component.edges.items():
            edges[pair] = min(edges.get(pair, seen), seen)
    statements = tuple({one: None for component in ordered for one in component.statements})
    clusters = tuple(cluster for component in ordered for cluster in component.clusters)
    return Component(ordered[0].id, nodes, edges, statements, clusters)


def seen_with(edges: Mapping[Pair, Sighting], pairs: Iterable[Pair], made: Sighting) -> Mapping[Pair, Sighting]:
    """The edges after some were seen (again); the very same mapping when that is no news."""
    news = {pair: made for pair in pairs if (known := edges.get(pair)) is None or made < known}
    return {**edges, **news} if news else edges


def regrouped(component: Component, touched: Iterable[Identifier] = ()) -> Component:
    """The component with its customers resolved anew.

    A customer keeps an id that he had: of several the one of the customer seen first, after a split the last one in
    use. Ids are ids of nodes, and whoever has the node has the id, as his own or as an alias: so every id ever given
    leads to exactly one customer.
    """
    resolution = resolve(component.nodes, component.edges, component.statements)
    nodes = {**component.nodes}
    for hub in hubs(component.edges):
        if hub in nodes and not nodes[hub].hub:
            nodes[hub] = replace(nodes[hub], hub=True)
    home = {node: cluster for cluster in component.clusters for node in cluster.members}
    touched = frozenset(touched)
    clusters = []
    for members in resolution.clusters:
        former = {cluster.id: cluster for node in members if (cluster := home.get(node)) is not None}
        known = next(iter(former.values())) if len(former) == 1 else None
        if known is not None and known.members == members:
            changed = not touched.isdisjoint(members)
            clusters.append(replace(known, version=known.version + 1) if changed else known)
        else:
            clusters.append(_cluster(members, list(former.values()), nodes))
            _end(list(former.values()), clusters[-1], nodes)
    return replace(component, nodes=nodes, clusters=tuple(clusters))


def _cluster(members: frozenset[Identifier], former: Sequence[Cluster], nodes: dict[Identifier, Node]) -> Cluster:
    given = {nodes[node].given: node for node in members if nodes[node].given}
    current = [cluster for cluster in former if cluster.id in given]
    if current:
        chosen = min(current, key=lambda cluster: (_since(cluster.members, nodes), cluster.id)).id
    elif given:
        chosen = min(given, key=lambda name: (-nodes[given[name]].ended, strength(given[name])))
    else:
        strongest = min(members, key=strength)
        chosen = own_id(strongest, nodes[strongest].anew)
        nodes[strongest] = replace(nodes[strongest], given=chosen)
    version = 1 + max((cluster.version for cluster in former), default=0)
    return Cluster(chosen, version, members, tuple(sorted(given.keys() - {chosen})))


def _end(former: Sequence[Cluster], cluster: Cluster, nodes: dict[Identifier, Node]) -> None:
    """Remember of the ids that became aliases when they did: a split gives back the id that was the last in use."""
    absorbed = {one.id for one in former} & set(cluster.aliases)
    for node in cluster.members if absorbed else ():
        if nodes[node].given in absorbed:
            nodes[node] = replace(nodes[node], ended=cluster.version)


def _since(members: Iterable[Identifier], nodes: Mapping[Identifier, Node]) -> Stamp:
    return min(nodes[node].since for node in members)
