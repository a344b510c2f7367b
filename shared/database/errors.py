"""What a driver's error means for the runtime: the server is away, somebody else was faster, or a bug of ours."""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError

from shared.errors import CarteraError, Conflict, Unavailable

RETRY_AT_ONCE = {"40001", "40P01"}
"""Serialization failure and deadlock: the transaction is undone whole and can be repeated as it is."""

READ_ONLY = "25006"

# Of the errors that are not operational by class, these mean that the server cannot be used now.
_AWAY = {READ_ONLY: "it takes no writes now (a standby?)", "25P03": "the transaction was left idle too long"}
# Of SQLite's errors these mean that the file cannot be used at this moment; the others are faults of ours.
_SQLITE_AWAY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY")


def translate(engine: Engine) -> None:
    """From here on the engine raises Unavailable and Conflict in the place of the driver's errors that mean so."""

    @event.listens_for(engine, "handle_error")
    def _translated(context: ExceptionContext) -> None:
        if context.is_pre_ping:
            return
        meaning = meaning_of(context.sqlalchemy_exception, context.original_exception)
        if meaning is not None and not _wrote_as_a_reader(context):
            raise meaning


def _wrote_as_a_reader(context: ExceptionContext) -> bool:
    """A write outside of `transaction`: a fault of ours, whatever the server says."""
    connection = context.connection
    reads = connection is not None and not connection.get_execution_options().get("writes")
    return reads and getattr(context.original_exception, "sqlstate", None) == READ_ONLY


def meaning_of(error: Exception | None, cause: BaseException) -> CarteraError | None:
    """The runtime's error for a driver's, None for one that it must not act on. Data never gets into the message."""
    state: str | None = getattr(cause, "sqlstate", None)
    if state in RETRY_AT_ONCE:
        return Conflict(f"the database undid the transaction: {first_line(cause)}")
    if state in _AWAY:
        return Unavailable(f"the database cannot be used: {_AWAY[state]}")
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    name: str | None = getattr(cause, "sqlite_errorname", None)
    if name is not None and not name.startswith(_SQLITE_AWAY):
        return None
    return Unavailable(f"the database does not answer: {first_line(cause)}")


def first_line(error: Any) -> str:
    """What happened, without the lines after it: they quote the row."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
