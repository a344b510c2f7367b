"""Dead letters are kept once, found again, paged without gaps, and change state one way only."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from services.ingest import letters, store
from services.ingest.core import evolve, react
from services.ingest.model import OPEN, REPAIRED, REPLAYED, Accepted, Door, Letter
from services.ingest.service import SERVICE
from shared.database import transaction
from shared.errors import Fault, InvalidEvent
from shared.events.envelope import Event, decode, encode, raw
from shared.events.erasures import ERASED, Erasure, digest_of, removed_in
from shared.events.identifiers import Identifier
from shared.events.outgoing import Outgoing
from shared.events.times import to_ms
from shared.log import Record
from tests.conftest import Opener

NOW = datetime(2026, 11, 20, 10, 15, 3, tzinfo=UTC)
WRONG = InvalidEvent("invalid_event", (Fault("must not be negative", "/data/total"),))
PURCHASE = b'{"customer":{"customer_id":"C-1"},"order_id":"1","total":"5"}'


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE)


def letter(number: int = 0, seconds: float = 0, source: str = "shop", code: str = "invalid_event") -> Letter:
    envelope = {"source": source, "type": "purchase.completed", "n": number}
    error = InvalidEvent(code, WRONG.faults)
    return letters.reject(b'{"n":%d}' % number, envelope, error, NOW + timedelta(seconds=seconds), number)


def keep(engine: Engine, *many: Letter) -> None:
    with transaction(engine) as connection:
        store.keep(connection, many)


def all_pages(engine: Engine, limit: int, wanted: store.Filter | None = None) -> list[Letter]:
    found: list[Letter] = []
    before = None
    while len(found) < 100:
        with engine.connect() as connection:
            page, more = store.page(connection, wanted or store.Filter(), before, limit)
        found.extend(page)
        if not more:
            return found
        before = (to_ms(page[-1].received_at), page[-1].id)
    raise AssertionError("the pages do not end")


def test_a_letter_comes_back_as_it_was_kept(engine: Engine) -> None:
    kept = Letter(
        id="x",
        received_at=NOW.replace(microsecond=7000),
        source="söurce",
        code="invalid_json",
        errors=({"detail": "no \x00", "pointer": "/a"},),
        original=b"\x00\xff{",
        type="t",
        service="profile",
        topic="interactions",
        partition=3,
        offset=2**40,
        file="a.csv",
        line=9,
        repaired=b"{}",
        state=REPAIRED,
    )
    keep(engine, kept)
    with engine.connect() as connection:
        assert store.find(connection, "x") == kept
        assert store.find(connection, "y") is None


def test_a_letter_is_kept_once(engine: Engine) -> None:
    first = letter()
    keep(engine, first, first)
    with transaction(engine) as connection:
        assert store.mark_replayed(connection, [first.id])
    keep(engine, first)
    assert [(found.id, found.state) for found in all_pages(engine, 10)] == [(first.id, REPLAYED)]


def test_equal_rejections_are_letters_of_their_own() -> None:
    envelope = {"source": "s"}
    many = [letters.reject(b"{}", envelope, WRONG, NOW + timedelta(milliseconds=k // 2), k % 2) for k in range(6)]
    assert len({one.id for one in many}) == 6
    assert many[0] == letters.reject(b"{}", envelope, WRONG, NOW, 0)


def test_pages_have_no_gap_and_no_repetition(engine: Engine) -> None:
    many = [letter(n, seconds=n // 3) for n in range(20)]
    keep(engine, *many)
    expected = [x.id for x in sorted(many, key=lambda x: (x.received_at, x.id), reverse=True)]
    for limit in (1, 3, 7, 20, 100):
        assert [x.id for x in all_pages(engine, limit)] == expected


def test_a_page_is_bounded_in_bytes(engine: Engine) -> None:
    large = b"x" * (store.LARGEST_PAGE // 2)
    many = [letters.reject(large, None, WRONG, NOW + timedelta(seconds=n), n) for n in range(5)]
    keep(engine, *many)
    with engine.connect() as connection:
        page, more = store.page(connection, store.Filter(), None, 5)
    assert (len(page), more) == (2, True)
    assert len(all_pages(engine, 5)) == 5


def test_filters(engine: Engine) -> None:
    a, b, c = letter(1), letter(2, 10, source="pbx"), letter(3, 20, code="unknown_type")
    keep(engine, a, b, c)
    with transaction(engine) as connection:
        store.repair(connection, b.id, b"{}", "call.completed")

    def ids(**wanted: Any) -> list[str]:
        return [x.id for x in all_pages(engine, 10, store.Filter(**wanted))]

    assert ids(source="pbx") == [b.id]
    assert ids(code="unknown_type") == [c.id]
    assert ids(state=OPEN) == [c.id, a.id]
    assert ids(state=REPAIRED) == ids(type="call.completed") == [b.id]
    assert ids(since=b.received_at) == [c.id, b.id]
    assert ids(until=b.received_at) == [a.id]


def test_what_was_replayed_stays_so(engine: Engine) -> None:
    one = letter()
    keep(engine, one)
    with transaction(engine) as connection:
        assert store.repair(connection, one.id, b"{}", "call.completed")
        assert store.mark_replayed(connection, [one.id]) == 1
        assert store.mark_replayed(connection, [one.id]) == 0
        assert not store.repair(connection, one.id, b"[]", "call.completed")
        assert not store.repair(connection, "nobody", b"[]", "call.completed")
        found = store.find(connection, one.id)
    assert found is not None
    assert (found.state, found.repaired, found.type) == (REPLAYED, b"{}", "call.completed")


def test_letters_travel_on_their_topic(engine: Engine) -> None:
    sent = letter()
    record = letters.announce(sent)
    assert (record.topic, record.key) == ("dead-letters", sent.id)
    arrived = SERVICE.decode(Record("dead-letters", 0, 0, 0, record.key, record.value))
    assert arrived == Letter(**{f: getattr(sent, f) for f in Letter.__struct_fields__ if f != "type"})
    for _ in range(2):
        with transaction(engine) as connection:
            work = SERVICE.load(connection, [arrived, arrived])
            for event in (arrived, arrived):
                before = work.part(event)
                after = SERVICE.evolve(before, event)
                assert SERVICE.react(before, after) == ()
                work.replace(before, after)
            SERVICE.save(connection, work)
    assert all_pages(engine, 10) == [arrived]
    with pytest.raises(InvalidEvent):
        SERVICE.decode(Record("dead-letters", 0, 0, 0, None, b'{"specversion":"1.0"}'))


def test_a_record_becomes_an_interaction() -> None:
    event = SERVICE.decode(Record("purchases", 0, 0, to_ms(NOW), None, PURCHASE))
    assert isinstance(event, Accepted)
    (said,) = react(Door(), evolve(Door(), event))
    assert (said.topic, said.key) == ("interactions", "customer_id:C-1")
    assert said.value is not None
    assert decode(said.value) == event.event
    assert react(evolve(Door(), event), evolve(Door(), event)) == ()
    assert SERVICE.identity(event) == ("topic/purchases\n1", event.event.fingerprint)
    assert SERVICE.event_ms(event) == to_ms(NOW)
    assert SERVICE.describe(event) == ("purchase.completed", NOW)


def test_a_record_that_is_too_large() -> None:
    value = PURCHASE[:-1] + b',"note":"' + b"x" * (256 * 1024) + b'"}'
    with pytest.raises(InvalidEvent) as caught:
        SERVICE.decode(Record("purchases", 0, 0, 0, None, value))
    assert caught.value.code == "too_large"


def test_letters_of_an_erased_customer_go_and_are_counted(engine: Engine) -> None:
    mine = b'{"data":{"customer":{"email":"Ana@x.org"}}}'
    many = [letters.reject(text, None, WRONG, NOW, n) for n, text in enumerate([mine, b"{}", mine[:-1], PURCHASE])]
    keep(engine, *many)
    with transaction(engine) as connection:
        store.repair(connection, many[1].id, mine, "call.completed")
    about = Erasure(erasure_id="E-1", profile_id="p", names=(digest_of(Identifier("email", "ana@x.org")),))
    said = Outgoing("erasures", "E-1", encode(erased_event(about)))
    event = SERVICE.decode(Record("erasures", 0, 0, 0, said.key, said.value))
    with transaction(engine) as connection:
        work = SERVICE.load(connection, [event])
        before = work.part(event)
        work.replace(before, SERVICE.evolve(before, event))
        SERVICE.save(connection, work)
    assert [one.id for one in all_pages(engine, 10)] == [many[3].id]
    assert SERVICE.report is not None
    (told,) = SERVICE.report(work)
    assert removed_in.decode(decode(told.value or b"").data).removed == {"dead_letters": 3}
    report = SERVICE.decode(Record("erasures", 0, 1, 0, told.key, told.value))
    assert report is None
    assert SERVICE.identity(event) == ("erasure/E-1", "")


def erased_event(about: Erasure) -> Event:
    return Event(specversion="1.0", id="x", source="cartera/profile", type=ERASED, time=NOW, data=raw(about))
