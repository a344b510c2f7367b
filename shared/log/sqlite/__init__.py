"""The log on one SQLite file: no broker, several processes, every acknowledged record on disk."""

from shared.log.sqlite.batch import partition_of
from shared.log.sqlite.log import SqliteLog, open_log

__all__ = ["SqliteLog", "open_log", "partition_of"]
