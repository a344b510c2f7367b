"""The present of the campaign service: the wall clock, or under the events clock the time of the latest event."""

from datetime import datetime

from shared.runtime.service import Context
from shared.runtime.watermark import latest_event_time

UPSTREAM = (("profile", "interactions"), ("segment", "profiles"))
"""The stages before this service, from the entrance on."""


async def present(context: Context) -> datetime:
    """What the time is. With the events clock a wall clock would date things years after what they answer."""
    if context.settings.get("clock") != "events":
        return context.clock()
    return await latest_event_time(context.log, UPSTREAM)
