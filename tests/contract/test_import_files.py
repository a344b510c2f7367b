"""Files as people have them: encodings, delimiters, line numbers, the three forms."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import polars
import pytest

from services.importing.files import File, inspect
from services.importing.reading import Reader
from services.importing.row import Row, Spoilt
from shared.errors import WrongSetting

AT = datetime(2026, 3, 2, 10, tzinfo=UTC).replace(tzinfo=None)


def rows_of(file: File) -> list[Row | Spoilt]:
    reader = Reader(file)
    found = list(reader.rows())
    assert reader.done() == reader.total
    return found


def written(folder: Path, content: bytes, name: str = "f.csv") -> File:
    path = folder / name
    path.write_bytes(content)
    return inspect(path)


@pytest.mark.parametrize(
    ("encoding", "delimiter", "found"),
    [
        ("utf-8", ",", "utf-8"),
        ("utf-8-sig", ";", "utf-8-sig"),
        ("cp1252", "\t", "cp1252"),
        ("utf-16", ";", "utf-16"),
        ("utf-16-le", ",", "utf-16-le"),
        ("utf-8", "|", "utf-8"),
    ],
)
def test_encoding_and_delimiter_are_found_out(tmp_path: Path, encoding: str, delimiter: str, found: str) -> None:
    text = f'name{delimiter}größe\nAna{delimiter}1\n"a{delimiter}b"{delimiter}2\n'
    file = written(tmp_path, text.encode(encoding))
    assert (file.encoding, file.delimiter) == (found, delimiter)
    assert rows_of(file) == [
        Row(2, {"name": "Ana", "größe": "1"}),
        Row(3, {"name": f"a{delimiter}b", "größe": "2"}),
    ]


def test_a_late_letter_decides_the_encoding(tmp_path: Path) -> None:
    file = written(tmp_path, b"a,b\n" + b"x,y\n" * 600_000 + "Müller,1\n".encode("cp1252"))
    assert file.encoding == "cp1252"


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, b'\na,b\n1,"two\nlines"\n\n3\n5,6\n')
    first, spoilt, last = rows_of(file)
    assert first == Row(3, {"a": "1", "b": "two\nlines"})
    assert isinstance(spoilt, Spoilt)
    assert (spoilt.line, spoilt.original) == (6, b"3")
    assert last == Row(7, {"a": "5", "b": "6"})


def test_a_spreadsheets_first_line_names_the_delimiter(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, b"sep=|\na|b;c;d\n1|2\n")) == [Row(3, {"a": "1", "b;c;d": "2"})]


def test_missing_and_repeated_names_of_columns(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, b"a,,a\n1,2,3\n")) == [Row(2, {"a": "1", "column_2": "2", "a_3": "3"})]


def test_a_packed_file(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, gzip.compress(b"a,b\n1,2\n"), "f.csv.gz")) == [Row(2, {"a": "1", "b": "2"})]


def test_json_lines(tmp_path: Path) -> None:
    file = written(tmp_path, b'{"a": 1}\n\nnonsense\n[1]\n{"a": {"b": null}}', "f.jsonl")
    first, bad, array, last = rows_of(file)
    assert (first, last) == (Row(1, {"a": 1}), Row(5, {"a": {"b": None}}))
    assert isinstance(bad, Spoilt)
    assert (bad.line, bad.original) == (3, b"nonsense")
    assert isinstance(array, Spoilt)
    assert array.line == 4


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    polars.DataFrame(
        {
            "id": [1, 2],
            "at": [AT, None],
            "amount": [1.5, float("nan")],
            "items": [[{"sku": "A", "n": None}], []],
        }
    ).write_parquet(path)
    assert rows_of(inspect(path)) == [
        Row(2, {"id": 1, "at": AT, "amount": 1.5, "items": [{"sku": "A"}]}),
        Row(3, {"id": 2, "at": None, "amount": None, "items": []}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("f.json", json.dumps([{"a": 1}]).encode(), "one JSON array"),
        ("f.csv", b"", "is empty"),
        ("f.csv", b" \n\n", "is empty"),
    ],
)
def test_what_is_none_of_the_three(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(WrongSetting, match=said):
        written(tmp_path, content, name)


def test_no_such_file_encoding_or_permission(tmp_path: Path) -> None:
    with pytest.raises(WrongSetting, match="no such file"):
        inspect(tmp_path / "nothing.csv")
    with pytest.raises(WrongSetting, match="cannot be read"):
        inspect(tmp_path)
    (tmp_path / "f.csv").write_text("a,b\n")
    with pytest.raises(WrongSetting, match="latin9000"):
        inspect(tmp_path / "f.csv", encoding="latin9000")


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    one, two = written(tmp_path, b"a,b\n1,2\n", "one.csv"), written(tmp_path, b"a,b\n1,2\n", "two.csv")
    other = written(tmp_path, b"a,b\n1,3\n", "other.csv")
    assert one.digest == two.digest != other.digest
