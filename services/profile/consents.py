"""What a customer allows, out of what was said for each of his identifiers. Merging never loosens it.

For one identifier the last statement counts; a grant counts for all identifiers that were the same customer when it was
stated. Between the identifiers of a record a denial then wins over every grant, however late. So the customer can
change his mind by any of his identifiers, but no merge changes it for him.
"""

from collections.abc import Iterable, Mapping

from services.profile.identity import resolve
from services.profile.model import Component
from services.profile.tally import Said
from shared.events.identifiers import Identifier
from shared.events.profiles import Consent
from shared.events.times import from_ms

MAIN_PURPOSE = "marketing"
"""The purpose that a record shows under the bare name of the channel; others are shown as `channel/purpose`."""

_Statements = Mapping[Identifier, Said]


def consents(component: Component, names: Iterable[Identifier]) -> dict[str, Consent]:
    """The consents of the customer who has these identifiers, by channel, in the order of their names."""
    said: dict[str, dict[Identifier, Said]] = {}
    for name in names:
        for subject, statement in component.nodes[name].consents.items():
            said.setdefault(subject, {})[name] = statement
    if not said:
        return {}
    shown: dict[str, Consent] = {}
    for subject, statements in said.items():
        channel, _, purpose = subject.partition("/")
        answer = _in_force(component, subject, statements)
        expires = None if answer.expires is None else from_ms(answer.expires)
        shown[subject] = Consent(answer.status, purpose, from_ms(answer.at), expires)
    for channel in {subject.partition("/")[0] for subject in shown}:
        main = f"{channel}/{MAIN_PURPOSE}"
        if main not in shown:
            main = max(
                (subject for subject in shown if subject.partition("/")[0] == channel),
                key=lambda subject: (shown[subject].at, subject),
            )
        shown[channel] = shown.pop(main)
    return dict(sorted(shown.items()))


def _in_force(component: Component, subject: str, statements: _Statements) -> Said:
    effective = [
        said if said.status != "denied" else _lifting(component, subject, name, said) or said
        for name, said in statements.items()
    ]
    denials = [said for said in effective if said.status == "denied"]
    return max(denials or effective, key=lambda said: (said.at, said.digest))


def _lifting(component: Component, subject: str, name: Identifier, denial: Said) -> Said | None:
    """The last later grant of somebody who, when he stated it, was the one customer with this identifier."""
    grants = [
        (said, other)
        for other, node in component.nodes.items()
        if (said := node.consents.get(subject)) is not None and said.status != "denied" and said.at > denial.at
    ]
    for said, other in sorted(grants, key=lambda grant: (grant[0].at, grant[0].digest), reverse=True):
        if other in _customer_at(component, name, said.at):
            return said
    return None


def _customer_at(component: Component, name: Identifier, moment: int) -> frozenset[Identifier]:
    """Whom an identifier belonged to before a moment (ms), by the evidence of then and all that was split ever since.

    Identifiers that are shared for good never count as a link, because not all of their links are at hand.
    """
    nodes = component.nodes
    edges = {
        pair: seen
        for pair, seen in component.edges.items()
        if seen.at < moment and all(end in nodes and not nodes[end].hub for end in pair)
    }
    statements = [one for one in component.statements if one.verdict == "split" or one.made.at < moment]
    return next(cluster for cluster in resolve(nodes, edges, statements).clusters if name in cluster)
