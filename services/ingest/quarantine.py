"""When a sender on a source topic goes mad: what share of each source's events was rejected lately. No I/O.

By REST a sender reads the answer and stops; on a topic nobody answers. So a source of whose events more than half are
rejected is kept out until a person lets it in again; what it sends meanwhile waits as dead letters.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from services.ingest.sources.store import Quarantine
from shared.events.times import from_ms

LEAST = 200
"""Events of a source in a window before its share counts."""

WINDOW_MS = timedelta(minutes=10) // timedelta(milliseconds=1)
"""A window begins with the first event of a source after the one before."""

MOST_SOURCES = 1_000
"""Sources watched at once; the one that was longest silent is forgotten first."""


class _Window(msgspec.Struct):
    began: int
    accepted: int = 0
    rejected: int = 0


class Watch:
    """Counts the events of source topics of one process; times are those of the records, in milliseconds."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._mad: dict[str, Quarantine] = {}

    def count(self, source: str, accepted: bool, at: int) -> None:
        """One event of a source."""
        window = self._windows.get(source)
        if window is None or not 0 <= at - window.began < WINDOW_MS:
            window = self._windows[source] = _Window(at)
        self._windows.move_to_end(source)
        if len(self._windows) > MOST_SOURCES:
            self._windows.popitem(last=False)
        if accepted:
            window.accepted += 1
            return
        window.rejected += 1
        if window.accepted + window.rejected >= LEAST and window.rejected > window.accepted:
            self._mad[source] = Quarantine(source, from_ms(at), window.accepted, window.rejected)

    def take(self) -> Sequence[Quarantine]:
        """The sources that went mad since the last time; their windows begin anew, as after a release they must."""
        found = [self._mad[source] for source in sorted(self._mad)]
        for one in found:
            self._windows.pop(one.source, None)
        self._mad.clear()
        return found
