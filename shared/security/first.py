"""The keys of the first start: made once, told once, and for a data folder of one's own written beside the data."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from shared.errors import WrongSetting
from shared.security.keys import StoredKeys

SCOPES = ("write", "admin")


class FirstKeys(NamedTuple):
    """`created` tells whether a key is new and must be printed; a key that is None was printed at an earlier start."""

    created: bool
    write: str | None
    admin: str | None


def first_keys(keys: StoredKeys, fixed: Mapping[str, str | None], file: Path | None) -> FirstKeys:
    """Make sure that a write and an admin key exist, `fixed` ones going before made ones.

    With a `file` it always holds two keys that work (mode 0600): a key in it that is unknown is accepted, one that was
    revoked is replaced. Without a file a key is made once per database.
    """
    known = _read(file) if file else {}
    texts: dict[str, str | None] = {}
    created = False
    for scope in SCOPES:
        text = fixed.get(scope)
        if not text and file:
            text = known.get(scope) if keys.adopt(known.get(scope, ""), scope) else keys.create(scope).text
            created = created or text != known.get(scope)
        elif not text:
            made = keys.create_first(scope)
            text = made.text if made else None
            created = created or made is not None
        texts[scope] = text
    if file and texts != known:
        _write(file, texts)
    return FirstKeys(created, texts["write"], texts["admin"])


def _read(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise WrongSetting(f"{file} cannot be read: repair it, or remove it to get new keys") from error
    if not isinstance(found, dict):
        raise WrongSetting(f"{file} holds no keys: remove it to get new ones")
    return {scope: text for scope, text in found.items() if isinstance(text, str)}


def _write(file: Path, texts: Mapping[str, str | None]) -> None:
    """Replace the file as a whole; nobody else may read it, not even while it is being written."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(texts, stream)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, file)
