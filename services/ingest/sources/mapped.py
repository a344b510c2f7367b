"""The events of a webhook's delivery, judged: those that go on, and a letter for every part with a wrong one. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.ingest import letters
from services.ingest.admission import admit
from services.ingest.judging import LARGEST_RECORD, judge, too_large
from services.ingest.model import Accepted, Letter, Rule
from services.ingest.sources.deliveries import Part, envelopes_of, original_of
from services.ingest.sources.document import Source
from shared.errors import InvalidEvent


class Received(NamedTuple):
    """What became of a delivery; `ignored` are the parts to which no rule of the mapping applies."""

    accepted: Sequence[Accepted]
    refused: Sequence[Letter]
    ignored: int


def received(source: Source, parts: Sequence[Part], received_at: datetime, settings: Mapping[str, Any]) -> Received:
    """All parts of a delivery."""
    accepted: list[Accepted] = []
    refused: list[Letter] = []
    ignored = 0
    for index, part in enumerate(parts):
        good, wrong = events_in(source, part, received_at, settings)
        accepted += good
        if wrong is not None:
            original = original_of(source, part)
            refused.append(letters.reject(original, {"source": source.name}, wrong, received_at, index))
        elif not good:
            ignored += 1
    return Received(accepted, refused, ignored)


def events_in(
    source: Source, part: Part, received_at: datetime, settings: Mapping[str, Any]
) -> tuple[list[Accepted], InvalidEvent | None]:
    """The good events of a part, and why there are others in it."""
    rule = Rule(source.document.mode)
    good: list[Accepted] = []
    wrong: InvalidEvent | None = None
    try:
        envelopes = envelopes_of(source, part)
    except InvalidEvent as error:
        return good, error
    for envelope in envelopes:
        try:
            good.append(_event(envelope, rule, received_at, settings))
        except InvalidEvent as error:
            wrong = error if wrong is None else InvalidEvent(wrong.code, (*wrong.faults, *error.faults))
    return good, wrong


def _event(
    envelope: Mapping[str, Any] | InvalidEvent, rule: Rule, received_at: datetime, settings: Mapping[str, Any]
) -> Accepted:
    if isinstance(envelope, InvalidEvent):
        raise envelope
    accepted = judge(envelope, received_at, settings)
    if len(accepted.value) > LARGEST_RECORD:
        raise too_large(LARGEST_RECORD)
    return admit(accepted, rule)
