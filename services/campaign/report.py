"""What a campaign has done: counts of the ledger, and its effect against those who were held out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from services.campaign import tables
from services.campaign.model import FAILED, HELD, HOLD_OUT, PLANNED, REFUSED, SENDING
from services.campaign.uplift import Group, uplift

_ledger = tables.message
_WAS_SENT = _ledger.c.sent_at.is_not(None)
_HELD_OUT = and_(_ledger.c.state == REFUSED, _ledger.c.reason == HOLD_OUT)


class _Count(NamedTuple):
    """How many messages of a step are in a state for a reason, and how far they came."""

    step: int
    state: str
    reason: str | None
    messages: int
    sent: int
    delivered: int
    clicked: int
    converted: int


def report(connection: Connection, campaign: str) -> dict[str, Any]:
    """The report of a campaign; what was delivered, clicked or converted was sent as well, and counts as such.

    The effect is counted in cases (a customer and an occasion): of those written to against those who would have been
    written to at the same moment but for the hold-out.
    """
    counts = _counts(connection, campaign)
    treated, held_out = _groups(connection, campaign)
    effect = uplift(treated, held_out)
    return {
        "campaign": campaign,
        **{name: sum(getattr(count, name) for count in counts) for name in ("sent", "delivered", "clicked")},
        "converted": sum(count.converted for count in counts if count.sent),
        **{state: _in_state(counts, state) for state in (PLANNED, SENDING, HELD, REFUSED, FAILED)},
        "hold_out": held_out.cases,
        "hold_out_converted": held_out.converted,
        "uplift": None
        if effect is None
        else {
            "difference": effect.difference,
            "interval": [effect.low, effect.high],
            "confidence": 0.95,
            "treated": _shown(treated),
            "hold_out": _shown(held_out),
        },
        "refusals": _refusals(counts),
        "steps": [
            {"step": count.step, "state": count.state, "reason": count.reason, "count": count.messages}
            for count in counts
        ],
    }


def _counts(connection: Connection, campaign: str) -> Sequence[_Count]:
    query = (
        select(
            _ledger.c.step,
            _ledger.c.state,
            case((_ledger.c.state.in_((REFUSED, FAILED)), _ledger.c.reason)).label("why"),
            func.count(),
            func.count(_ledger.c.sent_at),
            func.sum(case((or_(_ledger.c.delivered_at.is_not(None), _ledger.c.clicked_at.is_not(None)), 1), else_=0)),
            func.count(_ledger.c.clicked_at),
            func.count(_ledger.c.converted_at),
        )
        .where(_ledger.c.campaign == campaign)
        .group_by("step", "state", "why")
        .order_by("step", "state", "why")
    )
    return [_Count(*row) for row in connection.execute(query)]


def _groups(connection: Connection, campaign: str) -> tuple[Group, Group]:
    """The cases that were written to, and those held out; each counts once however many steps it had."""
    return _group(connection, campaign, _WAS_SENT), _group(connection, campaign, _HELD_OUT)


def _group(connection: Connection, campaign: str, belongs: ColumnElement[bool]) -> Group:
    cases = (
        select(func.max(_ledger.c.converted_at).label("converted_at"))
        .where(_ledger.c.campaign == campaign, belongs)
        .group_by(_ledger.c.profile_id, _ledger.c.occasion)
        .subquery()
    )
    return Group(*connection.execute(select(func.count(), func.count(cases.c.converted_at)).select_from(cases)).one())


def _in_state(counts: Sequence[_Count], state: str) -> int:
    return sum(count.messages for count in counts if count.state == state)


def _refusals(counts: Sequence[_Count]) -> list[dict[str, Any]]:
    by_reason: dict[str, int] = {}
    for count in counts:
        if count.state == REFUSED:
            reason = count.reason or "unknown"
            by_reason[reason] = by_reason.get(reason, 0) + count.messages
    ordered = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    return [{"reason": reason, "count": count} for reason, count in ordered]


def _shown(group: Group) -> dict[str, Any]:
    return {"cases": group.cases, "converted": group.converted, "rate": group.rate}
