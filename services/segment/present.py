"""The present moment of the segment service: by the wall clock, or by the events that the stage before has applied."""

from datetime import datetime

from shared.runtime.service import Context
from shared.runtime.watermark import latest_event_time

UPSTREAM = (("profile", "interactions"),)
"""The stages before, whose positions bound the timers."""


def by_events(context: Context) -> bool:
    """Whether time is that of the events."""
    return bool(context.settings.get("clock") == "events")


async def present(context: Context) -> datetime:
    """Now. With the clock of the events it is the moment at which a timer that is due now would fire."""
    return await latest_event_time(context.log, UPSTREAM) if by_events(context) else context.clock()
