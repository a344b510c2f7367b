"""The files of an import: what each is, found out by reading it once from end to end, and its digest."""

import codecs
import csv
import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

from shared.errors import WrongSetting

CSV, JSON_LINES, PARQUET = "CSV", "JSON Lines", "Parquet"
BLOCK = 1 << 20
DELIMITERS = ",;\t|"
LONGEST_FIELD = 1 << 20
"""Characters of one field of CSV at most."""

_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class File(NamedTuple):
    """A file and how it is to be read. `skip` are the lines before its header; `size` is in bytes as it lies there."""

    path: Path
    form: str
    digest: str
    size: int
    encoding: str = "utf-8"
    delimiter: str = ","
    skip: int = 0

    def shown(self) -> str:
        """The form for people: `CSV (semicolon, utf-8)`."""
        if self.form == CSV:
            return f"{CSV} ({_NAMES.get(self.delimiter, self.delimiter)}, {self.encoding})"
        return self.form


def inspect(path: Path, encoding: str | None = None, delimiter: str | None = None) -> File:
    """Find out what a file is. Raises WrongSetting for one that cannot be read or is none of the three forms."""
    try:
        head, digest, is_utf8 = _read_through(path)
        size = path.stat().st_size
    except FileNotFoundError:
        raise WrongSetting(f"{path}: there is no such file") from None
    except OSError as error:
        raise WrongSetting(f"{path}: cannot be read ({error.strerror or error})") from error
    if head.startswith(_PARQUET):
        return File(path, PARQUET, digest, size)
    chosen = _known(encoding, path) or _encoding(head, is_utf8)
    first = head.decode(chosen, "replace").lstrip("\ufeff \r\n\t")
    name = path.name.lower().removesuffix(".gz")
    if first.startswith("[") and not name.endswith(".csv"):
        raise WrongSetting(f"{path}: is one JSON array: write one object a line (`jq -c '.[]' {path.name}`)")
    if first.startswith("{") and not name.endswith(".csv"):
        return File(path, JSON_LINES, digest, size, chosen)
    if not first:
        raise WrongSetting(f"{path}: is empty")
    return _csv(path, digest, size, chosen, delimiter)


def open_bytes(file: File) -> tuple[IO[bytes], Callable[[], int]]:
    """The file from its beginning, unpacked, and a function that tells how many of its bytes have been read."""
    raw = file.path.open("rb")
    if raw.peek(2)[:2] != _GZIP:
        return raw, raw.tell
    return cast(IO[bytes], _Unpacked(raw)), raw.tell


class _Unpacked(gzip.GzipFile):
    """Closes the file below with itself."""

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__(fileobj=cast(BinaryIO, raw))
        self._raw = raw

    def close(self) -> None:
        super().close()
        self._raw.close()


def _read_through(path: Path) -> tuple[bytes, str, bool]:
    """The first block unpacked, the digest of the file, and whether all of it is UTF-8."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == _GZIP
        while block := raw.read(BLOCK):
            digest.update(block)
    decoder = codecs.getincrementaldecoder("utf-8")()
    head, is_utf8 = b"", True
    with gzip.open(path) if packed else path.open("rb") as text:
        while block := text.read(BLOCK):
            head = head or block
            if head.startswith(_PARQUET):
                break
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                is_utf8 = False
                break
    return head, digest.hexdigest(), is_utf8


def _known(encoding: str | None, path: Path) -> str | None:
    if encoding is None:
        return None
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise WrongSetting(f"{path}: encoding {encoding!r} is unknown; say utf-8, cp1252 or another") from None


def _encoding(head: bytes, is_utf8: bool) -> str:
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if head[:4000].count(b"\x00") > len(head[:4000]) // 4:
        return "utf-16-le" if head[1:2] == b"\x00" else "utf-16-be"
    return "utf-8" if is_utf8 else "cp1252"


def _csv(path: Path, digest: str, size: int, encoding: str, delimiter: str | None) -> File:
    file = File(path, CSV, digest, size, encoding)
    stream, _ = open_bytes(file)
    with stream:
        lines = [line.decode(encoding, "replace") for line in islice(stream, 200)] if "16" not in encoding else []
        if "16" in encoding:
            lines = list(islice(codecs.getreader(encoding)(stream), 200))
    skip = 0
    if lines and (said := re.fullmatch(r"\ufeff?sep=(.)\s*", lines[0])):
        delimiter, skip = delimiter or said[1], 1
    return file._replace(delimiter=delimiter or _delimiter(lines), skip=skip)


def _delimiter(lines: list[str]) -> str:
    """The sign at which the first lines fall into the most even numbers of fields."""
    best, most = ",", (0.0, 0)
    for sign in DELIMITERS:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=sign) if row)
        if not widths:
            continue
        width, often = widths.most_common(1)[0]
        score = (often / sum(widths.values()), width) if width > 1 else (0.0, 0)
        if score > most:
            best, most = sign, score
    return best
