"""The laws of the profile core: order, ids, merge and split, consents, and what is told of them."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.profile.core import evolve, react
from services.profile.identity import HUB_CUSTOMERS
from services.profile.model import State
from services.profile.record import record
from services.profile.work import Work
from shared.events.envelope import Event, decode, raw
from shared.events.interactions import BEGIN, Mark
from shared.events.outgoing import Outgoing
from shared.events.profiles import Profile, Removal, decoder
from tests.builders import consent, email, identified, interaction, linked, moment, purchase, split
from tests.strategies import disputed, histories, interactions, peaceful, undisputed

laws = settings(max_examples=120, deadline=None)


def fold(events: Iterable[Event]) -> tuple[Work, list[Outgoing]]:
    work = Work()
    said: list[Outgoing] = []
    for event in events:
        before = work.part(event)
        after = evolve(before, event)
        said += react(before, after)
        work.replace(before, after)
    return work, said


def records(work: Work) -> list[Profile]:
    found = [record(home, cluster) for home in work.components.values() for cluster in home.clusters]
    return sorted(found, key=lambda one: [(known.kind, known.value) for known in one.identifiers])


def bare(profiles: Iterable[Profile]) -> list[bytes]:
    """Records as bytes, without what may depend on the order of arrival."""
    return [msgspec.json.encode(msgspec.structs.replace(one, version=0, profile_id="", aliases=())) for one in profiles]


def customers(*events: Event) -> dict[str, Profile]:
    """Records by all their identifiers' values."""
    return {known.value: one for one in records(fold(events)[0]) for known in one.identifiers}


def published(said: Iterable[Outgoing]) -> dict[str, Profile | Removal]:
    """The last word on each id, as a reader of the topic would have it; versions must rise."""
    state: dict[str, Profile | Removal] = {}
    for one in said:
        if one.value is None:
            told: Profile | Removal = msgspec.json.decode(one.headers[0][1], type=Removal)
        else:
            told = decoder.decode(decode(one.value).data)
        known = state.get(told.profile_id)
        assert known is None or told.version > known.version
        state[told.profile_id] = told
    return state


@laws
@given(histories | disputed, st.randoms(use_true_random=False))
def test_order_does_not_matter(events: Sequence[Event], shuffle: random.Random) -> None:
    shuffled = list(events)
    shuffle.shuffle(shuffled)
    assert bare(records(fold(shuffled)[0])) == bare(records(fold(events)[0]))


@laws
@given(histories)
def test_every_id_ever_given_leads_to_exactly_one_customer(events: Sequence[Event]) -> None:
    work, said = fold(events)
    given_ids = {one.key for one in said}
    leads = [id for one in records(work) for id in (one.profile_id, *one.aliases)]
    assert sorted(leads) == sorted(given_ids)


@laws
@given(histories | disputed)
def test_who_reads_the_topic_knows_what_we_know(events: Sequence[Event]) -> None:
    work, said = fold(events)
    living = {id: one for id, one in published(said).items() if isinstance(one, Profile)}
    assert living == {one.profile_id: one for one in records(work)}


@laws
@given(peaceful | undisputed, st.permutations(("C1", "C2", "C3", "C4")).map(lambda ids: ids[:2]))
def test_after_a_split_all_records_are_as_if_the_link_had_never_been_made(
    events: Sequence[Event], pair: Sequence[str]
) -> None:
    events = [*events, *(purchase({"customer_id": one}, at=3) for one in pair)]
    who, other = {"customer_id": pair[0]}, ("customer_id", pair[1])
    link, undo = linked(who, other, at=2_000_000), split(who, other, at=2_000_001)
    assert len(records(fold([*events, link])[0])) < len(records(fold(events)[0]))
    assert bare(records(fold([*events, link, undo])[0])) == bare(records(fold(events)[0]))
    assert bare(records(fold([undo, *events, link])[0])) == bare(records(fold(events)[0]))
    ids = [(one.profile_id, [i.value for i in one.identifiers]) for one in records(fold(events)[0])]
    assert ids == [
        (one.profile_id, [i.value for i in one.identifiers]) for one in records(fold([*events, link, undo])[0])
    ]


@laws
@given(peaceful | undisputed, st.permutations(("C1", "C2", "C3", "C4")).map(lambda ids: ids[:2]))
def test_merging_never_loosens_a_consent(events: Sequence[Event], pair: Sequence[str]) -> None:
    work = fold(events)[0]
    parts = [one for one in records(work) if {i.value for i in one.identifiers} & set(pair)]
    link = linked({"customer_id": pair[0]}, ("customer_id", pair[1]), at=2_000_000)
    whole = customers(*events, link)[pair[0]]
    for part in parts:
        for subject, said in part.consents.items():
            assert said.status == "granted" or whole.consents[subject].status == "denied"


@laws
@given(histories, interactions())
def test_no_change_is_never_told(events: Sequence[Event], event: Event) -> None:
    before = fold(events)[0].part(event)
    after = evolve(before, event)
    assert react(before, before) == ()
    assert react(after, after) == ()


@laws
@given(histories)
def test_what_follows_from_an_event_has_the_same_names_every_time(events: Sequence[Event]) -> None:
    assert fold(events)[1] == fold(events)[1]


def test_one_record_with_each_event_and_rising_versions() -> None:
    _, said = fold([purchase({"customer_id": "C1"}, at=number) for number in range(3)])
    assert [decoder.decode(decode(one.value or b"").data).version for one in said] == [1, 2, 3]


def test_an_update_names_its_cause() -> None:
    event = purchase({"customer_id": "C1"})
    (said,) = fold([event])[1]
    told = decode(said.value or b"")
    assert (told.causesource, told.causeid, told.causetype) == (event.source, event.id, event.type)
    assert (told.time, told.subject, said.key) == (event.time, said.key, customers(event)["C1"].profile_id)


@pytest.mark.parametrize(
    ("data", "named"), [({"message_id": "m"}, "m"), ({}, None), ({"message_id": "m", "machine": True}, None)]
)
def test_an_update_names_the_message_that_it_brings_news_of(data: dict[str, Any], named: str | None) -> None:
    said = fold([purchase({"customer_id": "C1"}), email({"customer_id": "C1", "email": "a@x.org"}, "clicked", **data)])[
        1
    ]
    assert [decode(one.value or b"").causemessage for one in said] == [None, named]


def test_a_merge_keeps_the_id_of_the_customer_seen_first_and_ends_the_other() -> None:
    work, said = fold([purchase({"email": "b@x.org"}, at=1), purchase({"customer_id": "C1"}, at=2)])
    first, second = (one.key for one in said)
    event = purchase({"customer_id": "C1", "email": "b@x.org"}, at=3)
    before = work.part(event)
    update, removal = react(before, evolve(before, event))
    assert (update.key, dict(update.headers)["reason"]) == (first, b"merge")
    told = msgspec.json.decode(removal.headers[0][1], type=Removal)
    assert (removal.key, removal.value, told.reason, told.into) == (second, None, "merge", first)


def test_a_split_gives_the_id_back_and_says_so() -> None:
    who, other = {"customer_id": "C1"}, ("customer_id", "C2")
    events = [purchase(who, at=1), purchase({"customer_id": "C2"}, at=2), linked(who, other, at=3)]
    work, said = fold(events)
    assert len(records(work)) == 1
    undo = split(who, other, at=4)
    before = work.part(undo)
    told = react(before, evolve(before, undo))
    assert [one.key for one in told] == [said[0].key, said[1].key]
    assert {dict(one.headers)["reason"] for one in told} == {b"split"}


def test_a_split_gives_back_the_id_that_was_the_last_in_use() -> None:
    told = [purchase({"device_id": "d"}, at=1), purchase({"customer_id": "C2"}, at=2)]
    told += [purchase({"customer_id": "C2", "device_id": "d"}, at=3), purchase({"customer_id": "C1"}, at=0)]
    first = customers(*told)["C2"]
    assert first.profile_id == customers(told[0])["d"].profile_id
    who, other = {"customer_id": "C1"}, ("customer_id", "C2")
    assert customers(*told, linked(who, other, at=4), split(who, other, at=5))["C2"].profile_id == first.profile_id


def test_link_and_split_are_reversible() -> None:
    who, other = {"customer_id": "C1"}, ("customer_id", "C2")
    events = [purchase(who, "1.00", at=1), purchase({"customer_id": "C2"}, "2.00", at=2)]
    states = [linked(who, other, at=3), split(who, other, at=4), linked(who, other, at=5)]
    counts = [len(records(fold([*events, *states[:number]])[0])) for number in range(4)]
    assert counts == [2, 1, 2, 1]
    assert customers(*events, *states)["C2"].purchases.revenue == {"EUR": "3.00"}


def test_a_shared_device_counts_for_nobody_else() -> None:
    events = [purchase({"customer_id": f"C{n}", "device_id": "d"}, at=n) for n in range(4)]
    found = customers(*events, interaction("interest.shown", {"device_id": "d"}, at=9))
    assert [found[f"C{n}"].purchases.count for n in range(4)] == [1, 1, 1, 1]
    assert found["d"].interest.count == 1
    assert found["d"].profile_id not in {found[f"C{n}"].profile_id for n in range(4)}


def test_a_crowd_behind_one_identifier_stays_in_small_components() -> None:
    work, _ = fold([purchase({"customer_id": f"C{n}", "phone": "+1"}, at=n) for n in range(3 * HUB_CUSTOMERS)])
    sizes = [len(home.nodes) for home in work.components.values()]
    assert max(sizes) == HUB_CUSTOMERS + 1
    assert len(records(work)) == 3 * HUB_CUSTOMERS + 1


def test_a_crowd_is_the_same_in_any_order() -> None:
    who = [{"customer_id": f"C{n}", "phone": "+1", "device_id": f"d{n % 3}"} for n in range(HUB_CUSTOMERS + 6)]
    events = [purchase(one, at=n) for n, one in enumerate(who)]
    events.append(purchase({"phone": "+1", "device_id": "d7"}, at=99))
    events.append(linked({"customer_id": "C1"}, ("phone", "+1"), at=5))
    expected = bare(records(fold(events)[0]))
    for seed in range(5):
        random.Random(seed).shuffle(events)
        assert bare(records(fold(events)[0])) == expected


def test_a_denial_survives_the_merge_with_a_later_grant() -> None:
    events = [consent({"customer_id": "C1"}, "denied", at=1), consent({"email": "a@x.org"}, "granted", at=2)]
    both = customers(*events, purchase({"customer_id": "C1", "email": "a@x.org"}, at=3))
    assert both["C1"].consents["email"].status == "denied"


def test_the_same_customer_can_grant_again_by_any_identifier() -> None:
    who = {"customer_id": "C1", "email": "a@x.org"}
    events = [purchase(who, at=1), email({"email": "a@x.org"}, "unsubscribed", at=2)]
    assert customers(*events)["C1"].consents["email"].status == "denied"
    events.append(consent({"customer_id": "C1"}, "granted", at=3))
    assert customers(*events)["C1"].consents["email"].status == "granted"


def test_a_grant_before_the_two_were_known_to_be_one_lifts_nothing_when_they_come_back() -> None:
    told = [email({"email": "a@x.org"}, "unsubscribed", at=2), consent({"customer_id": "C1"}, "granted", at=3)]
    told += [purchase({"customer_id": f"C{n}", "email": "a@x.org"}, at=n - 1) for n in (1, 2, 3)]
    joined = linked({"customer_id": "C1"}, ("customer_id", "C2"), ("customer_id", "C3"), at=9)
    assert customers(*told[:3])["C1"].consents["email"].status == "granted"
    assert customers(*told)["C1"].consents["email"].status == "granted"
    early = [msgspec.structs.replace(told[2], time=moment(4)), *told[3:]]
    assert customers(*told[:2], *early, joined)["C1"].consents["email"].status == "denied"


def test_at_the_same_moment_the_denial_counts() -> None:
    who = {"customer_id": "C1"}
    grants = [consent(who, "granted", event_id=f"{number}") for number in range(20)]
    for said in ([*grants, consent(who, "denied")], [consent(who, "denied"), *grants]):
        assert customers(*said)["C1"].consents["email"].status == "denied"


def test_traits_are_the_last_said_whatever_came_last() -> None:
    who = {"customer_id": "C1", "traits": {"region": "north"}}
    events = [identified(who, at=2, name="Ana", age=3), identified({"customer_id": "C1"}, at=1, name="Bo", age=2)]
    events.append(identified({"customer_id": "C1"}, at=3, age=None))
    assert customers(*events)["C1"].traits == {"name": "Ana", "region": "north"}


def test_a_statement_is_no_activity_of_the_customer() -> None:
    who, other = {"customer_id": "C1"}, ("email", "a@x.org")
    found = customers(linked(who, other, at=1), purchase({**who, "email": "a@x.org"}, at=2), linked(who, other, at=3))
    assert (found["C1"].first_seen_at, found["C1"].last_seen_at) == (moment(2), moment(2))
    assert [one.first_seen_at for one in found["C1"].identifiers] == [moment(2), moment(2)]
    assert customers(linked(who, other, at=1))["C1"].first_seen_at == moment(1)


def test_an_identifier_that_was_only_stated_is_not_the_one_that_is_shown() -> None:
    """A visitor's former id that was linked as if it had been a user's must not stand for the customer."""
    stated = [{"kind": kind, "value": "0-visitor"} for kind in ("customer_id", "device_id")]
    link = interaction("customer.linked", {"customer_id": "C1"}, 2, identifiers=stated)
    for events in ([purchase({"customer_id": "C1"}), link], [link, purchase({"customer_id": "C1"})]):
        one = customers(purchase({"device_id": "0-visitor"}, at=1), *events)["C1"]
        assert [(known.kind, known.value) for known in one.identifiers] == [
            ("customer_id", "C1"),
            ("customer_id", "0-visitor"),
            ("device_id", "0-visitor"),
        ]
        assert one.purchases.count == 2


def test_a_statement_needs_no_customer_beside_its_list() -> None:
    """As the documented example has it: what is listed is all that it is about."""
    both = [{"kind": "customer_id", "value": "C1"}, {"kind": "device_id", "value": "d1"}]
    events = [purchase({"customer_id": "C1"}), purchase({"device_id": "d1"}, at=1)]
    link = interaction("customer.linked", {}, 2, identifiers=both)
    assert [one.purchases.count for one in customers(*events, link).values()] == [2, 2]
    split = interaction("customer.split", {}, 3, identifiers=both)
    assert [one.purchases.count for one in customers(*events, link, split).values()] == [1, 1]


def test_a_mark_is_passed_on_and_changes_nothing() -> None:
    mark = Event(specversion="1.0", id="1", source="import", type=BEGIN, time=moment(0), data=raw(Mark(name="x")))
    after = evolve(State(), mark)
    (said,) = react(State(), after)
    assert react(after, after) == ()
    assert (said.topic, said.key, decode(said.value or b"").type) == ("profiles", "", BEGIN)


def test_history_is_carried_on() -> None:
    event = msgspec.structs.replace(purchase({"customer_id": "C1"}), history="spring")
    assert decode(fold([event])[1][0].value or b"").history == "spring"


def anything(**data: Any) -> dict[str, Any]:
    return data


def test_a_type_without_a_payload_of_its_own_is_activity() -> None:
    found = customers(interaction("customer.waved", anything(customer_id="C1"), at=5))
    assert found["C1"].last_seen_at == moment(5)


def test_the_traits_of_a_group_are_not_the_customers() -> None:
    grouped = interaction("customer.grouped", anything(customer_id="C1"), 5, group_id="acme", traits={"name": "Acme"})
    (found,) = customers(identified(anything(customer_id="C1"), name="Ana"), grouped).values()
    assert (found.traits, found.last_seen_at) == ({"name": "Ana"}, moment(5))
