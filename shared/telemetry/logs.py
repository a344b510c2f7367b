"""What the processes write about themselves: one JSON object a line, and nothing personal in it.

Only fields of the list below are written, each as a short text or a number; of an exception its type and its places
in the code, never its message, because messages quote the data they failed on. `action` is a fixed word per line.
"""

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

FIELDS = frozenset(
    [
        *("at", "level", "action", "logger", "message", "error", "where", "reason", "state", "code", "type"),
        *("service", "topic", "partition", "offset", "event_id", "count", "seconds", "duration_ms", "attempt", "lag"),
        *("request_id", "correlation_id", "key_id", "method", "route", "status", "host", "port", "version", "path"),
        *("campaign", "segmentation", "channel"),
    ]
)
"""Every field a line may have. `path` is a file of the installation, never a web address; `route` is a pattern."""

MASK = "…"
LONGEST = 200
_ACTION = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAIL = re.compile(r"[^\s\"'<>@,;:()=]+@[^\s\"'<>@,;:()=]+")
_PHONE = re.compile(r"\+?\(?\d(?:[ ().\-/]{0,3}\d){7,}")
_KEY = re.compile(r"cartera_[a-z]+_[0-9A-Za-z]+_[0-9A-Za-z_]+")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.\-]*://)\S+")
_PERSONAL = (_KEY, _MAIL, _PHONE)
# These are digits by nature and come from our own code.
_PLAIN = frozenset({"at", "level", "action", "request_id", "correlation_id", "key_id", "version", "host"})

Line = MutableMapping[str, Any]


def configure(stream: TextIO, level: str = "INFO") -> None:
    """Send this project's lines and those of its libraries (from warnings on) to a stream, usually stderr."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_PROCESSORS, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_LibraryFormatter())
    handler.setLevel(logging.WARNING)
    logging.getLogger().handlers[:] = [handler]
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "aiokafka", "asyncio"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"
    # It repeats every failure ten times a second while brokers are away; the log says once what it means.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def logger() -> FilteringBoundLogger:
    """A logger: `logger().info("batch_failed", service=…, count=…)`; what is bound to the context comes along."""
    bound: FilteringBoundLogger = structlog.get_logger()
    return bound


def scrub(text: str) -> str:
    """A text without e-mail addresses, telephone numbers, keys and what follows `scheme://`, at most 200 characters."""
    text = _ADDRESS.sub(rf"\1{MASK}", text)
    for pattern in _PERSONAL:
        text = pattern.sub(MASK, text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + MASK


def places(error: BaseException) -> list[str]:
    """Where an exception came from, innermost last: `module.py:17 name`, at most twelve."""
    frames = traceback.extract_tb(error.__traceback__)[-12:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]


def _name_action(_logger: Any, _method: str, line: Line) -> Line:
    action = str(line.pop("event", ""))
    line["action"] = action if _ACTION.fullmatch(action) else "unnamed"
    return line


def _describe_error(_logger: Any, _method: str, line: Line) -> Line:
    info = line.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        line["error"] = type(error).__name__
        line["where"] = places(error)
    return line


def _keep_allowed(_logger: Any, _method: str, line: Line) -> Line:
    first = {name: line.pop(name, None) for name in ("at", "level", "action")}
    return {name: _plain(name, value) for name, value in (first | dict(line)).items() if name in FIELDS}


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if name in _PLAIN:
        return str(value)[:LONGEST]
    if name == "where" and isinstance(value, list):
        return [str(place)[:LONGEST] for place in value]
    return scrub(str(value))


_PROCESSORS: list[Any] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    _name_action,
    _describe_error,
    _keep_allowed,
]


class _LibraryFormatter(logging.Formatter):
    """A library's line in the same form: its fixed first line without the values that were to be filled in."""

    def format(self, record: logging.LogRecord) -> str:
        line: Line = {"event": "library", "logger": record.name, "message": str(record.msg).split("\n", 1)[0]}
        if record.exc_info:
            line["exc_info"] = record.exc_info
        for processor in _PROCESSORS:
            line = processor(None, record.levelname.lower(), line)
        return str(structlog.processors.JSONRenderer()(None, "", line))
