"""Rows out of files, one after the other: what was read is let go before the next comes."""

import codecs
import csv
import io
import math
from collections.abc import Callable, Iterator
from typing import IO, Any

import msgspec

from services.importing import files
from services.importing.files import CSV, JSON_LINES, File
from services.importing.row import Row, Spoilt

BATCH = 20_000
"""Rows of Parquet that are held at once."""

_objects = msgspec.json.Decoder()


class Reader:
    """Reads one file. `done` tells how much of it has been read, in bytes of the file (rows for Parquet)."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.total = file.size
        self._done: Callable[[], int] = int

    def done(self) -> int:
        """How far, against `total`."""
        try:
            return self._done()
        except ValueError:  # the file has been closed: it is read to its end
            return self.total

    def rows(self) -> Iterator[Row | Spoilt]:
        """All rows in their order, and the places at which there is none."""
        if self.file.form == CSV:
            return self._csv()
        return self._json_lines() if self.file.form == JSON_LINES else self._parquet()

    def _csv(self) -> Iterator[Row | Spoilt]:
        stream, self._done = files.open_bytes(self.file)
        csv.field_size_limit(files.LONGEST_FIELD)
        with stream, io.TextIOWrapper(stream, self.file.encoding, "replace", newline="") as text:
            for _ in range(self.file.skip):
                text.readline()
            reader = csv.reader(text, delimiter=self.file.delimiter)
            header: list[str] | None = None
            while True:
                line = reader.line_num + 1 + self.file.skip
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Spoilt(line, b"", f"this is no row of CSV: {error}")
                    continue
                if not any(cells):
                    continue
                if header is None:
                    header = _header(cells)
                elif len(cells) != len(header):
                    yield Spoilt(line, self._joined(cells), _width(len(cells), len(header)))
                else:
                    yield Row(line, dict(zip(header, cells, strict=True)))

    def _joined(self, cells: list[str]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self.file.delimiter, lineterminator="").writerow(cells)
        return text.getvalue().encode("utf-8", "replace")

    def _json_lines(self) -> Iterator[Row | Spoilt]:
        stream, self._done = files.open_bytes(self.file)
        with stream:
            for number, raw in enumerate(self._as_utf8(stream), start=1):
                line = raw.removeprefix(codecs.BOM_UTF8).strip()
                if line:
                    yield _object(number, line)

    def _as_utf8(self, stream: IO[bytes]) -> Iterator[bytes]:
        if self.file.encoding in ("utf-8", "utf-8-sig"):
            yield from stream
        else:
            for line in io.TextIOWrapper(stream, self.file.encoding, "replace"):
                yield line.encode()

    def _parquet(self) -> Iterator[Row | Spoilt]:
        import polars  # noqa: PLC0415 - a second to load, and only here

        frame = polars.scan_parquet(self.file.path)
        self.total = frame.select(polars.len()).collect().item()
        number = 0
        self._done = lambda: number
        for batch in frame.collect_batches(chunk_size=BATCH, maintain_order=True):
            for values in batch.iter_rows(named=True):
                number += 1
                yield Row(number + 1, {name: _settled(value) for name, value in values.items()})


def _header(cells: list[str]) -> list[str]:
    """The names of the columns; a missing or repeated one is told by its position."""
    names: list[str] = []
    for number, cell in enumerate(cells, start=1):
        name = cell.strip().removeprefix("\ufeff") or f"column_{number}"
        names.append(name if name not in names else f"{name}_{number}")
    return names


def _width(found: int, expected: int) -> str:
    return f"this row has {found} fields, the header {expected}"


def _object(number: int, line: bytes) -> Row | Spoilt:
    try:
        found = _objects.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return Spoilt(number, line, f"this line is no JSON: {error}")
    return Row(number, found) if isinstance(found, dict) else Spoilt(number, line, "this line is no JSON object")


def _settled(value: Any) -> Any:
    """A value of Parquet as JSON has it: no NaN, no bytes."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {name: _settled(part) for name, part in value.items() if part is not None}
    return [_settled(part) for part in value] if isinstance(value, list) else value
