"""The store and the REST of the profile service, on every database there is."""

import json
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import Engine, create_engine, event, func, select

from services.profile import queries, store, tables
from services.profile.api import router
from services.profile.core import evolve, react
from services.profile.identity import HUB_CUSTOMERS
from services.profile.model import body_of, own_id
from services.profile.service import SERVICE
from services.profile.work import Work
from shared.database import transaction
from shared.errors import Conflict, InvalidEvent, Unavailable
from shared.events.envelope import Event, decode, encode
from shared.events.identifiers import Identifier
from shared.events.outgoing import Outgoing
from shared.events.profiles import Profile
from shared.events.times import to_ms
from shared.log import Position, Record, Told, TopicPartition
from shared.log.sqlite import SqliteLog
from shared.runtime.service import Context
from shared.runtime.web import Cursor, build
from shared.security import StoredKeys
from shared.telemetry import Metrics
from tests.builders import chat, consent, email, identified, interaction, linked, moment, purchase, split
from tests.conftest import Opener
from tests.core.test_profile_core import bare, fold, records

ANA = {"customer_id": "C1", "email": "ana@example.com"}


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE)


def apply(engine: Engine, *events: Event) -> Work:
    with transaction(engine) as connection:
        work = store.load(connection, events)
        for one in events:
            before = work.part(one)
            after = evolve(before, one)
            react(before, after)
            work.replace(before, after)
        store.save(connection, work)
    return work


def stored(engine: Engine) -> list[Profile]:
    with engine.connect() as connection:
        found = queries.search(connection, "", 1000)
    return sorted(found, key=lambda one: [(known.kind, known.value) for known in one.identifiers])


def history(seed: int) -> list[Event]:
    """A few hundred events of people who share identifiers, with a link and a split among them."""
    chance = random.Random(seed)
    events = []
    for at in range(250):
        who: dict[str, Any] = {"customer_id": f"C{chance.randrange(30)}"} if chance.random() < 0.7 else {}
        who |= {"email": f"e{chance.randrange(40)}@example.com"} if chance.random() < 0.6 or not who else {}
        who |= {"device_id": f"d{chance.randrange(4)}"} if chance.random() < 0.2 else {}
        events.append(chance.choice((purchase, identified, chat))(who, at=at))
    events.append(linked({"customer_id": "C1"}, ("customer_id", "C2"), at=300))
    events.append(linked({"customer_id": "C3"}, ("customer_id", "C4"), ("customer_id", "C5"), at=301))
    events.append(split({"customer_id": "C3"}, ("customer_id", "C4"), at=302))
    return events


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_batches_of_any_size_give_the_same_records_as_no_store_at_all(engine: Engine, size: int) -> None:
    events = history(size)
    for start in range(0, len(events), size):
        apply(engine, *events[start : start + size])
    assert stored(engine) == records(fold(events)[0])


def test_a_component_comes_back_as_it_went() -> None:
    for home in fold(history(3))[0].components.values():
        assert store.unpack(home.id, store.pack(home)) == home


def test_a_batch_takes_a_fixed_number_of_statements(engine: Engine) -> None:
    def count(number: int) -> int:
        statements = []
        event.listen(engine, "before_cursor_execute", counter := lambda *a: statements.append(a[2]))
        apply(engine, *(purchase({"customer_id": f"{number}-{n}"}, at=n) for n in range(number)))
        event.remove(engine, "before_cursor_execute", counter)
        return len(statements)

    assert count(3) == count(150)


def test_every_id_leads_to_the_customer_and_identifiers_too(engine: Engine) -> None:
    apply(engine, purchase({"customer_id": "C1"}, at=1), purchase({"email": "a@x.org"}, at=2))
    before = stored(engine)
    apply(engine, purchase({"customer_id": "C1", "email": "a@x.org"}, at=3))
    (after,) = stored(engine)
    with engine.connect() as connection:
        assert [queries.by_id(connection, one.profile_id) for one in before] == [after, after]
        assert queries.by_identifier(connection, Identifier("email", "a@x.org")) == after
        assert queries.by_id(connection, "nobody") is None
        assert connection.scalar(select(func.count()).select_from(tables.profile)) == 1
        assert connection.scalar(select(func.count()).select_from(tables.component)) == 1


def test_a_search_finds_identifiers_and_names_in_any_case(engine: Engine) -> None:
    apply(engine, identified(ANA, name="Ana PÉREZ"), identified({"customer_id": "100%"}, name="Bo"))
    with engine.connect() as connection:

        def find(words: str) -> list[str]:
            return [one.identifiers[0].value for one in queries.search(connection, words, 10)]

        assert (find("pérez ANA"), find("ANA@EXAMPLE"), find("0%"), find("_"), find("ana bo")) == (
            ["C1"],
            ["C1"],
            ["100%"],
            [],
            [],
        )


def test_a_timeline_is_of_the_whole_customer_newest_first(engine: Engine) -> None:
    told = [purchase(ANA, at=2), email({"email": "ana@example.com"}, at=1), chat({"customer_id": "C1"}, at=3)]
    apply(engine, *told, purchase({"customer_id": "C2"}, at=2))
    with engine.connect() as connection:
        known = queries.by_identifier(connection, Identifier("customer_id", "C1"))
        assert known is not None
        found = queries.timeline(connection, known, 10)
        assert [decode(one.body) for one in found] == sorted(told, key=lambda one: one.time, reverse=True)
        assert [decode(one.body) for one in queries.timeline(connection, known, 10, (found[0].at, found[0].seq))] == [
            decode(one.body) for one in found[1:]
        ]
        assert [decode(one.body) for one in queries.timeline(connection, known, 10, kind="email.opened")] == [told[1]]


def test_a_timeline_has_an_order_among_events_of_one_moment(engine: Engine) -> None:
    told = [purchase(ANA, event_id=f"{number}") for number in range(3)]
    apply(engine, *told)
    with engine.connect() as connection:
        known = queries.by_identifier(connection, Identifier("customer_id", "C1"))
        assert known is not None
        (newest,) = queries.timeline(connection, known, 1)
        (next_one,) = queries.timeline(connection, known, 1, (newest.at, newest.seq))
    assert [decode(newest.body), decode(next_one.body)] == [told[2], told[1]]


def test_a_crowd_behind_one_phone_is_stored_in_small_pieces(engine: Engine) -> None:
    for n in range(3 * HUB_CUSTOMERS):
        apply(engine, purchase({"customer_id": f"C{n}", "phone": "+1"}, at=n))
    assert len(stored(engine)) == 3 * HUB_CUSTOMERS + 1
    with engine.connect() as connection:
        longest = connection.scalar(select(func.max(func.length(tables.component.c.body))))
    assert longest < 20_000


def test_the_same_identifier_seen_first_by_two_workers_is_a_conflict(engine: Engine) -> None:
    late = Work()
    one = purchase(ANA, at=1)
    late.replace(late.part(one), evolve(late.part(one), one))
    apply(engine, purchase(ANA, at=2))
    with pytest.raises(Conflict), transaction(engine) as connection:
        store.save(connection, late)
    assert stored(engine)[0].purchases.count == 1


def test_workers_that_meet_in_the_same_customers_lose_nothing(engine: Engine) -> None:
    events = history(5)
    parts = [events[worker::3] for worker in range(3)]

    def work(part: list[Event]) -> None:
        for start in range(0, len(part), 5):
            while True:
                try:
                    apply(engine, *part[start : start + 5])
                    break
                except (Conflict, Unavailable):
                    continue

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, parts))
    assert bare(stored(engine)) == bare(records(fold(events)[0]))


def test_what_is_no_event_is_refused_for_good() -> None:
    with pytest.raises(InvalidEvent):
        SERVICE.decode(Record("interactions", 0, 0, 0, None, b"{"))
    assert SERVICE.decode(Record("interactions", 0, 0, 0, None, None)) is None
    heard = SERVICE.decode(Record("interactions", 0, 0, 0, None, encode(purchase(ANA))))
    assert encode(heard) != body_of(heard) == encode(purchase(ANA))


class House:
    """The service with its web side and a log; `settle` applies what the REST has appended."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.log = SqliteLog(folder / "log.db", 1, lambda: 0)
        keys = StoredKeys(create_engine(f"sqlite:///{folder}/keys.db").begin, lambda: moment(0), {"admin": "root"})
        self.settings: dict[str, Any] = {}
        context = Context(
            engine=self.engine,
            log=self.log,
            clock=lambda: moment(900 + self.taken),
            settings=self.settings,
            nudge=lambda: None,
        )
        self.taken = 0
        app = build("profile", [router(context)], keys, {}, Metrics("1"))
        self.web = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://house", headers={"Authorization": "Bearer root"}
        )

    async def settle(self) -> list[Event]:
        events: list[Event] = []
        for place, end in (await self.log.ends("interactions")).items():
            for offset in range(self.taken, end):
                record = await self.log.read(place, offset)
                assert record is not None
                events.append(SERVICE.decode(record))
            self.taken = end
        apply(self.engine, *events)
        return events

    async def get(self, path: str, **parameters: Any) -> Any:
        answer = await self.web.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def find(self, **name: str) -> Any:
        (found,) = (await self.get("/v1/profiles", **name))["profiles"]
        return found


@pytest.fixture
async def house(engine: Engine, tmp_path: Path) -> AsyncIterator[House]:
    house = House(engine, tmp_path)
    yield house
    await house.web.aclose()
    await house.log.close()


async def test_rest_finds_a_customer_by_any_identifier(house: House) -> None:
    apply(house.engine, purchase({**ANA, "phone": "+34600000001"}, at=1))
    by_email = await house.find(email=" Ana@Example.com")
    assert by_email == await house.find(phone="+34 600 000 001") == await house.find(customer_id="C1")
    assert by_email["purchases"]["revenue"] == {"EUR": "49.90"}
    assert by_email["identifiers"][0] == {"kind": "customer_id", "value": "C1", "first_seen_at": "2026-03-02T09:01:00Z"}
    assert (await house.get("/v1/profiles", email="no@x.org"))["profiles"] == []
    assert (await house.web.get("/v1/profiles/nobody")).json()["code"] == "unknown_profile"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("foo=x", ["foo"]),
        ("mail=a%40x.org&foo=1", ["mail", "foo"]),
        ("email=a%40x.org&customer_id=C1", ["customer_id", "email"]),
        ("email=a%40x.org&q=C1", ["email", "q"]),
        ("customer_id=C1&customer_id=C2", ["customer_id"]),
        ("email=", ["email"]),
        ("limit=0", ["limit"]),
        ("limit=1001", ["limit"]),
        ("limit=many", ["limit"]),
        ("cursor=no", ["cursor"]),
    ],
)
async def test_a_look_up_that_is_not_clear_is_refused(house: House, query: str, named: list[str]) -> None:
    apply(house.engine, purchase(ANA, at=1))
    answer = await house.web.get(f"/v1/profiles?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert [error["parameter"] for error in answer.json()["errors"]] == named
    assert answer.json()["code"] == ("invalid_cursor" if "cursor" in named else "invalid_parameter")


async def test_a_timeline_asked_for_unclearly_is_refused(house: House) -> None:
    apply(house.engine, purchase(ANA, at=1))
    path = f"/v1/profiles/{(await house.find(customer_id='C1'))['profile_id']}"
    far = Cursor.encode((1 << 70, 0))
    for query in ("limit=0", "kind=call", "before=2026-01-01T00:00:00", f"before=2026-01-01T00:00:00Z&cursor={far}"):
        assert (await house.web.get(f"{path}/timeline?{query}")).status_code == 400, query
    assert (await house.web.get(f"{path}/timeline?before={far}")).json()["code"] == "invalid_cursor"
    assert (await house.web.get(f"{path}?full=1")).status_code == 400
    assert (await house.web.get(f"{path}/evidence?limit=1")).status_code == 400


async def test_rest_pages_lists_and_timelines(house: House) -> None:
    apply(house.engine, *(purchase({"customer_id": f"C{n}"}, at=n) for n in range(5)))
    apply(house.engine, *(purchase({"customer_id": "C0"}, at=n) for n in (10, 10.5, 11)))
    seen, cursor = [], ""
    while cursor is not None:
        page = await house.get("/v1/profiles", q="c", limit=2, cursor=cursor)
        seen += [one["profile_id"] for one in page["profiles"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(own_id(Identifier("customer_id", f"C{n}")) for n in range(5))
    path = f"/v1/profiles/{own_id(Identifier('customer_id', 'C0'))}/timeline"
    first = await house.get(path, limit=3)
    rest = await house.get(path, limit=3, before=first["next_cursor"])
    assert [len(first["events"]), len(rest["events"]), rest["next_cursor"]] == [3, 1, None]
    assert first["events"][0]["receivedat"] == "2026-03-02T09:11:00Z"
    assert len((await house.get(path, before="2026-03-02T09:10:30Z"))["events"]) == 2
    assert (await house.web.get(path, params={"before": "yesterday"})).status_code == 400


async def test_rest_changes_traits_and_consents(house: House) -> None:
    apply(house.engine, identified(ANA, name="Ana"), consent({"email": ANA["email"]}, "denied", at=1))
    path = f"/v1/profiles/{(await house.find(customer_id='C1'))['profile_id']}"
    answer = await house.web.patch(f"{path}/traits", json={"region": "north", "name": None})
    assert answer.status_code == 202
    (event,) = await house.settle()
    assert answer.json() == {"source": event.source, "id": event.id}
    stated = {"status": "granted", "expires_at": "2027-01-01T00:00:00Z"}
    assert (await house.web.put(f"{path}/consents/email", json=stated)).status_code == 202
    await house.settle()
    found = await house.find(customer_id="C1")
    assert found["traits"] == {"region": "north"}
    assert found["consents"]["email"]["status"] == "granted"
    assert found["consents"]["email"]["expires_at"] == "2027-01-01T00:00:00Z"
    assert (await house.web.put(f"{path}/consents/email", json={"status": "maybe"})).status_code == 422


async def test_a_timeline_shows_events_as_they_were_accepted(house: House) -> None:
    sent = msgspec.json.decode(encode(interaction("customer.grouped", ANA, 1, group_id="acme")))
    (value,) = [msgspec.json.encode({**sent, "campaignref": "spring", "fingerprint": "f" * 32})]
    await house.log.append([Outgoing("interactions", "customer_id:C1", value)])
    await house.settle()
    path = f"/v1/profiles/{(await house.find(customer_id='C1'))['profile_id']}/timeline"
    (shown,) = (await house.get(path))["events"]
    assert shown == {**{name: sent[name] for name in sent if name != "fingerprint"}, "campaignref": "spring"}
    assert shown["receivedat"] == "2026-03-02T09:01:00Z"


async def test_a_statement_overrides_all_that_is_known_though_the_clock_is_behind(house: House) -> None:
    """Under the clock of events the present is the latest event that was applied, here none at all."""
    house.settings["clock"] = "events"
    apply(house.engine, purchase({"customer_id": "C2"}, at=3), purchase(ANA, at=5), identified(ANA, at=9, name="Ana"))
    apply(house.engine, consent(ANA, "denied", at=9), split(ANA, ("customer_id", "C2"), at=9))
    known = await house.find(customer_id="C1")
    other = (await house.find(customer_id="C2"))["profile_id"]
    path = f"/v1/profiles/{known['profile_id']}"
    for name in ("Ann", "Anna", "Ann", "Anne"):
        assert (await house.web.patch(f"{path}/traits", json={"name": name})).status_code == 202
    assert (await house.web.put(f"{path}/consents/Email", json={"status": "granted"})).status_code == 202
    merged = await house.web.post("/v1/profiles/merge", json={"profile_ids": [known["profile_id"], other]})
    assert merged.status_code == 202
    events = await house.settle()
    assert [moment(9) < one.time < moment(10) for one in events] == [True] * 6
    found = await house.find(customer_id="C1")
    assert (found["traits"]["name"], found["consents"]["email"]["status"]) == ("Anne", "granted")
    assert other in (found["profile_id"], *found["aliases"])


async def test_the_clock_of_events_is_the_latest_event_that_was_applied(house: House) -> None:
    house.settings["clock"] = "events"
    apply(house.engine, purchase(ANA, at=1))
    told = Told("profile", {TopicPartition("interactions", 0): Position(0, 0, to_ms(moment(600)))})
    await house.log.tell(told)
    path = f"/v1/profiles/{(await house.find(customer_id='C1'))['profile_id']}"
    assert (await house.web.patch(f"{path}/traits", json={"name": "Ana"})).status_code == 202
    (event,) = await house.settle()
    assert (event.time, event.receivedat) == (moment(600), moment(900))


async def test_what_cannot_be_stored_cannot_be_stated(house: House) -> None:
    apply(house.engine, purchase(ANA, at=1))
    path = f"/v1/profiles/{(await house.find(customer_id='C1'))['profile_id']}/traits"
    wrong = await house.web.patch(path, json={"a": {"b": "\x00"}})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/a/b")
    large = await house.web.patch(path, json={"a": "x" * 40_000})
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    assert await house.settle() == []


async def test_rest_merges_and_splits_and_tells_why(house: House) -> None:
    apply(house.engine, purchase(ANA, "1.00", at=1), purchase({"customer_id": "C2", "email": "b@x.org"}, "2.00", at=2))
    apply(house.engine, purchase({"customer_id": "C2", "email": ANA["email"]}, "4.00", at=3))
    before = stored(house.engine)
    ids = [one.profile_id for one in before]
    assert (await house.web.post("/v1/profiles/merge", json={"profile_ids": ids, "reason": "asked"})).status_code == 202
    await house.settle()
    (whole,) = stored(house.engine)
    assert whole.purchases.revenue == {"EUR": "7.00"}
    assert (await house.get(f"/v1/profiles/{ids[1]}"))["profile_id"] == whole.profile_id == ids[0]
    again = await house.web.post("/v1/profiles/merge", json={"profile_ids": ids})
    assert (again.status_code, again.json()["code"]) == (422, "same_profile")

    path = f"/v1/profiles/{whole.profile_id}"
    assert {link["state"] for link in (await house.get(f"{path}/evidence"))["links"]} == {"applied"}
    wrong = await house.web.post(f"{path}/split", json={"identifiers": [{"kind": "email", "value": "no@x.org"}]})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/identifiers/0")
    leaving = [{"kind": "customer_id", "value": "C2"}]
    assert (await house.web.post(f"{path}/split", json={"identifiers": leaving})).status_code == 202
    await house.settle()
    assert bare(stored(house.engine)) == bare(before)
    assert [one.profile_id for one in stored(house.engine)] == ids
    shown = await house.get(f"{path}/evidence")
    assert [one["value"] for one in shown["identifiers"]] == ["C1", ANA["email"]]
    assert [(link["state"], link["reason"]) for link in shown["links"]] == [
        ("applied", None),
        ("rejected", "split"),
        ("rejected", "split"),
        ("rejected", "split"),
    ]


async def test_who_may_be_one_is_proposed_until_a_person_decides(house: House) -> None:
    for number, (one, other) in enumerate((("C1", "C2"), ("C3", "C4"))):
        mail = f"m{number}@x.org"
        apply(house.engine, purchase({"customer_id": one, "email": mail}, at=number))
        apply(house.engine, purchase({"customer_id": other, "email": mail}, at=number + 10))
    first = await house.get("/v1/merge-proposals", limit=1)
    (shown,) = first["merge_proposals"]
    assert (shown["reason"], [one["value"] for one in shown["identifiers"]]) == (
        "customer_id_limit",
        ["C4", "m1@x.org"],
    )
    assert sorted(shown["profile_ids"]) == sorted(
        [(await house.find(customer_id=c))["profile_id"] for c in ("C3", "C4")]
    )
    (older,) = (await house.get("/v1/merge-proposals", cursor=first["next_cursor"]))["merge_proposals"]
    assert (await house.web.post(f"/v1/merge-proposals/{shown['id']}/accept")).status_code == 202
    assert (await house.web.post(f"/v1/merge-proposals/{older['id']}/reject")).status_code == 202
    assert [one.type for one in await house.settle()] == ["customer.linked", "customer.split"]
    assert (await house.find(customer_id="C3"))["profile_id"] == (await house.find(customer_id="C4"))["profile_id"]
    assert (await house.find(customer_id="C1"))["profile_id"] != (await house.find(customer_id="C2"))["profile_id"]
    apply(house.engine, purchase({"customer_id": "C2", "email": "m0@x.org"}, at=99))
    assert (await house.get("/v1/merge-proposals"))["merge_proposals"] == []
    again = await house.web.post(f"/v1/merge-proposals/{older['id']}/accept")
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


async def test_the_proposals_of_an_erased_customer_go(house: House) -> None:
    apply(house.engine, purchase(ANA, at=1), purchase({"customer_id": "C2", "email": ANA["email"]}, at=2))
    assert len((await house.get("/v1/merge-proposals"))["merge_proposals"]) == 1
    path = f"/v1/profiles/{(await house.find(customer_id='C1'))['profile_id']}"
    receipt = (await house.web.delete(path)).json()
    assert (receipt["state"], receipt["stores"]) == ("accepted", [])
    await house.settle()
    assert (await house.get("/v1/merge-proposals"))["merge_proposals"] == []
    shown = await house.get(f"/v1/erasures/{receipt['erasure_id']}")
    assert (shown["state"], shown["stores"][0]["removed"]) == (
        "applied",
        {"identifiers": 2, "events": 1, "mentions": 1},
    )
    assert (await house.web.get("/v1/erasures/none")).status_code == 404


async def test_every_path_is_described(house: House) -> None:
    apply(house.engine, purchase(ANA, at=1))
    document = (await house.web.get("/openapi.json")).json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "basic"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "default" in operation["responses"], (method, path)
            if path.startswith("/v1/"):
                assert operation["security"], (method, path)
                good = next(text for status, text in operation["responses"].items() if status.startswith("2"))
                assert good["content"]["application/json"]["schema"].get("properties"), (method, path)
    assert "$ref" not in json.dumps(document["paths"]["/v1/profiles"]["get"]["responses"]["200"])
    shape = document["paths"]["/v1/profiles/{profile_id}"]["get"]["responses"]["200"]["content"]["application/json"]
    assert set(await house.find(customer_id="C1")) == set(shape["schema"]["properties"])


async def test_rest_needs_a_key(house: House) -> None:
    assert (await house.web.get("/v1/profiles", headers={"Authorization": "Bearer no"})).status_code == 401
