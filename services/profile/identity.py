"""Identity resolution: which identifiers are one customer, as a pure function of the set of evidence.

Links are tried in one order that no order of arrival can change: explicit ones first, then by the strength of the
identifiers, then by age. A link that would break a rule is refused, with its reason, and stays evidence.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from services.profile.model import Pair, Sighting, Statement
from shared.events.identifiers import KINDS, PRIORITY, Identifier, strength

LIMITS = {"customer_id": 1, "loyalty_card": 5, "email": 5, "phone": 5, "chat_handle": 20, "device_id": 100}
"""How many identifiers of a kind one customer can have by implicit evidence."""

CLUSTER_LIMIT = 500
"""How many identifiers one customer can have."""

SHARED_FROM = 3
"""A weak identifier seen with this many customer_ids (explicitly linked ones count once) links nobody."""

HUB_CUSTOMERS = 20
"""Seen with this many customer_ids an identifier is shared for good, whatever is linked later."""

HUB_STRONGER = 100
"""Seen with this many stronger identifiers of any kind an identifier is shared for good."""


class Resolution(NamedTuple):
    """The customers, the links that were refused with their reason, and the identifiers that are shared."""

    clusters: tuple[frozenset[Identifier], ...]
    refused: Mapping[Pair, str]
    shared: frozenset[Identifier]
    statements: Mapping[Statement, str]


class _Forest:
    """Disjoint sets of identifiers that refuse unions which would break a limit or join a forbidden pair."""

    def __init__(self, nodes: Iterable[Identifier], forbidden: Iterable[Pair]) -> None:
        self._parent = {node: node for node in nodes}
        self.members = {node: [node] for node in self._parent}
        self._kinds: dict[Identifier, dict[str, int]] = {node: {node.kind: 1} for node in self._parent}
        self._foes: dict[Identifier, set[Identifier]] = {}
        for left, right in forbidden:
            self._foes.setdefault(left, set()).add(right)
            self._foes.setdefault(right, set()).add(left)

    def find(self, node: Identifier) -> Identifier:
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(self, left: Identifier, right: Identifier, forced: bool = False) -> str:
        """Unite two sets; an empty answer is success, else it is the reason of the refusal."""
        a, b = self.find(left), self.find(right)
        if a == b:
            return ""
        if len(self.members[a]) < len(self.members[b]):
            a, b = b, a
        reason = self._objection(a, b, forced)
        if reason:
            return reason
        self._parent[b] = a
        self.members[a] += self.members.pop(b)
        kinds = self._kinds[a]
        for kind, count in self._kinds.pop(b).items():
            kinds[kind] = kinds.get(kind, 0) + count
        return ""

    def _objection(self, a: Identifier, b: Identifier, forced: bool) -> str:
        if self._foes:
            for member in self.members[b]:
                if any(self.find(foe) == a for foe in self._foes.get(member, ())):
                    return "split"
        if len(self.members[a]) + len(self.members[b]) > CLUSTER_LIMIT:
            return "cluster_limit"
        if forced:
            return ""
        larger = self._kinds[a]
        for kind, count in self._kinds[b].items():
            if kind in larger and larger[kind] + count > LIMITS[kind]:
                return f"{kind}_limit"
        return ""


def resolve(
    nodes: Iterable[Identifier], edges: Mapping[Pair, Sighting], statements: Sequence[Statement] = ()
) -> Resolution:
    """The customers that a set of evidence makes. Ends of edges that are no nodes are hubs kept elsewhere."""
    names = sorted(nodes, key=strength)
    here = frozenset(names)
    refused = {pair: "shared" for pair in edges if pair[0] not in here or pair[1] not in here}
    foreign = frozenset(end for pair in refused for end in pair if end not in here)
    inner = {pair: seen for pair, seen in edges.items() if pair not in refused}
    always = hubs(edges)
    links, forbidden, answers = _judge(names, inner, statements, always)
    forest = _Forest(names, forbidden)
    for link in links:
        for left, right in pairwise(link.left):
            answers[link] = forest.join(left, right, forced=True) or answers.get(link, "")
    shared = _shared(inner, forest) | always
    refused.update(_unite(forest, inner, shared))
    clusters = sorted(forest.members.values(), key=lambda members: min(map(strength, members)))
    return Resolution(tuple(map(frozenset, clusters)), refused, shared | foreign, answers)


def _unite(forest: _Forest, edges: Mapping[Pair, Sighting], shared: frozenset[Identifier]) -> dict[Pair, str]:
    refused: dict[Pair, str] = {}
    for pair in sorted(edges, key=lambda pair: _order(pair, edges[pair])):
        left, right = pair
        reason = "shared" if left in shared or right in shared else forest.join(left, right)
        if reason:
            refused[pair] = reason
    return refused


def _order(pair: Pair, seen: Sighting) -> tuple[int, int, int, Pair]:
    return PRIORITY[pair[0].kind] + PRIORITY[pair[1].kind], seen.at, seen.digest, pair


def _shared(edges: Mapping[Pair, Sighting], forest: _Forest) -> frozenset[Identifier]:
    if len(edges) < SHARED_FROM:
        return frozenset()
    customers: dict[Identifier, set[Identifier]] = {}
    for stronger, weaker in edges:
        if stronger.kind == KINDS[0] and weaker.kind != KINDS[0]:
            customers.setdefault(weaker, set()).add(forest.find(stronger))
    found = {weak for weak, ids in customers.items() if len(ids) >= SHARED_FROM}
    return frozenset(found)


def hubs(edges: Iterable[Pair]) -> frozenset[Identifier]:
    """The identifiers that are shared for good: more evidence can never make them link again."""
    customers: dict[Identifier, int] = {}
    stronger_ones: dict[Identifier, int] = {}
    for stronger, weaker in edges:
        if PRIORITY[stronger.kind] < PRIORITY[weaker.kind]:
            stronger_ones[weaker] = stronger_ones.get(weaker, 0) + 1
            if stronger.kind == KINDS[0]:
                customers[weaker] = customers.get(weaker, 0) + 1
    found = {node for node, count in customers.items() if count >= HUB_CUSTOMERS}
    return frozenset(found | {node for node, count in stronger_ones.items() if count >= HUB_STRONGER})


Judgement = tuple[list[Statement], set[Pair], dict[Statement, str]]


def _judge(
    names: Sequence[Identifier],
    edges: Mapping[Pair, Sighting],
    statements: Sequence[Statement],
    always: frozenset[Identifier],
) -> Judgement:
    """The explicit links and forbidden pairs that are in force: about any two customers the latest statement wins.

    "Customers" are here what implicit evidence alone makes of them, so that a split takes back the whole link that it
    contradicts, and a later link lifts all that had been forbidden between the two.
    """
    links = sorted((s for s in statements if s.verdict == "link"), key=lambda s: (s.made, s.left))
    parted = _parted(edges, statements)
    if not parted:
        return links, set(), {}
    base = _Forest(names, parted)
    _unite(base, edges, _shared(edges, base) | always)
    spans = {link: frozenset(base.find(node) for node in link.left) for link in links}
    forbidden: dict[Pair, Sighting] = {}
    for pair, made in parted.items():
        ends = {base.find(pair[0]), base.find(pair[1])}
        if not any(link.made > made and ends <= span for link, span in spans.items()):
            forbidden[pair] = made
    active: list[Statement] = []
    answers: dict[Statement, str] = {}
    for link in links:
        if any(
            made > link.made and {base.find(pair[0]), base.find(pair[1])} <= spans[link]
            for pair, made in forbidden.items()
        ):
            answers[link] = "split"
        else:
            active.append(link)
    return active, set(forbidden), answers


def _parted(edges: Mapping[Pair, Sighting], statements: Sequence[Statement]) -> dict[Pair, Sighting]:
    parted: dict[Pair, Sighting] = {}
    for split in statements:
        if split.verdict != "split":
            continue
        others = {node: split.right or _neighbours(node, split.made, edges, statements) for node in split.left}
        for node, rest in others.items():
            for other in set(rest) - {node}:
                pair = (node, other) if strength(node) < strength(other) else (other, node)
                parted[pair] = max(parted.get(pair, split.made), split.made)
    return parted


def _neighbours(
    node: Identifier, before: Sighting, edges: Mapping[Pair, Sighting], statements: Sequence[Statement]
) -> tuple[Identifier, ...]:
    seen = {end for pair, first in edges.items() if node in pair and first < before for end in pair}
    for link in statements:
        if link.verdict == "link" and node in link.left and link.made < before:
            seen.update(link.left)
    return tuple(sorted(seen - {node}, key=strength))
