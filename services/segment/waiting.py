"""Which record of an import must wait: for the close of the day before it, and for the other partitions."""

from collections.abc import Callable

from sqlalchemy import Connection, select

from services.segment import tables
from services.segment.closing import day_of
from services.segment.model import Marked, Seen, SegmentEvent
from services.segment.population import Company, load_company, load_company_alone, save_company
from shared.events.times import to_ms
from shared.runtime.alignment import LAST, Alignment, begin


def hold(connection: Connection, alignment: Alignment) -> Callable[[SegmentEvent], int | None]:
    """Gives the moment (ms) at which a record must wait, None when it need not.

    The first record of a population opens its first day, once all partitions have one. Live records never wait: all
    pass midnight together.
    """
    company = load_company(connection)
    if company.closed_day is None:
        company = load_company_alone(connection)
    return _Waiting(connection, company, alignment).waits


class _Waiting:
    def __init__(self, connection: Connection, company: Company, alignment: Alignment) -> None:
        self._connection = connection
        self._company = company
        self._alignment = alignment
        self._imports = set(company.imports)
        self._looked_at = frozenset() if alignment.alone else _parts_to_recheck(connection)

    def waits(self, event: SegmentEvent) -> int | None:
        if isinstance(event, Marked):
            return self._mark(event)
        if not isinstance(event, Seen) or event.history not in self._imports:
            return None
        at = to_ms(event.at)
        closed = self._closed_day(at)
        return at if closed is None or day_of(at) > closed + 1 or event.part in self._looked_at else None

    def _mark(self, mark: Marked) -> int | None:
        if mark.open:
            begin(self._connection, mark.name)
            self._imports.add(mark.name)
            return None
        behind = not self._alignment.alone and self._alignment.upto < LAST
        return LAST if behind and mark.name in self._imports else None

    def _closed_day(self, at: int) -> int | None:
        """The last closed day; before the first record that is the day before the earliest on any partition."""
        if self._company.closed_day is None:
            earliest = at if self._alignment.alone else self._alignment.upto
            if earliest:
                self._company.closed_day = day_of(earliest) - 1
                save_company(self._connection, self._company)
        return self._company.closed_day


def _parts_to_recheck(connection: Connection) -> frozenset[int]:
    return frozenset(part for (part,) in connection.execute(select(tables.recheck.c.part).distinct()))


__all__ = ["hold"]
