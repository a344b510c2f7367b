"""What goes when a customer is erased: everything but that he left his classes, which names nobody."""

from collections.abc import Sequence

from sqlalchemy import Connection, Table, delete, select

from services.segment import tables
from shared.database import among, shred
from shared.events.erasures import Erasure, confirm
from shared.events.outgoing import Outgoing
from shared.events.profiles import Removal
from shared.events.segments import SegmentChanged

_WHOLE = (
    tables.customer,
    tables.due,
    tables.recheck,
    tables.membership,
    tables.features,
    tables.feature_day,
    tables.rolling,
)


def erase(connection: Connection, removals: Sequence[Removal], left: Sequence[SegmentChanged]) -> list[Outgoing]:
    """Delete the rows of erased customers, all but the changes by which they left, and tell how many they were."""
    if not removals:
        return []
    shred(connection)
    kept = {(change.profile_id, change.segmentation, change.version) for change in left}
    return [_erased(connection, removal, kept) for removal in removals]


def _erased(connection: Connection, removal: Removal, kept: set[tuple[str, str, int]]) -> Outgoing:
    counts = {table.name: _delete(connection, table, removal.profile_id) for table in _WHOLE}
    change = tables.change
    key = (change.c.profile_id, change.c.segmentation, change.c.version)
    rows = connection.execute(select(change.c.seq, *key).where(change.c.profile_id == removal.profile_id)).all()
    gone = [row[0] for row in rows if tuple(row[1:]) not in kept]
    for these in among(connection, change.c.seq, gone):
        connection.execute(delete(change).where(these))
    counts["change"] = len(gone)
    about = Erasure(erasure_id=removal.erasure_id or "", profile_id=removal.profile_id)
    return confirm("segment", about, counts, removal.time)


def _delete(connection: Connection, table: Table, profile_id: str) -> int:
    return connection.execute(delete(table).where(table.c.profile_id == profile_id)).rowcount
