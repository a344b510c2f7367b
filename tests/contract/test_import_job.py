"""An import into the log: in time order between its marks, once, whatever stops it; bad rows as dead letters."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services import composition
from services.importing import appending
from services.importing.job import Job, prepare, stage
from services.importing.map_file import wanted
from services.importing.staging import Staging
from shared.config import read_settings
from shared.errors import Unavailable, WrongSetting
from shared.events.dead_letters import TOPIC as LETTERS
from shared.events.envelope import decode
from shared.events.interactions import BEGIN, END, TOPIC
from shared.events.outgoing import Outgoing
from shared.log import Log, Position, Told, TopicPartition
from shared.log.sqlite import open_log

NOW = datetime(2026, 4, 1, tzinfo=UTC)
HEADER = "customer_id,order_id,time,sku,quantity,unit_price\n"


def quiet(step: str, done: int, total: int) -> None:
    """Nobody looks."""


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    opened = open_log(tmp_path / "log.db", 1, clock=lambda: 1_775_000_000_000)
    yield opened
    await opened.close()


def job_of(folder: Path, text: str, kind: str = "purchases", **map_: Any) -> Job:
    path = folder / "orders.csv"
    path.write_text(text)
    return prepare([path], kind, wanted(map_ or None, kind, "map"), None, "EUR")


def staged(folder: Path, job: Job, received_at: datetime = NOW) -> tuple[Staging, dict[str, Any]]:
    staging = Staging(folder / "imports", job.name)
    admit = composition.admission(read_settings(data_dir=folder / "data", currency="EUR"))
    return staging, stage(job, staging, admit, received_at, quiet)


async def read_all(log: Log, topic: str) -> list[dict[str, Any]]:
    place = TopicPartition(topic, 0)
    found = []
    for offset in range((await log.ends(topic)).get(place, 0)):
        record = await log.read(place, offset)
        assert record is not None
        assert record.value is not None
        found.append(json.loads(record.value))
    return found


class Torn:
    """A log that goes away after some appends; what it acknowledged is there."""

    def __init__(self, log: Log, appends: int) -> None:
        self._log = log
        self._left = appends

    async def append(self, records: Sequence[Outgoing], at: Told | None = None) -> None:
        if not self._left:
            raise Unavailable("torn")
        self._left -= 1
        await self._log.append(records, at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


ROWS = [
    "C-2,2,2026-03-05T10:00:00Z,A,1,2.00",
    "C-1,1,2026-03-02T10:00:00Z,A,1,2.00",
    ",3,2026-03-02T10:00:00Z,A,1,2.00",
    "C-2,2,2026-03-05T10:00:00Z,B,2,1.50",
    "C-1,4,2026-03-04T10:00:00Z,A,1,2.00",
    "C-1,5,2026-03-04T10:00:00Z",
    "C-1,4,2026-03-04T10:00:00Z,B,two,2.00",
    "C-3,6,,A,1,2.00",
]


async def test_events_in_time_order_between_their_marks(tmp_path: Path, log: Log) -> None:
    job = job_of(tmp_path, HEADER + "\n".join(ROWS))
    staging, summary = staged(tmp_path, job)
    assert await appending.append(log, job.name, staging, quiet, send=None) == 4 + 4
    events = await read_all(log, TOPIC)
    assert [event["type"] for event in events] == [BEGIN, "purchase.completed", "purchase.completed", END]
    assert [event["id"] for event in events[1:3]] == ["1", "2"]
    assert [event["time"] for event in events] == [
        *("2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z"),
        *("2026-03-05T10:00:00Z", "2026-03-05T10:00:00Z"),
    ]
    assert {event["source"] for event in events[1:3]} == {"import/orders.csv"}
    assert {event["history"] for event in events[1:3]} == {job.name}
    assert [event["data"] for event in (events[0], events[-1])] == [{"name": job.name, "send": None}] * 2
    assert events[2]["data"]["total"] == "5.00"
    assert (summary["rows"], summary["events"], summary["rejected"]) == (8, 2, 4)
    staging.close()


async def test_bad_rows_are_dead_letters_with_file_and_line(tmp_path: Path, log: Log) -> None:
    job = job_of(tmp_path, HEADER + "\n".join(ROWS))
    staging, summary = staged(tmp_path, job)
    await appending.append(log, job.name, staging, quiet, send=None)
    letters = [letter["data"] for letter in await read_all(log, LETTERS)]
    shown = sorted((x["file"], x["line"], x["code"], x["errors"][0]["pointer"]) for x in letters)
    assert shown == [
        ("orders.csv", 4, "invalid_event", "/data/customer"),
        ("orders.csv", 7, "invalid_row", ""),
        ("orders.csv", 8, "invalid_event", "/data/items/1/quantity"),
        ("orders.csv", 9, "invalid_envelope", "/time"),
    ]
    assert [(one["line"], one["code"]) for one in summary["reasons"]] == [(line, code) for _, line, code, _ in shown]
    originals = {x["line"]: base64.b64decode(x["original_base64"]) for x in letters}
    assert originals[7] == b"C-1,5,2026-03-04T10:00:00Z"
    assert json.loads(originals[8])["data"]["items"][1] == {"sku": "B", "quantity": "two", "unit_price": "2.00"}
    staging.close()


@pytest.mark.parametrize("appends", range(6))
async def test_torn_anywhere_it_goes_on_exactly_there(
    tmp_path: Path, log: Log, appends: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.importing.staging.CHUNK", 2)
    text = HEADER + "\n".join([*ROWS, *(f"C-{n},{n},2026-03-06T10:00:{n}Z,A,1,1" for n in range(10, 15))])
    job = job_of(tmp_path, text)
    staging, _ = staged(tmp_path, job)
    torn: Any = Torn(log, appends)
    with pytest.raises(Unavailable):
        await appending.append(torn, job.name, staging, quiet, send=None)
    before = (await appending.progress(log, job.name)).number
    staging.close(remove=appends % 2 == 0)  # with and without what was staged
    staging, _ = staged(tmp_path, job)
    assert await appending.append(log, job.name, staging, quiet, send=None) == 4 + 9 - before
    assert await appending.append(log, job.name, staging, quiet, send=None) == 0
    events = await read_all(log, TOPIC)
    assert [event["id"] for event in events[1:-1]] == ["1", "2", *(str(n) for n in range(10, 15))]
    assert [event["type"] for event in (events[0], events[-1])] == [BEGIN, END]
    assert len(await read_all(log, LETTERS)) == 4
    staging.close()


async def test_what_the_log_holds_of_another_order_is_appended_anew(tmp_path: Path, log: Log) -> None:
    job = job_of(tmp_path, HEADER + "\n".join(ROWS))
    await log.tell(Told(job.name, {appending.PLACE: (await _told(log, 6, 1))}))
    staging, _ = staged(tmp_path, job)
    assert await appending.append(log, job.name, staging, quiet, send=None) == 8
    staging.close()


async def _told(log: Log, count: int, at: int) -> Any:
    return Position(count, at, 0)


async def test_an_interrupted_import_can_be_ended(tmp_path: Path, log: Log) -> None:
    job = job_of(tmp_path, HEADER + ROWS[0])
    assert not await appending.end(log, job.name)
    staging, _ = staged(tmp_path, job)
    torn: Any = Torn(log, 1)
    with pytest.raises(Unavailable):
        await appending.append(torn, job.name, staging, quiet, send=None)
    assert await appending.end(log, job.name)
    assert not await appending.end(log, job.name)
    assert [event["type"] for event in await read_all(log, TOPIC)] == [BEGIN, "purchase.completed", END]
    assert await appending.append(log, job.name, staging, quiet, send=None) == 0
    staging.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    staging = Staging(tmp_path, "import-1")
    with pytest.raises(WrongSetting, match="running already"):
        Staging(tmp_path, "import-1")
    staging.close(remove=True)
    assert list(tmp_path.iterdir()) == []
    Staging(tmp_path, "import-1").close()


def test_totals_of_lines_are_told_from_totals_of_orders(tmp_path: Path) -> None:
    header = "customer_id,order_id,time,total\n"

    def total_of_the_first(rows: list[tuple[str, str]]) -> Any:
        text = header + "\n".join(f"C-1,{order},2026-03-02,{total}" for order, total in rows)
        staging, _ = staged(tmp_path, job_of(tmp_path, text))
        (page,) = staging.events(staging.counts()[0])
        staging.close(remove=True)
        return json.loads(bytes(decode(page[0][2]).data))["total"]

    assert total_of_the_first([("1", "2"), ("1", "2"), ("2", "3"), ("2", "4"), ("3", "5"), ("3", "7")]) == "4"
    assert total_of_the_first([("1", "2"), ("1", "2"), ("2", "3"), ("2", "3"), ("3", "5"), ("3", "7")]) == "2"


def test_the_name_follows_from_the_content_and_the_way_it_is_read(tmp_path: Path) -> None:
    one = job_of(tmp_path, HEADER + ROWS[0])
    assert one.name == job_of(tmp_path, HEADER + ROWS[0]).name
    assert one.name != job_of(tmp_path, HEADER + ROWS[1]).name
    assert one.name != job_of(tmp_path, HEADER + ROWS[0], negative="refund").name


async def test_times_in_the_future_and_missing_times(tmp_path: Path, log: Log) -> None:
    job = job_of(tmp_path, "customer_id,name,time\nC-1,Ana,2099-01-01\nC-2,Bo,\n", "customers")
    staging, summary = staged(tmp_path, job)
    assert (summary["first_at"], summary["last_at"]) == ("2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z")
    staging.close()
