"""Keys open what they say and nothing else; a lost secret cannot be read back; revoking works at once."""

import base64
import json
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, event

from services.composition import KEYS
from shared.database import open_sqlite, transaction
from shared.database.migrating import migrate
from shared.errors import Unavailable, WrongSetting
from shared.security import GRANTS, StoredKeys, first_keys, key_id_of, metadata, mint, presented_key

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)


def store(folder: Path, **fixed: str | None) -> StoredKeys:
    engine = open_sqlite(folder / "keys.db")
    migrate(engine, [KEYS])
    return StoredKeys(partial(transaction, engine), lambda: NOW, fixed)


@pytest.mark.parametrize("scope", GRANTS)
def test_a_key_allows_what_its_scope_grants(tmp_path: Path, scope: str) -> None:
    keys = store(tmp_path)
    text = keys.create(scope).text
    assert keys.scopes_of(f"Bearer {text}") == GRANTS[scope]
    assert keys.scopes_of("basic " + base64.b64encode(f"{text}:".encode()).decode()) == GRANTS[scope]


def test_the_grants_are_these() -> None:
    assert GRANTS["write"] == {"write"}
    assert GRANTS["read"] == {"read"}
    assert GRANTS["privacy"] == {"privacy", "read"}
    assert GRANTS["admin"] == {"write", "read", "privacy", "admin"}


def test_an_unknown_scope_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongSetting, match="write, read, privacy, admin"):
        store(tmp_path).create("root")


def test_only_a_digest_is_kept(tmp_path: Path) -> None:
    created = store(tmp_path).create("admin")
    secret = created.text.split("_")[3]
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert created.key.id.encode() in kept
    assert secret.encode() not in kept
    assert bytes.fromhex(secret) not in kept


def test_a_key_of_another_database_opens_nothing(tmp_path: Path) -> None:
    assert store(tmp_path).scopes_of(f"Bearer {mint('admin')}") == frozenset()


def test_a_known_id_with_another_secret_opens_nothing(tmp_path: Path) -> None:
    keys = store(tmp_path)
    own, other = keys.create("write").text.split("_"), mint("write").split("_")
    forged = [*own[:3], other[3]]
    assert keys.scopes_of("Bearer " + with_checksum("_".join(forged))) == frozenset()


def test_the_scope_in_the_text_cannot_be_raised(tmp_path: Path) -> None:
    keys = store(tmp_path)
    body = keys.create("write").text.replace("_write_", "_admin_").rpartition("_")[0]
    assert keys.scopes_of("Bearer " + with_checksum(body)) == frozenset()


def with_checksum(body: str) -> str:
    text = f"{body}_{zlib.crc32(body.encode()):08x}"
    assert key_id_of(text) is not None
    return text


@settings(max_examples=150)
@given(st.integers(0, 90), st.characters(codec="ascii", categories=["L", "N"]))
def test_a_mistyped_key_is_known_by_its_checksum(position: int, typed: str) -> None:
    text = mint("read")
    wrong = text[:position] + typed + text[position + 1 :]
    assert (key_id_of(wrong) is not None) == (wrong == text)


@settings(max_examples=200)
@given(st.text(max_size=80) | st.sampled_from(["Bearer", "Basic", "Basic %%%", "Basic w7w=", "bearer  ", "Digest x"]))
def test_any_header_is_answered_without_an_error(header: str) -> None:
    assert presented_key(header) is None or isinstance(presented_key(header), bytes)
    keys = StoredKeys(create_engine("sqlite://").begin, lambda: NOW)
    assert keys.scopes_of(header) == frozenset()


def test_revoking_works_at_once_and_once(tmp_path: Path) -> None:
    keys = store(tmp_path)
    created = keys.create("write")
    assert keys.scopes_of(f"Bearer {created.text}")
    assert keys.revoke(created.key.id)
    assert keys.scopes_of(f"Bearer {created.text}") == frozenset()
    assert not keys.revoke(created.key.id)
    assert [key.revoked_at for key in keys.list()] == [NOW]


def test_the_list_shows_no_secret(tmp_path: Path) -> None:
    keys = store(tmp_path)
    made = [keys.create("read"), keys.create("write")]
    assert {key.id for key in keys.list()} == {one.key.id for one in made}
    assert not any(one.text.split("_")[3] in repr(keys.list()) for one in made)


def test_fixed_keys_may_be_any_text(tmp_path: Path) -> None:
    keys = store(tmp_path, write="schlüssel 17", admin="s3cret", read=None)
    as_sent = "Bearer schlüssel 17".encode().decode("latin-1")
    assert keys.scopes_of(as_sent) == GRANTS["write"]
    assert keys.scopes_of("Bearer s3cret") == GRANTS["admin"]
    assert keys.scopes_of("Bearer ") == frozenset()
    assert keys.scopes_of(None) == frozenset()


def test_keys_are_read_once_in_five_seconds(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/keys.db")
    metadata.create_all(engine)
    keys = StoredKeys(engine.begin, lambda: NOW)
    header = f"Bearer {keys.create('write').text}"
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *seen: statements.append(str(seen[2])))
    assert not keys.fresh()
    assert all(keys.scopes_of(header) for _ in range(50))
    assert keys.fresh()
    assert len(statements) == 1


def test_keys_read_before_outlive_the_database_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/keys.db")
    away = False

    @contextmanager
    def transaction() -> Iterator[Connection]:
        if away:
            raise Unavailable("away")
        with engine.begin() as connection:
            yield connection

    passed = [1000.0]
    monkeypatch.setattr("shared.security.keys.time.monotonic", lambda: passed[0])
    metadata.create_all(engine)
    keys = StoredKeys(transaction, lambda: NOW)
    header = f"Bearer {keys.create('write').text}"
    assert keys.scopes_of(header)
    away = True
    passed[0] += 60
    assert keys.scopes_of(header) == {"write"}
    passed[0] += 300
    with pytest.raises(Unavailable):
        keys.scopes_of(header)


def test_the_first_start_makes_two_keys_and_the_second_none(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    first = first_keys(store(tmp_path), {}, file)
    again = first_keys(store(tmp_path), {}, file)
    assert first.created
    assert not again.created
    assert (first.write, first.admin) == (again.write, again.admin)
    assert json.loads(file.read_text()) == {"write": first.write, "admin": first.admin}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = store(tmp_path)
    assert keys.scopes_of(f"Bearer {first.write}") == GRANTS["write"]
    assert keys.scopes_of(f"Bearer {first.admin}") == GRANTS["admin"]


def test_without_a_file_the_first_keys_are_told_once(tmp_path: Path) -> None:
    first = first_keys(store(tmp_path), {}, None)
    again = first_keys(store(tmp_path), {}, None)
    assert first.created
    assert first.write
    assert first.admin
    assert again == (False, None, None)
    assert len(store(tmp_path).list()) == 2


def test_fixed_keys_are_not_made_but_stand_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    fixed: dict[str, str | None] = {"write": "w", "admin": None}
    told = first_keys(store(tmp_path, **fixed), fixed, file)
    assert (told.created, told.write) == (True, "w")
    assert json.loads(file.read_text())["write"] == "w"
    assert [key.scope for key in store(tmp_path).list()] == ["admin"]


def test_a_file_always_holds_keys_that_work(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    told = first_keys(store(tmp_path), {}, file)
    assert told.admin
    store(tmp_path).revoke(key_id_of(told.admin) or "")
    renewed = first_keys(store(tmp_path), {}, file)
    assert renewed.created
    assert renewed.write == told.write
    assert store(tmp_path).scopes_of(f"Bearer {renewed.admin}") == GRANTS["admin"]
    (tmp_path / "keys.db").unlink()
    kept = first_keys(store(tmp_path), {}, file)
    assert (kept.created, kept.admin) == (False, renewed.admin)
    assert store(tmp_path).scopes_of(f"Bearer {kept.admin}") == GRANTS["admin"]


def test_a_write_key_in_the_place_of_the_admin_key_is_not_adopted(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    told = first_keys(store(tmp_path), {}, file)
    file.write_text(json.dumps({"write": told.write, "admin": told.write}))
    mended = first_keys(store(tmp_path), {}, file)
    assert store(tmp_path).scopes_of(f"Bearer {mended.admin}") == GRANTS["admin"]


def test_a_broken_file_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text("{")
    with pytest.raises(WrongSetting, match="remove it to get new keys"):
        first_keys(store(tmp_path), {}, file)
