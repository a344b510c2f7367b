"""What becomes of sent messages: news in any order, goals in their time, each state told once."""

from itertools import permutations
from typing import Any

import msgspec
import pytest

from services.campaign.core import evolve, react
from services.campaign.model import Message, ProfileSeen, Purchases, State, View
from services.campaign.tracking import LATE_MS
from shared.events.envelope import decode
from shared.events.profiles import Emails
from shared.events.times import to_ms
from tests.core.campaign_builders import after, at, campaign, changed, due, empty, only, outcome, policy, seen, view

GOAL = {"event": "purchase.completed", "within": "30d"}
WAITED = campaign(goal=GOAL)
DAY = 24.0


def news(message: Message, kind: str, hours: float, record: View | None = None) -> ProfileSeen:
    """An interaction that names the message; the version follows from its time."""
    record = record or view(int(hours * 100) + 2)
    return seen(record, at(hours), cause_source="esp", cause_id=kind, cause_type=kind, about=message.message_id)


def bought(hours: float, version: int | None = None, **given: Any) -> ProfileSeen:
    """A purchase."""
    record = view(
        version or int(hours * 100) + 2, purchases=Purchases(count=1, last_at=given.pop("last_at", at(hours)))
    )
    return seen(record, at(hours), cause_source="shop", cause_id="1", cause_type="purchase.completed", **given)


def claimed(rules: Any = None, **given: Any) -> State:
    state = after(empty(rules or policy(WAITED)), seen(**given), changed(**given))
    return evolve(state, due(only(state)))


def sent(rules: Any = None) -> State:
    state = claimed(rules)
    return evolve(state, outcome(only(state), "sent", at(0.01)))


def run(state: State, *events: Any) -> tuple[State, list[str]]:
    """The end and the states that were told on the way."""
    told: list[str] = []
    for event in events:
        following = evolve(state, event)
        told += [decode(record.value or b"").type for record in react(state, following) if record.topic == "messages"]
        state = following
    return state, told


def test_each_state_is_told_once() -> None:
    state = sent()
    message = only(state)
    events = (
        news(message, "email.delivered", 1),
        news(message, "email.delivered", 2),
        news(message, "email.clicked", 3),
        news(message, "email.clicked", 4),
        bought(5),
        bought(6),
    )
    end, told = run(state, *events)
    assert told == ["message.delivered", "message.clicked", "message.converted"]
    assert end.customer.messages == ()


KINDS = ("email.delivered", "email.clicked", "email.bounced", "purchase.completed")


@pytest.mark.parametrize("kinds", [KINDS, KINDS[:3], (KINDS[0], KINDS[2])])
def test_the_order_of_the_news_does_not_matter(kinds: tuple[str, ...]) -> None:
    ends = set()
    for order in permutations(kinds):
        state = sent()
        message = only(state)
        for version, kind in enumerate(order, start=2):
            hard = any(known == "email.bounced" for known in order[: version - 1])
            emails = Emails(hard_bounced=1, hard_bounced_at=at(1)) if hard else Emails()
            event = news(message, kind, 1 + KINDS.index(kind), view(version, emails=emails))
            if kind == "purchase.completed":
                event = event._replace(about=None)
            state = evolve(state, event)
        ends.add((only(state).state, only(state).converted_at is not None))
    assert len(ends) == 1
    expected = {4: "converted", 3: "clicked", 2: "failed"}[len(kinds)]
    assert ends.pop()[0] == expected


def test_a_hard_bounce_is_a_failure_a_soft_one_until_it_is_delivered() -> None:
    state = sent(policy(campaign()))
    message = only(state)
    soft, told = run(state, news(message, "email.bounced", 1))
    assert (only(soft).state, only(soft).reason, told) == ("failed", "bounced: soft", ["message.failed"])
    delivered, told = run(soft, news(message, "email.delivered", 2))
    assert (only(delivered).state, only(delivered).reason, told) == ("delivered", None, ["message.delivered"])
    hard, told = run(state, news(message, "email.bounced", 1, view(9, emails=Emails(hard_bounced=1))))
    assert (only(hard).state, only(hard).reason) == ("failed", "bounced: hard")


def test_what_was_opened_or_complained_about_was_delivered() -> None:
    for kind in ("email.opened", "email.complained", "email.replied", "email.unsubscribed"):
        state = sent()
        assert only(evolve(state, news(only(state), kind, 1))).state == "delivered"


@pytest.mark.parametrize("place", range(5))
def test_when_the_gateway_tells_of_a_send_does_not_matter(place: int) -> None:
    """An import is read while the wall clock stands years later, and the gateway is quick or slow."""
    state = claimed(policy(WAITED, history="outbox"), history="sample")
    message = only(state)
    other = msgspec.structs.replace(message, message_id="other", occasion="other", goal_until=None)
    state = State(msgspec.structs.replace(state.customer, messages=(message, other)), state.policy)
    years = 2 * 365 * DAY
    story = [news(message, "email.opened", 5), bought(6), bought(7), seen(view(9_999), at(60 * DAY))]
    told = [outcome(one, "sent", at(years)) for one in (message, other)]
    end = after(state, *told[1:], *story[:place], told[0], *story[place:], changed("inactive", 2, at(61 * DAY)))
    kept: dict[str, Message] = {}
    for event in (*told[1:], *story[:place], told[0], *story[place:]):
        state = evolve(state, event)
        kept |= {one.message_id: one for one in state.customer.messages}
    found = kept[message.message_id]
    assert (found.state, found.goal_at, found.changed_at) == ("converted", to_ms(at(6)), to_ms(at(6)))
    assert [one.message_id for one in end.customer.messages] == []


def test_a_goal_long_after_its_time_does_not_count_sent_or_not() -> None:
    late, forgotten = bought(3 * DAY, 20_000), seen(view(10_000), at(38 * DAY))
    for state in (claimed(), sent()):
        name = only(state).message_id
        end = after(state, forgotten, late)
        end = after(end, outcome(only(state), "sent", at(39 * DAY)))
        assert [(m.state, m.converted_at) for m in end.customer.messages if m.message_id == name] in (
            [("sent", None)],
            [],
        )


def test_news_that_come_before_the_sender_has_told_wait_for_it() -> None:
    state = claimed()
    early, told = run(state, news(only(state), "email.clicked", 1), bought(2))
    assert (only(early).state, told) == ("sending", [])
    late, told = run(early, outcome(only(early), "sent", at(0.01)))
    assert told == ["message.sent", "message.converted"]
    revisions = [decode(record.value or b"").id for record in react(early, late)]
    assert len(set(revisions)) == len(revisions) == 3


def test_news_of_a_message_of_unknown_outcome_settle_it() -> None:
    state = claimed()
    held = evolve(state, outcome(only(state), "unknown", at(0.01), reason="the connection broke"))
    settled, told = run(held, news(only(held), "email.delivered", 1))
    assert told == ["message.sent", "message.delivered"]
    assert (only(settled).state, only(settled).sent_at) == ("delivered", only(settled).delivered_at)
    assert len(settled.customer.claims) == 1
    names = [
        decode(record.value or b"").id
        for before, then in ((state, held), (held, settled))
        for record in react(before, then)
        if record.topic == "messages"
    ]
    assert len(set(names)) == 3


def test_news_of_a_message_that_never_left_change_nothing() -> None:
    stopped = after(empty(policy(WAITED, stopped=True)), seen(), changed())
    stopped = evolve(stopped, due(only(stopped)))
    end, told = run(stopped, news(only(stopped), "email.clicked", 1))
    assert (only(end).state, told) == ("held", [])


def test_a_goal_counts_in_its_time_only() -> None:
    state = sent()
    assert run(state, bought(30 * DAY))[1] == ["message.converted"]
    assert run(state, bought(30 * DAY + 0.01))[1] == []
    assert run(state, bought(0.005, last_at=at(-1)))[1] == ["message.converted"]
    assert run(state, bought(-0.01, last_at=at(-0.01)))[1] == []
    late = bought(29 * DAY, version=99, last_at=at(33 * DAY))
    assert run(state, seen(view(50), at(36 * DAY)), late)[1] == ["message.converted"]
    assert run(state, seen(view(50), at(38 * DAY)), late)[1] == []
    assert LATE_MS == 7 * 24 * 3_600_000


def test_what_was_bought_before_the_message_was_decided_is_none_of_its_doing() -> None:
    early = after(empty(policy(WAITED)), seen(), changed())
    message = msgspec.structs.replace(only(early), goal_at=only(early).due_at)
    kept = State(msgspec.structs.replace(early.customer, messages=(message,)), early.policy)
    end = after(kept, due(only(kept)))
    assert only(end).converted_at is None
    assert only(evolve(end, bought(1))).converted_at is not None


def test_any_interaction_may_be_the_goal() -> None:
    rules = policy(campaign(goal={"event": "call.completed", "within": "1d"}))
    state = sent(rules)
    called = seen(view(7), at(2), cause_source="pbx", cause_id="9", cause_type="call.completed")
    assert run(state, bought(1))[1] == []
    assert run(state, called)[1] == ["message.converted"]


def test_conversions_of_the_hold_out_are_kept_and_told_to_nobody() -> None:
    state = claimed(policy(campaign(goal=GOAL, hold_out="99.9999%")))
    assert (only(state).state, only(state).reason) == ("refused", "hold_out")
    end, told = run(state, seen(view(2), at(1)), bought(5))
    assert (only(end).state, only(end).converted_at is not None, told) == ("refused", True, [])
    assert evolve(end, seen(view(999), at(9))).customer.messages == ()


def test_the_hold_out_are_those_who_would_have_got_it() -> None:
    rules = policy(campaign(goal=GOAL, hold_out="99.9999%"))
    state = after(empty(rules), seen(view(consents={})), changed())
    assert only(evolve(state, due(only(state)))).reason == "no_consent"
    evening = after(empty(rules), seen(), changed(time=at(10)))
    assert only(evolve(evening, due(only(evening)))).reason == "quiet_hours"


def test_without_a_goal_a_sent_message_is_not_kept_in_mind() -> None:
    assert after(sent(policy(campaign())), seen(view(2), at(1))).customer.messages == ()
    assert len(after(sent(), seen(view(2), at(1))).customer.messages) == 1
