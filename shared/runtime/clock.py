"""Time as a value that is passed in."""

from collections.abc import Callable
from datetime import UTC, datetime

from shared.events.times import whole_ms

Clock = Callable[[], datetime]
"""Gives the present moment: aware, UTC, whole milliseconds."""


def system() -> datetime:
    """The wall clock."""
    return whole_ms(datetime.now(UTC))
