"""Topic `dead-letters`: what could not be applied, with its reason and its original bytes."""

import msgspec

TOPIC = "dead-letters"
REJECTED = "event.rejected"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rejected event. `original` is base64 of the bytes as they came; `errors` are `{detail, pointer}`."""

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
