"""Hypothesis strategies for interactions of a few people who share devices, mailboxes and phones."""

from typing import Any

from hypothesis import strategies as st

from shared.events.envelope import Event
from tests.builders import interaction

VALUES = {
    "customer_id": ("C1", "C2", "C3", "C4"),
    "loyalty_card": ("L1", "L2"),
    "email": ("a@example.com", "b@example.com", "c@example.com"),
    "phone": ("+34600000001", "+34600000002"),
    "device_id": ("d1", "d2"),
}
"""So few that they collide."""

IDENTIFIERS = tuple((kind, value) for kind, values in VALUES.items() for value in values)

customers = st.fixed_dictionaries(
    {}, optional={kind: st.sampled_from(values) for kind, values in VALUES.items()}
).filter(bool)
minutes = st.integers(0, 1_200_000)
amounts = st.decimals("0.01", "500", places=2).map(str)
channels = st.sampled_from(("email", "sms"))
some = st.sampled_from

_DATA: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "purchase.completed": st.fixed_dictionaries(
        {"order_id": some(("1", "2")), "total": amounts, "currency": some(("EUR", "JPY"))},
        optional={"tax": some(("0.01", "1.50")), "channel": some(("web", "store")), "store_id": some(("M1", "M2"))}
        | {"items": st.lists(st.fixed_dictionaries({"category": some(("Kitchen", "Garden"))}), max_size=3)},
    ),
    "purchase.refunded": st.fixed_dictionaries(
        {"order_id": some(("1", "2")), "total": amounts, "currency": some(("EUR",))}
    ),
    "call.completed": st.fixed_dictionaries(
        {"status": some(("completed", "missed")), "duration_seconds": st.integers(0, 900)},
        optional={"csat": some((1, 5))},
    ),
    "email.opened": st.fixed_dictionaries({"machine": st.booleans()}),
    "email.bounced": st.fixed_dictionaries({"bounce_type": some(("hard", "soft"))}),
    "email.delivered": st.just({}),
    "email.unsubscribed": st.just({}),
    "chat.message": st.fixed_dictionaries({"conversation_id": some(("x", "y"))}),
    "chat.ended": st.fixed_dictionaries({"conversation_id": some(("x", "y")), "resolved": st.booleans()}),
    "customer.identified": st.fixed_dictionaries(
        {"traits": st.dictionaries(some(("name", "region")), some(("Ana", "Bo", None)))}
    ),
    "consent.changed": st.fixed_dictionaries({"channel": channels, "status": some(("granted", "denied"))}),
    "survey.answered": st.fixed_dictionaries({"survey": some(("nps", "csat")), "score": st.integers(0, 10)}),
    "interest.shown": st.fixed_dictionaries({"kind": some(("page_view", "cart"))}),
    "loyalty.adjusted": st.fixed_dictionaries({"points": st.integers(-50, 50)}),
}


@st.composite
def interactions(draw: st.DrawFn) -> Event:
    """One interaction, of any type that is no identity statement."""
    kind = draw(some(tuple(_DATA)))
    return interaction(kind, draw(customers), draw(minutes), **draw(_DATA[kind]))


@st.composite
def consenting(draw: st.DrawFn) -> Event:
    """A consent, or a meeting of identifiers, within so few minutes that moments coincide."""
    kind, data = draw(some(("consent.changed", "email.unsubscribed", "email.opened"))), {}
    if kind == "consent.changed":
        data = {"channel": "email", "status": draw(some(("granted", "denied")))}
    return interaction(kind, draw(customers), draw(st.integers(0, 9)), **data)


@st.composite
def statements(draw: st.DrawFn) -> Event:
    """One explicit identity statement."""
    listed = draw(st.lists(some(IDENTIFIERS), min_size=1, max_size=3, unique=True))
    return interaction(
        draw(some(("customer.linked", "customer.split"))),
        draw(customers),
        draw(minutes),
        identifiers=[{"kind": kind, "value": value} for kind, value in listed],
    )


def _distinct(events: list[Event]) -> tuple[Event, ...]:
    return tuple({event.id: event for event in events}.values())


histories = st.lists(
    st.one_of(interactions(), interactions(), interactions(), statements()), min_size=1, max_size=12
).map(_distinct)
"""Events of a few people, statements among them, none twice."""

disputed = st.lists(st.one_of(consenting(), consenting(), consenting(), statements()), max_size=14).map(_distinct)
"""Mostly consents."""

undisputed = st.lists(consenting(), max_size=14).map(_distinct)
"""Mostly consents, without identity statements."""

peaceful = st.lists(interactions(), min_size=1, max_size=12).map(_distinct)
"""The same without identity statements."""
