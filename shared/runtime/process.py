"""What all loops of one process share."""

from dataclasses import dataclass

from shared.log import Log
from shared.runtime.clock import Clock
from shared.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What all loops of one process share. `owner` names it in claims; the events clock takes time from the stream."""

    log: Log
    clock: Clock
    metrics: Metrics
    owner: str
    events_clock: bool = False
