"""Topic `dead-letters`: what could not be applied, with its reason and its original bytes."""

import msgspec

TOPIC = "dead-letters"
REJECTED = "event.rejected"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rejected event. `original` is base64 of the bytes as they came; `errors` are `{detail, pointer}`.

    `headers` are those of the record it came with, each a name and the base64 of its bytes: in binary mode they hold
    all attributes of the event.
    """

    id: str
    source: str
    code: str
    errors: tuple[dict[str, str], ...]
    original_base64: str
    service: str = "ingest"
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    file: str | None = None
    line: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
