"""What segment and campaign keep, held against what they told on their topics.

Their definitions, timers and company settings are not in the log, so their state cannot be made from it; but every
class change and every state of a message is. Compared are: the class of every customer in every segmentation with the
last change told of it, and that his changes follow one another without a gap; the state of every message with the
last one told. A platform that is at work may have decided what it has not told yet.
"""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from services.campaign import tables as campaign
from services.campaign.erasing import NAMELESS
from services.rebuilding.comparing import Difference
from services.segment import tables as segment
from shared.events import messages, segments
from shared.log import Record


class Told:
    """What a topic says, read from its beginning or, where that is gone (`whole` False), from later on.

    `last` is by name what was told last, with its number; `holes` are the customers of whom something was blackened
    when they were erased.
    """

    def __init__(self, whole: bool) -> None:
        self.whole = whole
        self.last: dict[tuple[str, ...], tuple[Any, int]] = {}
        self.holes: set[str] = set()

    def read_change(self, record: Record) -> Difference | None:
        """Take note of a class change; a difference when it does not follow the one before."""
        data = self._data(record, segments.CHANGED)
        if data is None:
            return None
        name, version = (data["segmentation"], data["profile_id"]), data["version"]
        known, number = self.last.get(name, (None, 0))
        if version <= number:
            return None  # an identical copy after a crash
        self.last[name] = (data["to"], version)
        follows = version == number + 1 and data["from"] == known
        if follows or data["profile_id"] in self.holes or (number == 0 and not self.whole):
            return None
        return Difference("change", "/".join(name), [known, number], [data["from"], version])

    def read_message(self, record: Record) -> Difference | None:
        """Take note of a state of a message."""
        data = self._data(record, "message.")
        if data is not None:
            state = json.loads(record.value or b"")["type"].removeprefix("message.")
            self.last[(data["message_id"],)] = (state, 0)
        return None

    def _data(self, record: Record, kind: str) -> dict[str, Any] | None:
        if record.value is None:
            self.holes.add(record.key or "")
            return None
        event = json.loads(record.value)
        data: dict[str, Any] = event["data"]
        return data if event["type"].startswith(kind) else None

    def classes(self, connection: Connection) -> Iterator[Difference]:
        """Memberships that are not what was told last."""
        table = segment.membership
        untold = {name: to for name, (to, _) in self.last.items() if to is not None}
        for row in connection.execute(select(table.c.segmentation, table.c.profile_id, table.c["class"])):
            name = (row.segmentation, row.profile_id)
            told, _ = self.last.get(name, (None, 0))
            untold.pop(name, None)
            if row[2] != told and not self._may_be_missing(name, row.profile_id):
                yield Difference("membership", "/".join(name), row[2], told)
        for missing, to in untold.items():
            if missing[1] not in self.holes:
                yield Difference("membership", "/".join(missing), None, to)

    def states(self, connection: Connection) -> Iterator[Difference]:
        """Messages whose state is not what was told last; those being sent are told when it is known how it went."""
        table = campaign.message
        query = select(table.c.message_id, table.c.profile_id, table.c.state).where(table.c.profile_id != NAMELESS)
        for row in connection.execute(query):
            told, _ = self.last.get((row.message_id,), (None, 0))
            missing = self._may_be_missing((row.message_id,), row.profile_id)
            if row.state not in (told, "sending") and not missing:
                yield Difference("message", row.message_id, row.state, told)

    def _may_be_missing(self, name: tuple[str, ...], profile_id: str) -> bool:
        return profile_id in self.holes or (name not in self.last and not self.whole)


TOPICS = {"segment": segments.TOPIC, "campaign": messages.TOPIC}
READERS = {"segment": Told.read_change, "campaign": Told.read_message}
COMPARED = {"segment": Told.classes, "campaign": Told.states}
