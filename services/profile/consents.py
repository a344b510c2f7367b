"""What a customer allows, out of what was said for each of his identifiers. Merging never loosens it.

For one identifier the last statement counts. Between identifiers a denial wins over every grant, however late, but for
one: a grant stated when the two were already known to be one customer. That is the customer changing his mind, and not
a merge changing it for him.
"""

from collections.abc import Mapping, Sequence

from services.profile.model import Component
from services.profile.tally import Said
from shared.events.identifiers import Identifier
from shared.events.profiles import Consent
from shared.events.times import from_ms

MAIN_PURPOSE = "marketing"
"""The purpose that a record shows under the bare name of the channel; others are shown as `channel/purpose`."""

_Statements = Mapping[Identifier, Said]


def consents(component: Component, names: Sequence[Identifier]) -> dict[str, Consent]:
    """The consents of a customer, by channel, in the order of their names."""
    said: dict[str, dict[Identifier, Said]] = {}
    for name in names:
        for subject, statement in component.nodes[name].consents.items():
            said.setdefault(subject, {})[name] = statement
    if not said:
        return {}
    shown: dict[str, Consent] = {}
    for subject, statements in said.items():
        channel, _, purpose = subject.partition("/")
        answer = _in_force(component, statements)
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


def _in_force(component: Component, statements: _Statements) -> Said:
    denials = {name: said for name, said in statements.items() if said.status == "denied"}
    grants = {name: said for name, said in statements.items() if said.status != "denied"}
    if denials and grants:
        for name, grant in grants.items():
            known = _known_by(component, name, grant.at)
            denials = {denier: said for denier, said in denials.items() if not (denier in known and said.at < grant.at)}
    deciding = denials or grants
    return max(deciding.values(), key=lambda said: (said.at, said.digest))


def _known_by(component: Component, start: Identifier, moment: int) -> frozenset[Identifier]:
    """The identifiers of the same customer that had been linked with one before a moment (ms)."""
    members = next(cluster.members for cluster in component.clusters if start in cluster.members)
    groups = [frozenset(pair) for pair, seen in component.edges.items() if seen.at < moment]
    groups += [frozenset(s.left) for s in component.statements if s.verdict == "link" and s.made.at < moment]
    known = {start}
    grown = True
    while grown:
        found = {node for group in groups if not known.isdisjoint(group) for node in group if node in members}
        grown = not found <= known
        known |= found
    return frozenset(known)
