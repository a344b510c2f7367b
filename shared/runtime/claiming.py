"""Whether the log still is the log that was read, when a partition is taken over."""

from shared.errors import CarteraError
from shared.log import Log
from shared.runtime.naming import record_fingerprint
from shared.runtime.processor import Claim


class LogChanged(CarteraError):
    """The log is not the log that was read: a topic was deleted and created again, or records were lost."""


async def verify(log: Log, held: Claim, last_fp: str | None) -> None:
    """Compare the last record applied with the one that lies there now. Raises LogChanged."""
    offset = held.position.offset
    end = (await log.ends(held.partition.topic)).get(held.partition, 0)
    if offset > end:
        raise LogChanged(f"{held.partition} ends at {end}, but {offset} was read: the topic was deleted or cut off")
    if last_fp is None or offset == 0:
        return
    last = await log.read(held.partition, offset - 1)
    if last is not None and record_fingerprint(last) != last_fp:
        raise LogChanged(
            f"{held.partition} holds another record at {offset - 1} than was read: the topic was made anew"
        )
