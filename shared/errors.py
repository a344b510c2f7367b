"""What the runtime acts on.

CarteraError
 +- InvalidEvent   the event is wrong for good: dead letter, go on
 |   +- SetAside   nothing is wrong with this one: it waits as a dead letter until somebody lets it in
 +- Unavailable    another system is away: wait and try again, nothing is lost
 +- Conflict       somebody else was faster: read again and retry at once

Everything else is a bug: the consumer stops and its offset stays where it is.
"""

from dataclasses import dataclass


class CarteraError(Exception):
    """Any error this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an event. `pointer` is a JSON Pointer into the CloudEvent, such as `/data/total`."""

    detail: str
    pointer: str = ""


class InvalidEvent(CarteraError):
    """An event that can never be applied. `code` is stable and short (`unknown_type`), `faults` say what and where."""

    def __init__(self, code: str, faults: tuple[Fault, ...]) -> None:
        super().__init__(f"{code}: " + "; ".join(f"{f.pointer or '/'} {f.detail}" for f in faults))
        self.code = code
        self.faults = faults


class SetAside(InvalidEvent):
    """An event that is kept out on purpose, such as one of a source in quarantine; it never stops a consumer."""


class Unavailable(CarteraError):
    """The log, the database or a mail server does not answer. `retry_after` is in whole seconds."""

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(CarteraError):
    """A guard refused a write: another worker owns the partition or has advanced it. Read again before going on."""


class WrongSetting(CarteraError):
    """A setting or an argument cannot be used. The message is one line that says what to do."""
