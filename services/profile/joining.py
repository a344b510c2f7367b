"""How counts grow and how two tallies become one: every join here is commutative and associative."""

from bisect import bisect_left, insort
from collections.abc import Mapping
from datetime import date, timedelta

from services.profile.tally import (
    DIGEST_RANGE,
    INTEREST_DAYS,
    PURCHASE_DAYS,
    SKETCH,
    SOFT_KEPT,
    Answered,
    Bought,
    Called,
    Chatted,
    Interested,
    Mailed,
    Ranking,
    Said,
    Tally,
    Trait,
)
from shared.events.profiles import Day


def earliest(left: int | None, right: int | None) -> int | None:
    """The smaller of two moments; None is no moment."""
    if left is None or right is None:
        return right if left is None else left
    return min(left, right)


def latest(left: int | None, right: int | None) -> int | None:
    """The greater of two moments; None is no moment."""
    if left is None or right is None:
        return right if left is None else left
    return max(left, right)


def add(counts: Mapping[str, int], name: str, amount: int = 1) -> Mapping[str, int]:
    """The counts with one of them raised; names stay in order, so equal counts have equal bytes."""
    if name in counts:
        return {**counts, name: counts[name] + amount}
    return dict(sorted([*counts.items(), (name, amount)]))


def total(left: Mapping[str, int], right: Mapping[str, int]) -> Mapping[str, int]:
    """The sum of two counts by name."""
    if not left or not right:
        return left or right
    return {name: left.get(name, 0) + right.get(name, 0) for name in sorted(left.keys() | right.keys())}


def ranked(counts: Mapping[str, int]) -> Ranking:
    """Counts with their most frequent name."""
    return Ranking(counts, min(counts, key=lambda name: (-counts[name], name), default=""))


def occur(ranking: Ranking, names: tuple[str, ...]) -> Ranking:
    """The ranking after some names occurred once more each; proportional to these names, not to all."""
    if not names:
        return ranking
    counts = dict(ranking.counts)
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    top = ranking.top or names[0]
    for name in names:
        if counts[name] > counts[top] or (counts[name] == counts[top] and name < top):
            top = name
    return Ranking(counts, top)


def _floor(last: str, kept: int) -> str:
    return (date.fromisoformat(last) - timedelta(days=kept - 1)).isoformat()


def _trimmed(days: tuple[Day, ...]) -> tuple[Day, ...]:
    if len(days) < 2 or days[0].date >= (floor := _floor(days[-1].date, PURCHASE_DAYS)):
        return days
    return days[bisect_left(days, floor, key=lambda day: day.date) :]


def on_day(days: tuple[Day, ...], day: str, count: int, currency: str, minor: int) -> tuple[Day, ...]:
    """The days after something was bought (or refunded) on one of them, in order, trimmed."""
    if not days or day > days[-1].date:
        return _trimmed((*days, Day(day, count, {currency: minor})))
    at = len(days) - 1 if day == days[-1].date else bisect_left(days, day, key=lambda known: known.date)
    known = days[at]
    if known.date == day:
        return (*days[:at], Day(day, known.count + count, dict(add(known.revenue, currency, minor))), *days[at + 1 :])
    return _trimmed((*days[:at], Day(day, count, {currency: minor}), *days[at:]))


def _days(left: tuple[Day, ...], right: tuple[Day, ...]) -> tuple[Day, ...]:
    if not left or not right:
        return left or right
    joined = {day.date: day for day in left}
    for day in right:
        known = joined.get(day.date)
        joined[day.date] = (
            day if known is None else Day(day.date, known.count + day.count, dict(total(known.revenue, day.revenue)))
        )
    return _trimmed(tuple(joined[name] for name in sorted(joined)))


def interest_on(days: Mapping[str, int], day: str) -> Mapping[str, int]:
    """The days of interest after one more on one of them, in order, trimmed."""
    return _recent(add(days, day))


def _recent(days: Mapping[str, int]) -> Mapping[str, int]:
    if len(days) < 2:
        return days
    floor = _floor(next(reversed(list(days))), INTEREST_DAYS)
    return days if next(iter(days)) >= floor else {name: count for name, count in days.items() if name >= floor}


def with_digest(known: tuple[int, ...], digest: int) -> tuple[int, ...]:
    """The set of digests with one more, the SKETCH smallest."""
    at = bisect_left(known, digest)
    if at < len(known) and known[at] == digest:
        return known
    grown = list(known)
    insort(grown, digest)
    return tuple(grown[:SKETCH])


def distinct(known: tuple[int, ...]) -> int:
    """How many distinct digests were seen: exact below SKETCH, else the K-minimum-values estimate (k - 1) / max."""
    return len(known) if len(known) < SKETCH else (SKETCH - 1) * DIGEST_RANGE // known[-1]


def _union(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    if not left or not right:
        return left or right
    return tuple(sorted({*left, *right})[:SKETCH])


def stricter(left: Said | None, right: Said) -> Said:
    """The later of two statements made for one identifier; at the same moment the denial."""
    if left is None:
        return right
    return max(left, right, key=lambda said: (said.at, said.status == "denied", said.digest))


def newer_traits(left: Mapping[str, Trait], right: Mapping[str, Trait]) -> Mapping[str, Trait]:
    """Last writer wins, trait by trait."""
    if not left or not right:
        return left or right
    joined = dict(left)
    for name, trait in right.items():
        known = joined.get(name)
        if known is None or (trait.at, trait.digest) >= (known.at, known.digest):
            joined[name] = trait
    return joined


def newer_scores(
    left: Mapping[str, tuple[int, int, float]], right: Mapping[str, tuple[int, int, float]]
) -> Mapping[str, tuple[int, int, float]]:
    """The last score by survey, in the order of their names."""
    if not left or not right:
        return left or right
    nothing = (-(1 << 63), 0, 0.0)
    return {name: max(left.get(name, nothing), right.get(name, nothing)) for name in sorted(left.keys() | right.keys())}


def _bought(left: Bought, right: Bought) -> Bought:
    return Bought(
        left.count + right.count,
        left.refunds + right.refunds,
        total(left.revenue, right.revenue),
        total(left.orders, right.orders),
        earliest(left.first, right.first),
        latest(left.last, right.last),
        _days(left.days, right.days),
        ranked(total(left.channels.counts, right.channels.counts)),
        ranked(total(left.categories.counts, right.categories.counts)),
        ranked(total(left.stores.counts, right.stores.counts)),
    )


def _called(left: Called, right: Called) -> Called:
    return Called(
        left.count + right.count,
        left.inbound + right.inbound,
        left.outbound + right.outbound,
        left.missed + right.missed,
        left.duration + right.duration,
        latest(left.last, right.last),
    )


def mailed(left: Mailed, right: Mailed) -> Mailed:
    """What two identifiers counted of e-mails."""
    soft = tuple(sorted({*left.soft, *right.soft})[-SOFT_KEPT:]) if left.soft or right.soft else ()
    return Mailed(
        total(left.counts, right.counts),
        latest(left.last, right.last),
        latest(left.hard, right.hard),
        soft,
        latest(left.good, right.good),
    )


def _chatted(left: Chatted, right: Chatted) -> Chatted:
    return Chatted(
        _union(left.conversations, right.conversations),
        _union(left.resolved, right.resolved),
        _union(left.handed_over, right.handed_over),
        left.messages + right.messages,
        latest(left.last, right.last),
    )


def join(left: Tally, right: Tally) -> Tally:
    """What two identifiers counted, as if one had counted it all. Not idempotent: the inbox drops repetitions."""
    if left.first is None or right.first is None:
        return right if left.first is None else left
    return Tally(
        earliest(left.first, right.first),
        latest(left.last, right.last),
        _bought(left.bought, right.bought),
        _called(left.called, right.called),
        mailed(left.mailed, right.mailed),
        _chatted(left.chatted, right.chatted),
        Interested(
            left.interested.count + right.interested.count,
            latest(left.interested.last, right.interested.last),
            _recent(total(left.interested.days, right.interested.days)),
        ),
        Answered(
            left.answered.count + right.answered.count,
            newer_scores(left.answered.latest, right.answered.latest),
            latest(left.answered.last, right.answered.last),
        ),
        newer_traits(left.traits, right.traits),
        left.points + right.points,
    )
