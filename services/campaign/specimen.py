"""A full example customer, against which every template is rendered once before it is put in force."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.campaign.model import Customer, Message, View
from services.campaign.surveys import QUESTIONS
from services.campaign.template import Template, faults_against
from services.campaign.variables import Links, variables
from shared.errors import Fault
from shared.events.identifiers import KINDS
from shared.events.profiles import Known

TRAITS = (
    "name",
    "birth_date",
    "age_band",
    "region",
    "income_band",
    "income_band_rank",
    "company",
    "company_size",
    "job_title",
    "language",
    "timezone",
    "contract_active",
    "preferred_channel",
)
"""The known traits, which stand beside the identifiers as `customer.NAME`; others are `customer.traits.NAME`."""

_NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
_LINKS = Links("https://example.com", dict.fromkeys(QUESTIONS, "https://example.com"))
_SEEN = ("type", "id", "time", "segmentation", "from", "to", "cause")


class _Anything(str):
    """A value of whatever kind a template expects: a text whose every member is a value again."""

    __slots__ = ()

    def __getitem__(self, key: object) -> Any:
        return super().__getitem__(key) if isinstance(key, int | slice) else self


class _Anyhow(dict[str, Any]):
    """A mapping that has every name."""

    def __missing__(self, name: str) -> Any:
        return _Anything("example")


def specimen() -> Mapping[str, Any]:
    """The variables of a message to somebody of whom everything is known, in the shape that messages see."""
    view = View(
        profile_id="00000000-0000-0000-0000-000000000000",
        version=1,
        identifiers=tuple(Known(kind, "example", _NOW) for kind in KINDS),
        traits={**dict.fromkeys(TRAITS, "example"), "name": "Ana Example"},
    )
    message = Message(
        message_id=view.profile_id,
        campaign="example",
        step=0,
        profile_id=view.profile_id,
        occasion="example",
        occurred_at=0,
        due_at=0,
        changed_at=0,
        planned_at=0,
    )
    seen = dict(variables(message, Customer(profile_id=view.profile_id, view=view), _LINKS, _NOW))
    customer = {**seen["customer"], "traits": _Anyhow(), "classes": _Anyhow()}
    money = {"revenue": _Anyhow(), "average_order_value": _Anyhow()}
    customer["purchases"] = {**customer["purchases"], **money, "first_at": str(_NOW), "last_at": str(_NOW)}
    event = {**dict.fromkeys(_SEEN, "example"), "evidence": _Anyhow()}
    return {**seen, "customer": customer, "event": event, "recommendations": [_Anyhow()]}


def unknown_variables(template: Template) -> list[Fault]:
    """What no message could fill in, by the part of the template it stands in."""
    full = specimen()
    faults = faults_against(template, full)
    return faults or faults_against(template, {**full, "recommendations": []})
