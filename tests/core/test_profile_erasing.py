"""Law L9 in the core: erased is gone, what was before stays out, others are as if he had never been."""

import random
from collections.abc import Sequence

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.profile.core import evolve
from services.profile.model import body_of, hear, identifiers_in, own_id
from services.profile.work import Work
from shared.events.envelope import Event, decode, encode, raw
from shared.events.erasures import ERASED, REQUESTED, Erasure, confirm, digest_of, erasure_in, mentions
from shared.events.identifiers import Identifier
from shared.events.profiles import Profile, Removal
from tests.builders import consent, email, identified, linked, moment, purchase
from tests.core.test_profile_core import bare, customers, fold, laws, published, records
from tests.strategies import peaceful

ANA = {"customer_id": "C1", "email": "ana@x.org"}
LATE = 1e7


def erasure(profile_id: str, at: float = LATE, names: tuple[str, ...] = ()) -> Event:
    about = Erasure(erasure_id=f"erase-{profile_id}", profile_id=profile_id, names=names)
    return Event(
        specversion="1.0", id=about.erasure_id, source="test", type=REQUESTED, time=moment(at), data=raw(about)
    )


def first_id(*events: Event) -> str:
    return records(fold(events)[0])[0].profile_id


def test_the_customer_is_gone_and_every_id_he_had_is_told() -> None:
    before = [purchase({"customer_id": "C1"}, at=1), purchase({"email": "ana@x.org"}, at=2), purchase(ANA, at=3)]
    (known,) = records(fold(before)[0])
    work, said = fold([*before, erasure(known.aliases[0])])
    assert (records(work), work.components, work.events) == ([], {}, [])
    last = published(said[:-1])
    assert last.keys() == {known.profile_id, *known.aliases}
    for one in last.values():
        assert isinstance(one, Removal)
        assert (one.reason, one.version > known.version, one.erasure_id) == (
            "erasure",
            True,
            f"erase-{known.aliases[0]}",
        )
    told = decode(said[-1].value or b"")
    names = {digest_of(Identifier(kind, value)) for kind, value in ANA.items()}
    assert (said[-1].topic, told.type, set(erasure_in.decode(told.data).names)) == ("erasures", ERASED, names)
    assert not any(value.encode() in (said[-1].value or b"") for value in ANA.values())


def test_what_happened_before_stays_out_and_what_happens_later_is_another_customer() -> None:
    old = first_id(purchase(ANA, at=1))
    work, said = fold(
        [
            purchase(ANA, at=1),
            erasure(old, at=5),
            purchase(ANA, at=4),
            identified({"email": "ana@x.org"}, at=5, name="Ana"),
            linked({"customer_id": "C9"}, ("email", "ana@x.org"), at=3),
            purchase(ANA, "7.00", at=6),
        ]
    )
    (anew,) = records(work)
    assert (anew.purchases.revenue, anew.traits) == ({"EUR": "7.00"}, {})
    assert anew.profile_id != old
    assert [one.time for one in work.events] == [moment(6)]
    assert isinstance(published([one for one in said if one.topic == "profiles"])[old], Removal)
    again = fold([purchase(ANA, at=1), erasure(old, at=5), purchase(ANA, at=6), erasure(anew.profile_id, at=7)])[0]
    assert records(again) == []


def test_others_keep_their_history_without_the_name_of_the_erased() -> None:
    his = purchase(ANA, at=1)
    other = purchase({"customer_id": "C2", "email": "ana@x.org"}, "7.00", at=2)
    allowed = consent({"customer_id": "C2", "email": "ana@x.org"}, "granted", at=3)
    work, _ = fold([his, other, allowed, erasure(own_id(Identifier("customer_id", "C1")))])
    (left,) = records(work)
    assert [one.value for one in left.identifiers] == ["C2"]
    assert (left.purchases.count, left.consents["email"].status) == (1, "granted")
    assert [identifiers_in(one) for one in work.events] == [(Identifier("customer_id", "C2"),)] * 2
    late = fold([his, erasure(own_id(Identifier("customer_id", "C1"))), other, allowed])[0]
    assert bare(records(late)) == bare([left])


@laws
@given(peaceful, st.randoms(use_true_random=False))
def test_the_others_are_as_if_he_had_never_been(events: Sequence[Event], chance: random.Random) -> None:
    known = records(fold(events)[0])
    assume(known)
    gone = chance.choice(known)
    mine = {Identifier(one.kind, one.value) for one in gone.identifiers}
    work = fold([*events, erasure(gone.profile_id)])[0]
    assert all(mine.isdisjoint(identifiers_in(one)) for one in work.events)
    assert all(mine.isdisjoint(home.nodes) for home in work.components.values())
    assert all(mine.isdisjoint(pair) for home in work.components.values() for pair in home.edges)
    replayed = Work((), dict.fromkeys(map(digest_of, mine), 1 << 50))
    _continue(replayed, events)
    # a name that came only beside his stays known, with nothing counted: not his name, and nothing of him
    assert [purchases(one) for one in records(replayed) if heard_of(one)] == [
        purchases(one) for one in records(work) if heard_of(one)
    ]
    mixed = [one for one in events if not mine.isdisjoint(names := identifiers_in(one)) and not mine.issuperset(names)]
    if not mixed:  # else a name that both had keeps when it was first seen, and what was said of its consents
        rest = [one for one in events if mine.isdisjoint(identifiers_in(one))]
        assert bare(records(replayed)) == bare(records(work)) == bare(records(fold(rest)[0]))


def _continue(work: Work, events: Sequence[Event]) -> None:
    for event in events:
        before = work.part(event)
        work.replace(before, evolve(before, event))


def heard_of(one: Profile) -> bool:
    """Whether anything is counted or known of a customer beside his names."""
    empty = Profile(profile_id="", version=0, first_seen_at=one.first_seen_at, last_seen_at=one.last_seen_at)
    return purchases(one)[1:] != purchases(empty)[1:]


def purchases(one: Profile) -> tuple[object, ...]:
    return [(known.kind, known.value) for known in one.identifiers], one.purchases, one.calls, one.emails, one.traits


def test_names_that_he_had_when_it_was_asked_for_stay_out_even_where_nothing_is_known_of_him() -> None:
    names = tuple(sorted(digest_of(Identifier(kind, value)) for kind, value in ANA.items()))
    work, said = fold([erasure("nobody", at=5, names=names), purchase(ANA, at=4)])
    assert (records(work), [one.topic for one in said]) == ([], ["erasures"])


def test_a_stripped_event_keeps_the_attributes_of_its_sender() -> None:
    sent = encode(purchase({"customer_id": "C2", "email": "ana@x.org"}, at=2))[:-1] + b',"comment":"kept"}'
    work, _ = fold([purchase(ANA, at=1), erasure(own_id(Identifier("customer_id", "C1"))), hear(sent)])
    (left,) = work.events
    assert b'"comment":"kept"' in body_of(left)
    assert b"ana@x.org" not in body_of(left)


def test_reports_of_other_stores_change_nobody() -> None:
    report = decode(confirm("segment", Erasure(erasure_id="e", profile_id="p"), {"change": 3}, moment(9)).value or b"")
    work, said = fold([purchase(ANA, at=1), report])
    assert (len(said), len(work.events), work.removals) == (1, 1, [report])


def test_originals_are_searched_for_the_erased() -> None:
    names = {digest_of(Identifier("email", "ana@x.org")), digest_of(Identifier("phone", "+34600000001"))}
    names.add(digest_of(Identifier("customer_id", "17")))
    for text in (
        b'{"data":{"customer":{"email":" Ana@X.org "}}}',
        b'[{"customer":{"phone":"+34 600 000 001"}}]',
        b'{"identifiers":[{"kind":"customer_id","value":17}]}',
        b'{"userId":"17","type":"track"}',
        b'{"broken": "ana@x.org"',
    ):
        assert mentions(text, names), text
    for text in (b'{"order_id":"17","total":17}', b'{"email":"bob@x.org"}', b"17th of May, bob@x.org", b""):
        assert not mentions(text, names), text


def test_only_the_customer_that_is_meant_goes() -> None:
    events = [purchase(ANA, at=1), purchase({"customer_id": "C2"}, at=2), email({"email": "c@x.org"}, at=3)]
    profile: Profile = customers(*events)["C2"]
    left = records(fold([*events, erasure(profile.profile_id)])[0])
    assert [one.identifiers[0].value for one in left] == ["C1", "c@x.org"]
    assert records(fold([*events, replace(erasure("nobody"), id="x")])[0])[0].identifiers[0].value == "C1"
