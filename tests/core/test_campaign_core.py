"""The two verbs: at most one message per occasion, steps and goals, history, outcomes."""

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.core import evolve, react
from services.campaign.model import Message, ProfileGone, Purchases, State
from shared.events.envelope import decode
from shared.events.interactions import DECODERS
from shared.events.messages import MessageChanged
from shared.events.outgoing import Outgoing
from shared.events.times import to_ms
from tests.core.campaign_builders import (
    ANA,
    NOON,
    after,
    at,
    campaign,
    changed,
    due,
    empty,
    only,
    outcome,
    policy,
    seen,
    view,
)

WIN_BACK = campaign(
    campaign="win-back",
    on={"segmentation": "status", "from": ["active"], "to": "inactive"},
    goal={"event": "purchase.completed", "within": "60d"},
    steps=[{"template": "why"}, {"template": "offer", "wait": "21d", "unless": "converted"}],
)


def said(before: State, after_: State) -> list[tuple[str, str]]:
    return [(record.topic, decode(record.value or b"").type) for record in react(before, after_)]


def test_one_message_from_plan_to_sent() -> None:
    first = after(empty(), seen())
    planned = evolve(first, changed())
    assert said(first, planned) == [("messages", "message.planned")]
    claimed = evolve(planned, due(only(planned)))
    assert said(planned, claimed) == []
    sent = evolve(claimed, outcome(only(claimed), "sent", at(0.01), subject="Hello"))
    assert said(claimed, sent) == [("messages", "message.sent"), ("interactions", "email.sent")]
    told, mail = (decode(record.value or b"") for record in react(claimed, sent))
    body = msgspec.json.decode(told.data, type=MessageChanged)
    assert (body.message_id, body.channel, body.sent_at) == (only(sent).message_id, "email", at(0.01))
    payload: Any = DECODERS["email.sent"].decode(mail.data)
    assert (mail.id, payload.subject, payload.customer) == (body.message_id, "Hello", {"email": "ana@example.com"})
    assert react(sent, sent) == ()
    assert evolve(sent, changed(version=1)).customer.messages == ()


def test_ids_of_what_is_said_are_the_same_again() -> None:
    def run() -> list[Outgoing]:
        first = after(empty(), seen())
        planned = evolve(first, changed())
        return [*react(first, planned), *react(planned, evolve(planned, due(only(planned), at(100))))]

    assert run() == run()
    assert len({decode(record.value or b"").id for record in run()}) == 2


class Deliveries:
    """What any number of workers may do to one customer: deliver again, fire timers again, tell outcomes again."""

    def __init__(self) -> None:
        self.state = after(empty(policy(campaign(), WIN_BACK, history="outbox")))
        self.claims: Counter[str] = Counter()
        self.said: Counter[str] = Counter()

    def apply(self, event: Any) -> None:
        before = self.state
        states = {m.message_id: m.state for m in before.customer.messages}
        self.state = evolve(before, event)
        for message in self.state.customer.messages:
            if message.state == "sending" and states.get(message.message_id) not in ("sending", "held"):
                self.claims[message.message_id] += 1
        self.said.update(decode(record.value or b"").id for record in react(before, self.state))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_at_most_one_message_per_occasion_whatever_comes_twice(data: st.DataObject) -> None:
    run = Deliveries()
    stream: list[Any] = []
    for number in range(1, 5):
        moment = at(number * 30)
        stream.append(seen(view(number), moment))
        to = data.draw(st.sampled_from(["active", "inactive"]))
        stream.append(changed(to, number, moment, from_="active" if to == "inactive" else "inactive"))
    ledger: set[str] = set()
    sent: list[Any] = []
    for position, event in enumerate(stream):
        run.apply(event)
        for again in data.draw(st.lists(st.integers(0, position), max_size=3)):
            run.apply(stream[again])
        open_messages = run.state.customer.messages
        for message in data.draw(st.permutations(open_messages)) if open_messages else []:
            ledger.add(message.message_id)
            run.apply(due(message, event.time))
            kind = data.draw(st.sampled_from(["sent", "unknown", "failed", "none"]))
            if kind != "none":
                sent.append(outcome(message, kind, event.time))
        for told in data.draw(st.lists(st.sampled_from(sent), max_size=4)) if sent else []:
            run.apply(told)
    assert all(count == 1 for count in run.claims.values())
    assert all(count == 1 for count in run.said.values())
    occasions = Counter((m.campaign, m.step, m.occasion) for m in run.state.customer.messages)
    assert all(count == 1 for count in occasions.values())
    assert ledger or not any(isinstance(c, str) for c in run.claims)


def test_only_the_named_change_starts_a_campaign() -> None:
    rules = policy(WIN_BACK)
    assert after(empty(rules), seen(), changed("inactive", from_="potential")).customer.messages == ()
    assert after(empty(rules), seen(), changed("lost", from_="active")).customer.messages == ()
    assert after(empty(rules), seen(), changed("inactive", from_="active", segmentation="v")).customer.messages == ()
    assert len(after(empty(rules), seen(), changed("inactive", from_="active")).customer.messages) == 2
    for cause in ("definition", "merge", "split", "erasure"):
        assert after(empty(rules), seen(), changed("inactive", from_="active", cause=cause)).customer.messages == ()


def test_from_null_is_the_first_class_only() -> None:
    rules = policy(campaign(on={"segmentation": "status", "from": [None], "to": "active"}))
    assert len(after(empty(rules), seen(), changed(from_=None)).customer.messages) == 1
    assert after(empty(rules), seen(), changed(from_="inactive")).customer.messages == ()


def test_a_waiting_step_is_skipped_once_converted() -> None:
    rules = policy(WIN_BACK)
    start = after(empty(rules), seen(), changed("inactive", from_="active"))
    offer = start.customer.messages[1]
    waiting = evolve(start, due(offer))
    assert said(start, waiting) == []
    offer = waiting.customer.messages[1]
    assert offer.due_at - start.customer.messages[1].due_at == 21 * 86_400_000
    assert evolve(waiting, due(offer)).customer.messages[1].state == "sending"
    bought = view(2, purchases=Purchases(count=1, last_at=at(50)))
    converted = after(waiting, seen(bought, at(50)))
    offer = next(m for m in converted.customer.messages if m.step == 1)
    refused = next(m for m in evolve(converted, due(offer)).customer.messages if m.step == 1)
    assert (refused.state, refused.reason) == ("refused", "converted")


def test_the_purchase_that_is_the_occasion_is_no_conversion() -> None:
    bought = view(purchases=Purchases(count=1, last_at=NOON))
    rules = policy(campaign(goal={"event": "purchase.completed", "within": "30d"}, steps=[
        {"template": "second", "wait": "7d", "unless": "converted"},
    ]))  # fmt: skip
    state = after(empty(rules), seen(bought), changed())
    state = after(state, due(only(state)))
    assert only(after(state, due(only(state)))).state == "sending"
    state = after(state, seen(view(2, purchases=Purchases(count=1, last_at=NOON)), at(1)))
    assert only(after(state, due(only(state)))).state == "sending"


def test_an_old_change_starts_no_waiting_step_either() -> None:
    state = after(empty(policy(WIN_BACK)), seen(), changed("inactive", from_="active"))
    for message in state.customer.messages:
        refused = evolve(state, due(message, at(25))).customer.messages[message.step]
        assert (refused.state, refused.reason) == ("refused", "too_late")


def test_timers_that_fell_due_before_an_event_fire_first_as_of_their_own_moment() -> None:
    state = after(empty(), seen(), changed())
    later = evolve(state, changed("inactive", 2, at(1), from_="active"))
    message = only(later)
    assert (message.state, message.changed_at) == ("sending", state.customer.messages[0].due_at)


def test_what_fell_due_long_before_the_log_heard_of_it_is_too_late() -> None:
    def state(hours: float, **given: Any) -> Message:
        news = changed("inactive", 2, at(1), from_="active", appended=at(hours))
        return only(after(empty(policy(**given)), seen(), changed(), news))

    assert state(24).state == "sending"
    assert (state(25).state, state(25).reason) == ("refused", "too_late")
    assert state(25, by_wall_clock=False).state == "sending"
    past = {"history": "sample"}
    news = changed("inactive", 2, at(1), from_="active", appended=at(25), **past)
    kept = after(empty(policy(history="outbox")), seen(**past), changed(**past), news)
    assert only(kept).state == "sending"


def test_an_event_starts_a_campaign_once() -> None:
    rules = policy(campaign(on={"event": "call.completed"}))
    call = seen(view(2), at(1), cause_source="pbx", cause_id="7", cause_type="call.completed")
    state = after(empty(rules), seen(), call, call)
    assert only(state).occasion == "pbx/7"
    assert only(state).event == {"type": "call.completed", "id": "7", "time": "2026-05-25T13:00:00Z"}
    assert after(empty(rules), seen(view(2), cause_source="pbx", cause_id="7", cause_type="x")).customer.messages == ()


def test_an_event_that_comes_again_after_its_message_was_sent_starts_nothing() -> None:
    rules = policy(campaign(on={"event": "call.completed"}))
    call = seen(view(2), at(1), cause_source="pbx", cause_id="7", cause_type="call.completed")
    state = after(empty(rules), seen(), call)
    message = only(state)
    sent = after(state, due(message), outcome(message, "sent", at(1)))
    assert only(sent).state == "sent"
    assert after(sent, call, call).customer.messages == ()


def test_history_is_mute_unless_asked_for() -> None:
    assert after(empty(), seen(history="import"), changed(history="import")).customer.messages == ()


def test_an_import_that_was_asked_to_send_is_answered_within_the_reaction_window() -> None:
    def messages(hours: float) -> tuple[Message, ...]:
        rules = policy(sending={"import": to_ms(at(hours))})
        return after(empty(rules), seen(history="import"), changed(history="import")).customer.messages

    assert [message.history for message in messages(24)] == [None]
    assert messages(24.1) == ()
    other = policy(sending={"other": to_ms(NOON)})
    assert after(empty(other), seen(history="import"), changed(history="import")).customer.messages == ()


def test_history_has_its_own_time_and_no_feedback() -> None:
    rules = policy(history="outbox")
    planned = after(empty(rules), seen(history="import"), changed(history="import"))
    claimed = evolve(planned, due(only(planned), at(10_000)))
    assert (only(claimed).state, only(claimed).changed_at) == ("sending", only(planned).due_at)
    sent = evolve(claimed, outcome(only(claimed), "sent", at(10_000)))
    assert said(claimed, sent) == [("messages", "message.sent")]
    assert only(sent).sent_at == only(planned).due_at
    assert decode(react(claimed, sent)[0].value or b"").history == "import"


def test_an_unknown_outcome_is_held_until_somebody_decides() -> None:
    planned = after(empty(), seen(), changed())
    claimed = evolve(planned, due(only(planned)))
    held = evolve(claimed, outcome(only(claimed), "unknown", reason="the connection broke"))
    assert (only(held).state, only(held).reason) == ("held", "the connection broke")
    assert said(claimed, held) == [("messages", "message.held")]
    assert len(held.customer.claims) == 1
    assert evolve(held, due(only(planned))).customer.messages == held.customer.messages
    assert only(evolve(held, outcome(only(held), "resend", at(10)))).state == "planned"
    assert only(evolve(held, outcome(only(held), "resend", at(24)))).state == "sending"
    dropped = only(evolve(held, outcome(only(held), "drop")))
    assert (dropped.state, dropped.reason) == ("refused", "dropped")
    assert only(evolve(held, outcome(only(held), "sent"))).state == "sent"


def test_operators_cannot_resend_what_is_not_held() -> None:
    claimed = after(empty(), seen(), changed())
    claimed = evolve(claimed, due(only(claimed)))
    for kind in ("resend", "drop"):
        assert evolve(claimed, outcome(only(claimed), kind)).customer.messages == claimed.customer.messages


def test_a_stale_claim_is_decided_again() -> None:
    claimed = after(empty(), seen(), changed())
    claimed = evolve(claimed, due(only(claimed)))
    again = only(evolve(claimed, outcome(only(claimed), "late", at(1))))
    assert (again.state, again.revision) == ("sending", 3)
    denied = after(claimed, seen(view(2, consents={}), at(0.5)))
    assert only(evolve(denied, outcome(only(denied), "late", at(1)))).reason == "no_consent"
    assert only(evolve(claimed, outcome(only(claimed), "late", at(30)))).reason == "too_late"


def test_a_customer_who_is_gone_and_comes_back() -> None:
    state = after(empty(), seen(), changed(), ProfileGone(ANA, at(1), "merge", 2, "other"))
    assert (state.customer.gone, state.customer.into, state.customer.view) == ("merge", "other", None)
    back = after(state, seen(view(3), at(2)))
    assert (back.customer.gone, back.customer.into) == (None, None)
    assert evolve(back, ProfileGone(ANA, at(1), "merge", 2, "other")).customer.gone is None


def test_an_erased_customer_gets_no_more_messages() -> None:
    state = after(empty(), seen(), ProfileGone(ANA, at(1), "erasure", 2))
    assert after(state, changed(time=at(1) + timedelta(seconds=1))).customer.messages == ()


def test_records_and_changes_only_go_forward() -> None:
    state = after(empty(), seen(view(5)), seen(view(4, email="old@example.com")))
    assert state.customer.version == 5
    state = after(state, changed("active", 3), changed("inactive", 2))
    assert state.customer.class_of("status") == "active"
