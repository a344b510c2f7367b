"""Whether an event that can be read comes in: the rule of its source. Pure."""

import msgspec

from services.ingest import schemas
from services.ingest.model import Accepted, Rule
from shared.errors import Fault, InvalidEvent, SetAside

QUARANTINED = "quarantined"
SCHEMA_VIOLATION = "schema_violation"
MARK = "violations"
"""The extension attribute that names the places at which an event goes against the published schema."""

LONGEST_MARK = 1_000


def admit(accepted: Accepted, rule: Rule | None) -> Accepted:
    """The event as it goes on. Raises InvalidEvent when its source is in quarantine, or strict and not kept to."""
    if rule is None:
        return accepted
    if rule.quarantined:
        raise SetAside(QUARANTINED, (Fault("this source is in quarantine: release it, then replay"),))
    found = schemas.violations(accepted.event.type, accepted.data) if rule.mode is not None else ()
    if not found:
        return accepted
    if rule.mode == "strict":
        raise InvalidEvent(SCHEMA_VIOLATION, found)
    places = " ".join(dict.fromkeys(fault.pointer.replace(" ", "%20") for fault in found))[:LONGEST_MARK]
    marked = accepted.value[:-1] + b',"' + MARK.encode() + b'":' + msgspec.json.encode(places) + b"}"
    return msgspec.structs.replace(accepted, value=marked)
