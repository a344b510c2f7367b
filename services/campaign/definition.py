"""Campaign definitions: a strict reading of the YAML or JSON document, and the way back."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from shared.errors import Fault, InvalidEvent
from shared.events.interactions import PAYLOADS

CHANNELS = ("email", "sms", "webhook")
CATEGORIES = ("marketing", "service")
UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
NAME = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,63}")


class DefinitionError(InvalidEvent):
    """A document that cannot be used; `faults` say where (JSON Pointer) and what."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__("invalid_definition", tuple(faults))


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What starts a campaign: an event, or a class change (`from_` None: any; None in it: the first class)."""

    segmentation: str | None = None
    from_: tuple[str | None, ...] | None = None
    to: str | None = None
    event: str | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One message; `wait_ms` counts from the occasion, `unless_converted` skips it once the goal is reached."""

    template: str
    wait_ms: int = 0
    unless_converted: bool = False


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What the campaign wants to happen, and within what time of its occasion."""

    event: str
    within_ms: int


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as defined. `channels` None is the favourite channel; `hold_out` is in millionths."""

    name: str
    on: Trigger
    steps: tuple[Step, ...]
    audience: str | None = None
    channels: tuple[str, ...] | None = None
    hold_out: int = 0
    goal: Goal | None = None
    category: str = "marketing"


def duration(value: object) -> int:
    """`14d`, `12h`, `90m`, `30s`, `2w` in milliseconds. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", value) if isinstance(value, str) else None
    if not found or int(found[1]) == 0:
        raise ValueError("must be a duration such as 21d, 12h or 30m")
    return int(found[1]) * UNITS[found[2]]


def duration_text(milliseconds: int) -> str:
    """The shortest text of a duration that `duration` reads back; days are preferred to weeks."""
    unit = next((u for u in ("d", "h", "m") if milliseconds % UNITS[u] == 0), "s")
    return f"{milliseconds // UNITS[unit]}{unit}"


def unknown_fields(document: Mapping[str, Any], known: Iterable[str], at: str = "") -> list[Fault]:
    """One fault per field that no document of this kind has."""
    return [Fault("is not a known field", f"{at}/{field}") for field in document if field not in set(known)]


class _Reader:
    """Collects the faults of one document, so that all are told at once."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, pointer: str, detail: str) -> None:
        self.faults.append(Fault(detail, pointer))

    def mapping(self, value: object, pointer: str, known: Iterable[str]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.fault(pointer, "must be a mapping")
            return {}
        self.faults += unknown_fields(value, known, pointer)
        return value

    def text(self, value: object, pointer: str, default: str = "") -> str:
        if isinstance(value, str) and value.strip():
            return value
        self.fault(pointer, "must be a text")
        return default

    def one_of(self, value: object, pointer: str, allowed: Iterable[str]) -> str:
        choices = tuple(allowed)
        if value not in choices:
            self.fault(pointer, f"must be one of {', '.join(choices)}")
        return str(value)

    def duration(self, value: object, pointer: str) -> int:
        try:
            return duration(value)
        except ValueError as error:
            self.fault(pointer, str(error))
            return 0


def parse_campaign(document: object) -> Campaign:
    """Read a campaign document; the rule of its audience is not looked into. Raises DefinitionError."""
    reader = _Reader()
    if isinstance(document, Mapping) and True in document:
        # YAML 1.1 reads the bare key `on` as true
        document = {"on" if field is True else field: value for field, value in document.items()}
    known = ("campaign", "on", "audience", "channels", "hold_out", "goal", "steps", "limits")
    fields = reader.mapping(document, "", known)
    name = reader.text(fields.get("campaign"), "/campaign")
    if name and not NAME.fullmatch(name):
        reader.fault("/campaign", "must be a name of small letters, digits, '-', '_' and '.'")
    limits = reader.mapping(fields.get("limits", {}), "/limits", ("category",))
    audience = fields.get("audience")
    goal = _goal(reader, fields.get("goal"))
    campaign = Campaign(
        name=name,
        on=_trigger(reader, fields.get("on")),
        audience=None if audience is None else reader.text(audience, "/audience"),
        channels=_channels(reader, fields.get("channels", "favourite")),
        hold_out=_share(reader, fields.get("hold_out", "0%")),
        goal=goal,
        steps=_steps(reader, fields.get("steps"), goal),
        category=reader.one_of(limits.get("category", "marketing"), "/limits/category", CATEGORIES),
    )
    if reader.faults:
        raise DefinitionError(reader.faults)
    return campaign


def _trigger(reader: _Reader, value: object) -> Trigger:
    fields = reader.mapping(value, "/on", ("segmentation", "from", "to", "event"))
    if "event" in fields:
        if len(fields) > 1:
            reader.fault("/on", "is either a class change or an event")
        return Trigger(event=reader.one_of(fields["event"], "/on/event", PAYLOADS))
    return Trigger(
        segmentation=reader.text(fields.get("segmentation"), "/on/segmentation"),
        from_=_origins(reader, fields.get("from")),
        to=reader.text(fields.get("to"), "/on/to"),
    )


def _origins(reader: _Reader, value: object) -> tuple[str | None, ...] | None:
    if value is None:
        return None
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(o is None or isinstance(o, str) for o in listed):
        reader.fault("/on/from", "must be a list of classes (null is the first class)")
        return None
    return tuple(listed)


def _goal(reader: _Reader, value: object) -> Goal | None:
    if value is None:
        return None
    fields = reader.mapping(value, "/goal", ("event", "within"))
    event = reader.one_of(fields.get("event"), "/goal/event", PAYLOADS)
    return Goal(event=event, within_ms=reader.duration(fields.get("within"), "/goal/within"))


def _channels(reader: _Reader, value: object) -> tuple[str, ...] | None:
    if value == "favourite":
        return None
    if not isinstance(value, list) or not value:
        reader.fault("/channels", "must be favourite or a list of channels in order")
        return None
    return tuple(reader.one_of(channel, f"/channels/{at}", CHANNELS) for at, channel in enumerate(value))


def _share(reader: _Reader, value: object) -> int:
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,4})?)%", str(value))
    millionths = int(Decimal(found[1]) * 10_000) if found else -1
    if not 0 <= millionths < 1_000_000:
        reader.fault("/hold_out", "must be a share such as 10%, below 100%")
        return 0
    return millionths


def _steps(reader: _Reader, value: object, goal: Goal | None) -> tuple[Step, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 20:
        reader.fault("/steps", "must be a list of 1 to 20 steps")
        return ()
    return tuple(_step(reader, step, f"/steps/{at}", goal) for at, step in enumerate(value))


def _step(reader: _Reader, value: object, pointer: str, goal: Goal | None) -> Step:
    fields = reader.mapping(value, pointer, ("template", "wait", "unless"))
    unless = "unless" in fields
    if unless:
        reader.one_of(fields["unless"], f"{pointer}/unless", ("converted",))
        if goal is None:
            reader.fault(f"{pointer}/unless", "needs a goal")
    return Step(
        template=reader.text(fields.get("template"), f"{pointer}/template"),
        wait_ms=reader.duration(fields["wait"], f"{pointer}/wait") if "wait" in fields else 0,
        unless_converted=unless,
    )


def campaign_document(campaign: Campaign) -> dict[str, Any]:
    """The document that parses to this campaign."""
    on = campaign.on
    trigger: dict[str, Any] = {"event": on.event} if on.event else {"segmentation": on.segmentation, "to": on.to}
    if on.from_ is not None:
        trigger["from"] = list(on.from_)
    document: dict[str, Any] = {
        "campaign": campaign.name,
        "on": trigger,
        "channels": "favourite" if campaign.channels is None else list(campaign.channels),
        "hold_out": f"{Decimal(campaign.hold_out) / 10_000:f}%",
        "steps": [_step_document(step) for step in campaign.steps],
        "limits": {"category": campaign.category},
    }
    if campaign.audience is not None:
        document["audience"] = campaign.audience
    if campaign.goal:
        document["goal"] = {"event": campaign.goal.event, "within": duration_text(campaign.goal.within_ms)}
    return document


def _step_document(step: Step) -> dict[str, Any]:
    document: dict[str, Any] = {"template": step.template}
    if step.wait_ms:
        document["wait"] = duration_text(step.wait_ms)
    if step.unless_converted:
        document["unless"] = "converted"
    return document
