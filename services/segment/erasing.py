"""What goes when a customer is erased: everything but that he left his classes, which names nobody."""

from collections.abc import Collection, Sequence

from msgspec.structs import replace
from sqlalchemy import Connection, Table, delete, select, update

from services.segment import tables
from shared.database import among, shred
from shared.events.envelope import decode, encode, raw
from shared.events.erasures import Erasure, confirm, digest_of
from shared.events.identifiers import Identifier
from shared.events.outgoing import Outgoing
from shared.events.profiles import Removal
from shared.events.segments import SegmentChanged, decoder

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
    counts["mentions"] = _strip_near(connection, removal)
    about = Erasure(erasure_id=removal.erasure_id or "", profile_id=removal.profile_id)
    return confirm("segment", about, counts, removal.time)


def _delete(connection: Connection, table: Table, profile_id: str) -> int:
    return connection.execute(delete(table).where(table.c.profile_id == profile_id)).rowcount


def _strip_near(connection: Connection, removal: Removal) -> int:
    """Take the names of the erased out of the class changes of those who had one of them for a while."""
    change = tables.change
    names = frozenset(removal.names)
    count = 0
    for these in among(connection, change.c.profile_id, removal.near):
        for seq, body in connection.execute(select(change.c.seq, change.c.body).where(these)).all():
            event = decode(body)
            told = decoder.decode(event.data)
            left = {kind: value for kind, value in told.customer.items() if not _is_one(kind, value, names)}
            if left != told.customer:
                stripped = encode(replace(event, data=raw(replace(told, customer=left))))
                connection.execute(update(change).where(change.c.seq == seq).values(body=stripped))
                count += 1
    return count


def _is_one(kind: str, value: str, names: Collection[str]) -> bool:
    return digest_of(Identifier(kind, value)) in names
