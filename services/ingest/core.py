"""The two verbs of the entrance: what is accepted goes on, what is refused is kept. Pure."""

from collections.abc import Sequence

from services.ingest.admission import admit
from services.ingest.forwarding import forward
from services.ingest.model import Accepted, Door, Forgotten, Incoming
from shared.events.outgoing import Outgoing


def evolve(state: Door, event: Incoming) -> Door:
    """The door after an event or a letter; a letter that is kept already stays as it is, with its repair.

    Raises InvalidEvent when the rule of the event's source keeps it out.
    """
    if isinstance(event, Accepted):
        return Door(rule=state.rule, accepted=admit(event, state.rule), letter=state.letter)
    if isinstance(event, Forgotten):
        return state
    return state if state.letter is not None else Door(accepted=state.accepted, letter=event)


def react(before: Door, after: Door) -> Sequence[Outgoing]:
    """What an accepted event says on `interactions`; letters say nothing, they were said before."""
    if after.accepted is None or after.accepted == before.accepted:
        return ()
    return (forward(after.accepted),)
