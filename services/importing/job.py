"""One import from end to end: look at the files, stage what they hold, append it between its marks."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from services.importing.admission import Admit, Refused, letter, original_of
from services.importing.composing import LARGEST_ORDER, Composed, compose
from services.importing.drafting import Drafting
from services.importing.files import File, inspect
from services.importing.map_file import Wanted
from services.importing.mapping import SAMPLE, Plan, plan
from services.importing.reading import Reader
from services.importing.row import Row, Spoilt
from services.importing.staging import CHUNK, LETTER, Staged, Staging
from shared.errors import Fault, InvalidEvent
from shared.events.times import from_ms, rfc3339

REASONS = 10
"""So many refusals are told in the summary; all are dead letters."""

Report = Callable[[str, int, int], None]
"""Told how far a step is: its name, done, of how many."""


class Job(NamedTuple):
    """An import before it runs. `name` follows from the content of the files and from how they are read."""

    name: str
    files: Sequence[File]
    sources: Sequence[str]
    plan: Plan


def prepare(paths: Sequence[Path], kind: str, wanted: Wanted, source: str | None, currency: str) -> Job:
    """Look at the files and decide how they are read. Raises WrongSetting."""
    found = [inspect(path, wanted.encoding, wanted.delimiter) for path in paths]
    samples = [row.values for file in found for row in _first_rows(file)]
    columns = list(dict.fromkeys(name for values in samples for name in values))
    chosen = plan(kind, wanted, columns, samples, currency)
    sources = [source or f"import/{file.path.name}" for file in found]
    digest = hashlib.blake2b(digest_size=8)
    digest.update(msgspec.json.encode([[file.digest for file in found], sources, chosen]))
    return Job(f"import-{digest.hexdigest()}", found, sources, chosen)


def _first_rows(file: File) -> Iterator[Row]:
    rows = Reader(file).rows()
    return islice((row for row in rows if isinstance(row, Row)), SAMPLE)


def stage(job: Job, staging: Staging, admit: Admit, received_at: datetime, report: Report) -> dict[str, Any]:
    """Read, judge and sort everything; the summary. What is complete already is not done again."""
    known = staging.summary()
    if known is not None:
        return known
    staging.start()
    stager = _Stager(job, staging, admit, received_at, report)
    stager.read()
    stager.judge()
    summary = stager.summary()
    staging.complete(summary)
    return summary


class _Stager:
    def __init__(self, job: Job, staging: Staging, admit: Admit, received_at: datetime, report: Report) -> None:
        self._job = job
        self._staging = staging
        self._admit = admit
        self._received_at = received_at
        self._report = report
        self._rows = self._events = self._refused = 0
        self._reasons: list[dict[str, Any]] = []
        self._waiting: list[tuple[int, str, bytes]] = []

    def read(self) -> None:
        drafting = Drafting(self._job.plan)
        readers = [Reader(file) for file in self._job.files]
        pages = ((number, page) for number, reader in enumerate(readers) for page in _pages(reader.rows()))
        for number, page in pages:
            drafted: list[tuple[str, Staged]] = []
            for row in page:
                self._rows += 1
                if isinstance(row, Spoilt):
                    error = InvalidEvent("invalid_row", (Fault(row.detail),))
                    self._refuse(Refused(self._job.sources[number], self._name(number), row.line, row.original, error))
                else:
                    draft = drafting.draft(row)
                    part = f"{self._job.sources[number]}\n{draft.group}"
                    drafted.append((part, Staged(number, row.line, draft)))
            self._staging.add_rows(drafted)
            self._report("reading", sum(r.done() for r in readers[: number + 1]), sum(r.total for r in readers))
        self._flush()

    def judge(self) -> None:
        job, judged = self._job, 0
        total_of = job.plan.total or ("line" if self._staging.totals_differ() else "order")
        for group in self._staging.groups(LARGEST_ORDER):
            drafts = [staged.draft for staged in group]
            for composed in compose(drafts, job.sources[group[0].file], job.plan, total_of):
                self._take(composed, group)
            judged += len(group)
            if len(self._waiting) >= CHUNK:
                self._flush()
                self._report("checking", judged, self._rows)
        self._flush()
        self._report("checking", self._rows, self._rows)

    def _take(self, composed: Composed, group: Sequence[Staged]) -> None:
        try:
            if composed.refusal is not None:
                raise InvalidEvent("invalid_event", (Fault(composed.refusal, "/data"),))
            admitted = self._admit(composed.envelope, self._received_at, self._job.name)
            if self._job.plan.kind != "customers" and composed.envelope.get("time") is None:
                raise InvalidEvent("invalid_envelope", (Fault("history needs a time", "/time"),))
        except InvalidEvent as error:
            place = group[_guilty(composed, error)]
            source = str(composed.envelope.get("source", self._job.sources[place.file]))
            original = original_of(composed.envelope)
            self._refuse(Refused(source, self._name(place.file), place.line, original, error))
            return
        self._events += 1
        self._waiting.append((admitted.at, admitted.key, admitted.value))

    def _refuse(self, refused: Refused) -> None:
        self._refused += 1
        if len(self._reasons) < REASONS:
            self._reasons.append(refused.shown())
        self._waiting.append((LETTER, *letter(refused, self._received_at)))

    def _flush(self) -> None:
        self._staging.add_events(self._waiting)
        self._waiting.clear()

    def _name(self, number: int) -> str:
        return self._job.files[number].path.name

    def summary(self) -> dict[str, Any]:
        bounds = self._staging.bounds()
        first, last = bounds or (None, None)
        return {
            "import": self._job.name,
            "begun_at": rfc3339(self._received_at),
            "rows": self._rows,
            "events": self._events,
            "rejected": self._refused,
            "first_at": None if first is None else rfc3339(from_ms(first)),
            "last_at": None if last is None else rfc3339(from_ms(last)),
            "reasons": sorted(self._reasons, key=lambda one: (one["file"], one["line"])),
        }


def _pages(rows: Iterator[Row | Spoilt]) -> Iterator[list[Row | Spoilt]]:
    for first in rows:
        yield list(chain((first,), islice(rows, CHUNK - 1)))


def _guilty(composed: Composed, error: InvalidEvent) -> int:
    """The row of an order that a fault is about: that of the item it points to, else the first."""
    for fault in error.faults:
        place = fault.pointer.split("/")
        items = composed.envelope.get("data", {}).get("items", ())
        if place[1:3] == ["data", "items"] and len(place) > 3 and len(items) == len(composed.rows):
            return composed.rows[int(place[3])] if place[3].isdigit() else composed.rows[0]
    return composed.rows[0]
