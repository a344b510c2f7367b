"""The record of a customer: the join of what his identifiers counted. Pure, and equal evidence gives equal bytes."""

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import reduce

from services.profile.consents import consents
from services.profile.joining import distinct, join
from services.profile.model import Cluster, Component
from services.profile.tally import EMPTY, Bought, Chatted, Mailed, Tally
from shared.events.identifiers import PRIORITY, Identifier
from shared.events.money import to_text
from shared.events.profiles import (
    Calls,
    Chats,
    Emails,
    Interests,
    Known,
    Loyalty,
    Preferences,
    Profile,
    Purchases,
    Satisfaction,
)
from shared.events.times import from_ms


def record(component: Component, cluster: Cluster) -> Profile:
    """The record of one customer of a component.

    Of each kind the identifiers that interactions named stand before those that were only stated: the first is shown.
    """
    names = sorted(cluster.members, key=lambda name: (PRIORITY[name.kind], _is_stated(component, name), name.value))
    nodes = [component.nodes[name] for name in names]
    tally = reduce(join, (node.tally for node in nodes if node.tally.first is not None), EMPTY)
    first = tally.first if tally.first is not None else min(node.since for node in nodes)[0]
    last = tally.last if tally.last is not None else max(node.since for node in nodes)[0]
    return Profile(
        profile_id=cluster.id,
        version=cluster.version,
        aliases=cluster.aliases,
        identifiers=tuple(
            Known(name.kind, name.value, from_ms(node.since[0])) for name, node in zip(names, nodes, strict=True)
        ),
        traits={name: trait.value for name, trait in sorted(tally.traits.items()) if trait.value is not None},
        consents=consents(component, names),
        first_seen_at=from_ms(first),
        last_seen_at=from_ms(last),
        purchases=_purchases(tally.bought),
        calls=Calls(
            tally.called.count,
            tally.called.inbound,
            tally.called.outbound,
            tally.called.missed,
            tally.called.duration,
            _moment(tally.called.last),
        ),
        emails=_emails(tally.mailed),
        chats=_chats(tally.chatted),
        interest=Interests(tally.interested.count, _moment(tally.interested.last), dict(tally.interested.days)),
        satisfaction=_satisfaction(tally),
        preferences=_preferences(tally.bought),
        loyalty=Loyalty(tally.points),
    )


def _is_stated(component: Component, name: Identifier) -> bool:
    return component.nodes[name].first is None


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)


def _purchases(bought: Bought) -> Purchases:
    return Purchases(
        bought.count,
        {currency: to_text(minor, currency) for currency, minor in bought.revenue.items()},
        _averages(bought.revenue, bought.orders),
        _moment(bought.first),
        _moment(bought.last),
        bought.refunds,
        bought.days,
    )


def _averages(revenue: Mapping[str, int], orders: Mapping[str, int]) -> dict[str, str]:
    averages = {}
    for currency, count in orders.items():
        whole = (Decimal(revenue[currency]) / count).quantize(Decimal(1), ROUND_HALF_EVEN)
        averages[currency] = to_text(int(whole), currency)
    return averages


def _emails(mailed: Mailed) -> Emails:
    in_a_row = [at for at, _ in mailed.soft if mailed.good is None or at > mailed.good]
    return Emails(
        **mailed.counts,
        last_at=_moment(mailed.last),
        hard_bounced_at=_moment(mailed.hard),
        soft_bounced=len(in_a_row),
        soft_bounced_at=_moment(in_a_row[-1]) if in_a_row else None,
    )


def _chats(chatted: Chatted) -> Chats:
    return Chats(
        distinct(chatted.conversations),
        chatted.messages,
        distinct(chatted.resolved),
        distinct(chatted.handed_over),
        _moment(chatted.last),
    )


def _satisfaction(tally: Tally) -> Satisfaction:
    answered = tally.answered
    last = {survey: score for survey, (_, _, score) in answered.latest.items()}
    return Satisfaction(answered.count, last, _moment(answered.last))


def _preferences(bought: Bought) -> Preferences:
    return Preferences(bought.channels.top or None, bought.categories.top or None, bought.stores.top or None)
