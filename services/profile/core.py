"""How the live record of a customer changes, and what is worth telling of it. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from services.profile import folding
from services.profile.consents import consents
from services.profile.erasing import admitted, erase
from services.profile.evidence import pairs_of, regrouped, seen_with, statement_of, united
from services.profile.folding import Told
from services.profile.joining import stricter
from services.profile.model import Cluster, Component, Node, Pair, Sighting, State, Statement, body_of
from services.profile.record import record
from services.profile.tally import Said, Stamp
from shared.events.envelope import Event, derived_id, encode, event_key, raw
from shared.events.erasures import ERASED, REMOVED, REQUESTED, erasure_in
from shared.events.erasures import TOPIC as ERASURES
from shared.events.identifiers import Identifier
from shared.events.interactions import BEGIN, END
from shared.events.interactions import Statement as StatementPayload
from shared.events.outgoing import CONTENT_TYPE, Outgoing, remove, say
from shared.events.profiles import TOPIC, UPDATED, Removal

__all__ = ["evolve", "react"]


def evolve(state: State, event: Event) -> State:
    """Fold one interaction into the evidence and the counts. Raises InvalidEvent for one that can never be applied.

    Order does not matter; repetition does, and it is the inbox that keeps an event from coming twice. Marks of imports
    change no customer. An event that is no news for identity leaves the customers as they are (the fast path).
    """
    if event.type in (BEGIN, END, REMOVED):
        return State(state.components, event)
    if event.type == REQUESTED:
        return erase(state, event)
    if state.erased:
        remaining = admitted(event, state.erased)
        if remaining is None:
            return State(state.components)
        event = remaining
    told = folding.read(event)._replace(anew=state.erased)
    if isinstance(told.payload, StatementPayload):
        statement = statement_of(told.kind, told.payload, told.identifiers, told.made)
        named = tuple(dict.fromkeys((*told.identifiers, *statement.left, *statement.right)))
        stated = _stated(united(state.components, named[0], told.anew.get(named[0], 0)), statement, named, told.anew)
        return State((_reconsidered(state.components, stated),), event)
    own, hubs = _places(state.components, told)
    home = united(own, told.identifiers[0], told.anew.get(told.identifiers[0], 0)) if own or not hubs else hubs.pop(0)
    away = frozenset(name for hub in hubs for name in told.identifiers if name in hub.nodes)
    edges = seen_with(home.edges, pairs_of(told.identifiers), told.made)
    here = tuple(name for name in told.identifiers if name not in away)
    heard = [_heard(home, here, edges, told, resolved=len(own) < 2)]
    for hub in hubs:
        heard.append(_heard(hub, tuple(name for name in told.identifiers if name in hub.nodes), hub.edges, told, True))
    if edges is not home.edges or len(own) > 1 or folding.consents(told):
        heard = [_reconsidered(state.components, one) for one in heard]
    return State(tuple(heard), event)


def _places(components: Sequence[Component], told: Told) -> tuple[list[Component], list[Component]]:
    """The components that the event makes one, and those that it only names a hub of, which join nothing."""
    own: list[Component] = []
    hubs: list[Component] = []
    known = set()
    names = told.identifiers
    for component in components:
        named = [name for name in names if name in component.nodes]
        known.update(named)
        (hubs if all(component.nodes[name].hub for name in named) else own).append(component)
    if not own and len(known) < len(names):
        first = next(name for name in names if name not in known)
        return [united((), first, told.anew.get(first, 0))], hubs
    return own, hubs


def _heard(
    component: Component, names: Sequence[Identifier], edges: Mapping[Pair, Sighting], told: Told, resolved: bool
) -> Component:
    """The component after an interaction that names some of its identifiers; customers anew only when there is need."""
    stamp, said = told.made.stamp, folding.consents(told)
    changed: dict[Identifier, Node] = {}
    for name in names:
        node = component.nodes.get(name)
        after = _node(node or Node(anew=told.anew.get(name, 0)), stamp, said)
        if name == told.identifiers[0]:
            tally = folding.fold(after.tally, told)
            after = after if tally is after.tally else replace(after, tally=tally)
        if after is not node:
            changed[name] = after
    nodes = {**component.nodes, **changed}
    if resolved and edges is component.edges and len(nodes) == len(component.nodes):
        return replace(component, nodes=nodes, clusters=_touched(component.clusters, changed))
    return regrouped(replace(component, nodes=nodes, edges=edges), changed)


def _node(node: Node, stamp: Stamp, said: Mapping[str, Said]) -> Node:
    first = stamp if node.first is None else min(node.first, stamp)
    if not said and first == node.first:
        return node
    consents = node.consents
    for subject, statement in said.items():
        consents = {**consents, subject: stricter(consents.get(subject), statement)}
    return replace(node, first=first, consents=consents)


def _touched(clusters: Sequence[Cluster], changed: Mapping[Identifier, Node]) -> tuple[Cluster, ...]:
    return tuple(
        cluster
        if cluster.members.isdisjoint(changed)
        else Cluster(cluster.id, cluster.version + 1, cluster.members, cluster.aliases)
        for cluster in clusters
    )


def _reconsidered(before: Sequence[Component], after: Component) -> Component:
    """The component with a new version of each customer who is otherwise untouched but whose consents came out anew.

    News of the past can do that: a grant counts for all identifiers that were the same customer when it was stated.
    """
    if len(after.clusters) < 2 or not any(node.consents for node in after.nodes.values()):
        return after
    former = {cluster.id: (home, cluster) for home in before for cluster in home.clusters}
    clusters = []
    for cluster in after.clusters:
        home, known = former.get(cluster.id, (after, cluster))
        same = known is not cluster or consents(home, cluster.members) == consents(after, cluster.members)
        clusters.append(cluster if same else replace(cluster, version=cluster.version + 1))
    return replace(after, clusters=tuple(clusters))


def _stated(
    component: Component, statement: Statement, names: Sequence[Identifier], anew: Mapping[Identifier, int]
) -> Component:
    nodes = {**component.nodes}
    stamp = statement.made.stamp
    for name in names:
        node = nodes.get(name) or Node(anew=anew.get(name, 0))
        nodes[name] = replace(node, stated=stamp if node.stated is None else min(node.stated, stamp))
    return regrouped(replace(component, nodes=nodes, statements=(*component.statements, statement)), names)


def react(before: State, after: State) -> tuple[Outgoing, ...]:
    """The new record of every customer that changed, a tombstone for each that went into another; marks as they are."""
    cause = after.cause
    if cause is None or cause == before.cause or cause.type == REMOVED:
        return ()
    if cause.type in (BEGIN, END):
        return (Outgoing(TOPIC, "", body_of(cause), CONTENT_TYPE),)
    former = {cluster.id: cluster for component in before.components for cluster in component.clusters}
    said: list[Outgoing] = []
    gone = dict(former)
    name = f"{event_key(cause)}\n{cause.fingerprint}"
    for component in after.components:
        for cluster in component.clusters:
            known = gone.pop(cluster.id, None)
            if known is None or known.version != cluster.version:
                said.append(_updated(component, cluster, cause, name, _reason(cluster, former)))
    if cause.type == REQUESTED:
        said.extend(removal for cluster in gone.values() for removal in _erased(cluster, cause, name))
        said.append(_announced(after, cause))
    else:
        said.extend(_merged(cluster, after, cause, name) for cluster in gone.values())
    return tuple(said)


def _reason(cluster: Cluster, former: Mapping[str, Cluster]) -> bytes:
    known = former.get(cluster.id)
    if known is not None and known.members == cluster.members:
        return b"event"
    sources = [other for other in former.values() if not other.members.isdisjoint(cluster.members)]
    if any(not other.members <= cluster.members for other in sources):
        return b"split"
    return b"merge" if len(sources) > 1 else b"event"


def _updated(component: Component, cluster: Cluster, cause: Event, name: str, reason: bytes) -> Outgoing:
    event = Event(
        specversion="1.0",
        id=derived_id(name, cluster.id),
        source="cartera/profile",
        type=UPDATED,
        subject=cluster.id,
        time=cause.time,
        data=raw(record(component, cluster)),
        receivedat=cause.receivedat,
        history=cause.history,
        causesource=cause.source,
        causeid=cause.id,
        causetype=cause.type,
        causemessage=folding.message_of(cause),
    )
    return Outgoing(TOPIC, cluster.id, encode(event), (*CONTENT_TYPE, ("reason", reason)))


def _erased(cluster: Cluster, cause: Event, name: str) -> Iterator[Outgoing]:
    """The tombstones of an erased customer, under every id that he ever had."""
    for profile_id in (cluster.id, *cluster.aliases):
        yield remove(
            Removal(
                profile_id=profile_id,
                reason="erasure",
                version=cluster.version + 1,
                time=cause.time,
                event_id=derived_id(name, profile_id),
                erasure_id=cause.id,
            )
        )


def _announced(after: State, cause: Event) -> Outgoing:
    assert after.forgotten is not None
    about = replace(erasure_in.decode(cause.data), names=after.forgotten.named)
    event = Event(
        specversion="1.0",
        id=derived_id(cause.id, ERASED),
        source="cartera/profile",
        type=ERASED,
        time=cause.time,
        data=raw(about),
    )
    return say(ERASURES, cause.id, event)


def _merged(cluster: Cluster, after: State, cause: Event, name: str) -> Outgoing:
    into = next(
        survivor for component in after.components for survivor in component.clusters if cluster.id in survivor.aliases
    )
    return remove(
        Removal(
            profile_id=cluster.id,
            reason="merge",
            version=max(cluster.version + 1, into.version),
            time=cause.time,
            into=into.id,
            event_id=derived_id(name, cluster.id),
            history=cause.history,
        )
    )
