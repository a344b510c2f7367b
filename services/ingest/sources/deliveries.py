"""What a webhook has delivered: its body in parts that can be mapped, kept and mapped again one by one. Pure.

A part keeps the bytes as they came, with the headers that the mapping looks at, so that a dead letter of it can be
mapped again when the mapping has been mended.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from services.ingest.cloudevents import read_json
from services.ingest.sources.document import Source
from services.ingest.sources.mapping import UNMAPPED, Mapped, events_of
from shared.errors import Fault, InvalidEvent


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One part of a delivery to a source; a form is kept as its pairs of names and values.

    `customers` are those whom the mapping found in it when it was kept: by them it is found when one is erased.
    """

    webhook: str
    headers: dict[str, str]
    body: msgspec.Raw
    customers: list[Any] = []


_part = msgspec.json.Decoder(Part)
_items = msgspec.json.Decoder(list[msgspec.Raw])


def parts_of(source: Source, headers: Mapping[str, str], body: bytes) -> list[Part]:
    """The parts of a body: the items of an array each alone, else the whole. Raises InvalidEvent `invalid_json`."""
    seen = {name: headers[name] for name in source.header_names if name in headers}
    if source.format == "form":
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        return [Part(source.name, seen, msgspec.Raw(msgspec.json.encode(pairs)))]
    if not isinstance(read_json(body), list):
        return [Part(source.name, seen, msgspec.Raw(body))]
    return [Part(source.name, seen, msgspec.Raw(b"[" + bytes(item) + b"]")) for item in _items.decode(body)]


def original_of(source: Source, part: Part) -> bytes:
    """A part as it is kept in a dead letter."""
    try:
        found = [one["data"].get("customer") for one in envelopes_of(source, part) if isinstance(one, dict)]
    except InvalidEvent:
        found = []
    return msgspec.json.encode(msgspec.structs.replace(part, customers=[one for one in found if one]))


def part_in(original: bytes) -> Part | None:
    """The part that a dead letter keeps; None when it keeps something else."""
    try:
        return _part.decode(original)
    except (msgspec.DecodeError, RecursionError):
        return None


def envelopes_of(source: Source, part: Part) -> Sequence[Mapped]:
    """The CloudEvents of a part, by the mapping as it is now. Raises InvalidEvent when it is no payload at all."""
    payload = read_json(bytes(part.body))
    if source.format == "form":
        payload = dict(payload) if isinstance(payload, list) else None
    if not isinstance(payload, dict | list):
        raise InvalidEvent(UNMAPPED, (Fault("the payload is no object"),))
    return events_of(source.rules, source.name, part.headers, payload)
