"""What stops a consumer for good: a log that is not the one that was read, and a topic that goes into the bin."""

from shared.errors import CarteraError
from shared.log import Log, TopicPartition, is_blackened
from shared.runtime.naming import record_fingerprint
from shared.runtime.processor import Claim

WAY_OUT = "bring back what was there, or `cartera reread`, then start the service again"
DEAD_LETTER_LIMIT = 1000
"""So many rejections in a row stop the consumer: a bad deploy must not drain a topic into the bin."""


class StoppedByDeadLetters(CarteraError):
    """Too many events in a row were rejected: look at the dead letters, mend, start again."""


class LogChanged(CarteraError):
    """The log is not the log that was read: a topic was deleted and created again, or records were lost."""

    def __init__(self, place: TopicPartition, difference: str) -> None:
        super().__init__(f"{place.topic}, partition {place.partition}, {difference}; {WAY_OUT}")


async def verify(log: Log, held: Claim, last_fp: str | None) -> None:
    """Compare the last record applied with the one that lies there now. Raises LogChanged."""
    offset = held.position.offset
    end = (await log.ends(held.partition.topic)).get(held.partition, 0)
    if offset > end:
        raise LogChanged(held.partition, f"ends at {end}, but {offset} was read: the topic was deleted or cut off")
    if offset == 0:
        return
    beginning = (await log.beginnings(held.partition.topic)).get(held.partition, 0)
    if offset < beginning:
        lost = f"begins at {beginning}, but only {offset} was read: retention has taken records unread"
        raise LogChanged(held.partition, lost)
    if last_fp is None:
        return
    last = await log.read(held.partition, offset - 1)
    if last is not None and not is_blackened(last) and record_fingerprint(last) != last_fp:
        raise LogChanged(held.partition, f"holds another record at {offset - 1} than was read: it was made anew")


def refuse_to_drain(service: str, rejections: int) -> None:
    """Raise StoppedByDeadLetters when so many events in a row were rejected."""
    if rejections >= DEAD_LETTER_LIMIT:
        raise StoppedByDeadLetters(
            f"{rejections} events in a row were rejected by {service}: `cartera dead-letters list`"
        )
