"""Puts a rebuilt SQLite file in the place of the live one, in one step, while nobody has either open."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from shared.errors import WrongSetting


def alone(file: Path) -> None:
    """Make a database one file that nobody else has open. Raises WrongSetting while somebody has."""
    with closing(sqlite3.connect(file, timeout=1.0, isolation_level=None)) as connection:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
        except sqlite3.OperationalError:
            mode = "wal"
    if mode != "delete":
        raise WrongSetting(f"{file.name} is in use: stop the platform, then rebuild")


def swap(rebuilt: Path, live: Path) -> None:
    """The rebuilt file takes the name of the live one, whose content is gone with that."""
    alone(live)
    alone(rebuilt)
    os.replace(rebuilt, live)
