"""How an accepted event goes on. Pure."""

from services.ingest.model import Accepted
from shared.events.interactions import TOPIC
from shared.events.outgoing import CONTENT_TYPE, Outgoing


def forward(accepted: Accepted) -> Outgoing:
    """An accepted event as a record of `interactions`."""
    return Outgoing(TOPIC, accepted.key, accepted.value, CONTENT_TYPE)
