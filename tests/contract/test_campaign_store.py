"""The campaign service on a database: batches, timers, the gateway with its outcomes, REST, opt-outs, erasure."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy as policies
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, create_engine, func, select, update

from services.campaign import tables
from services.campaign.gateway import BACKOFF_MS, Gateway
from services.campaign.queue import LEASE_MS
from services.campaign.service import SERVICE, rulebooks_of
from services.campaign.store import load_customers
from shared.database import transaction
from shared.errors import InvalidEvent
from shared.events.envelope import Event, decode, derived_id, encode, raw
from shared.events.interactions import BEGIN, DECODERS, END
from shared.events.outgoing import Outgoing, remove
from shared.events.profiles import UPDATED, Consent, Known, Profile, Removal
from shared.events.segments import CHANGED, SegmentChanged
from shared.events.times import from_ms, to_ms
from shared.log import Record, TopicPartition
from shared.log.sqlite import SqliteLog
from shared.runtime.processor import fire
from shared.runtime.service import Context, Watermark
from shared.runtime.web import build
from shared.security import StoredKeys
from shared.telemetry import Metrics
from tests.conftest import Opener
from tests.contract.mail_server import MailServer

NOON = datetime(2026, 5, 25, 12, 0, tzinfo=UTC)


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE)


class House:
    """One campaign service with a clock in the test's hand."""

    def __init__(self, engine: Engine, folder: Path, **settings: Any) -> None:
        self.engine = engine
        self.now = NOON
        self.log = SqliteLog(folder / "log.db", 1, lambda: 0)
        self.outbox = folder / "outbox"
        given = {"secret": "s" * 32, "outbox_dir": self.outbox, "public_url": "https://e.example", **settings}
        self.context = Context(engine=engine, log=self.log, clock=lambda: self.now, settings=given, nudge=lambda: None)
        assert SERVICE.start is not None
        with transaction(engine) as connection:
            SERVICE.start(connection, self.context)
        SERVICE.router(self.context)
        self.said: list[Outgoing] = []
        self.gateway = self.another_gateway()

    def another_gateway(self) -> Gateway:
        return Gateway(self.context, rulebooks_of(self.engine))

    def apply(self, *records: Record) -> None:
        events = [event for record in records if (event := SERVICE.decode(record)) is not None]
        assert SERVICE.order is not None
        with transaction(self.engine) as connection:
            self.said += fire(SERVICE, sorted(events, key=SERVICE.order), connection)

    def fire(self) -> int:
        """Everything that is due; how many timers and outcomes there were."""
        assert SERVICE.timers is not None
        fired = 0
        while True:
            with transaction(self.engine) as connection:
                events = SERVICE.timers.due(connection, Watermark(live=self.now), 500)
                if events is None:
                    return fired
                fired += len(events)
                self.said += fire(SERVICE, events, connection)

    def send(self) -> None:
        self.fire()
        while self.gateway.send_batch():
            self.fire()

    def states(self) -> Counter[tuple[str, str | None]]:
        table = tables.message
        with self.engine.connect() as connection:
            rows = connection.execute(select(table.c.state, table.c.reason)).all()
        return Counter((row.state, row.reason if row.state in ("refused", "held") else None) for row in rows)

    def count(self, table: Any) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())

    def types(self) -> list[str]:
        return [decode(record.value or b"").type for record in self.said]


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    return House(engine, tmp_path)


def name_of(number: int) -> str:
    return derived_id("somebody", number)


def record_of(number: int = 1, version: int = 1, history: str | None = None, **given: Any) -> Record:
    time = given.pop("time", NOON)
    profile = Profile(
        profile_id=name_of(number),
        version=version,
        identifiers=given.pop(
            "identifiers", (Known("customer_id", f"C{number}", NOON), Known("email", f"c{number}@example.com", NOON))
        ),
        traits=given.pop("traits", {"name": "Ana Pérez"}),
        consents=given.pop("consents", {"email": Consent("granted", "marketing", NOON)}),
        first_seen_at=NOON,
        last_seen_at=NOON,
        **given,
    )
    event = Event(
        specversion="1.0",
        id=derived_id(profile.profile_id, version),
        source="cartera/profile",
        type=UPDATED,
        time=time,
        data=raw(profile),
        history=history,
    )
    return Record("profiles", 0, version, 0, profile.profile_id, encode(event))


def change_of(number: int = 1, version: int = 1, history: str | None = None, **given: Any) -> Record:
    change = SegmentChanged(
        profile_id=name_of(number),
        segmentation="status",
        from_=given.get("from_"),
        to=given.get("to", "active"),
        version=version,
        cause="event",
        occurred_at=given.get("time", NOON),
        definition_version=1,
        profile_version=given.get("profile_version", 1),
    )
    event = Event(
        specversion="1.0",
        id=derived_id(f"{change.profile_id}/status", version),
        source="cartera/segment",
        type=CHANGED,
        time=change.occurred_at,
        data=raw(change),
        history=history,
    )
    return Record("segment-changes", 0, version, 0, change.profile_id, encode(event))


def mark(kind: str, topic: str) -> Record:
    event = Event(
        specversion="1.0", id=kind, source="cartera/import", type=kind, time=NOON, data=raw({"name": "sample"})
    )
    return Record(topic, 0, 0, 0, None, encode(event))


def files(house: House) -> Sequence[Path]:
    return sorted(house.outbox.rglob("*.eml"))


def test_a_class_change_becomes_a_mail_in_the_outbox(house: House) -> None:
    house.apply(change_of(), record_of())
    house.send()
    (file,) = files(house)
    mail = BytesParser(policy=policies.default).parsebytes(file.read_bytes())
    assert mail["to"] == "c1@example.com"
    assert mail["subject"] == "Welcome, Ana!"
    assert mail["message-id"] == f"<{file.stem}@localhost.localdomain>"
    assert mail["list-unsubscribe"].startswith("<https://e.example/u/")
    assert house.types() == ["message.planned", "message.planned", "message.sent", "email.sent"]
    assert house.states() == {("sent", None): 1, ("planned", None): 1}
    assert (house.count(tables.dispatch), house.count(tables.signal), house.count(tables.due)) == (0, 0, 1)


def test_a_record_goes_before_the_changes_that_name_it_and_these_before_the_next(house: House) -> None:
    gone = remove(Removal(profile_id=name_of(1), reason="merge", version=3, time=NOON, into=name_of(2)))
    mixed = [
        change_of(version=2, profile_version=2),
        record_of(version=2),
        Record("profiles", 0, 3, 0, gone.key, None, gone.headers),
        change_of(version=1, profile_version=1),
        record_of(),
    ]
    assert SERVICE.order is not None
    events = sorted((SERVICE.decode(record) for record in mixed), key=SERVICE.order)
    assert [type(event).__name__ for event in events] == [
        "ProfileSeen",
        "ClassChanged",
        "ProfileSeen",
        "ClassChanged",
        "ProfileGone",
    ]


def test_a_batch_of_many(house: House) -> None:
    numbers = range(300)
    house.apply(*(record_of(n) for n in numbers), *(change_of(n) for n in numbers))
    house.send()
    assert len(files(house)) == 300
    house.apply(*(change_of(n) for n in numbers))
    house.send()
    assert house.types().count("message.sent") == 300
    house.now = NOON + timedelta(days=8)
    house.send()
    held_out = house.states()["refused", "hold_out"]
    assert 10 < held_out < 60
    assert house.states()["sent", None] == 600 - held_out


def test_what_is_saved_is_what_is_loaded(house: House) -> None:
    house.apply(record_of(), change_of())
    with house.engine.connect() as connection:
        customer = load_customers(connection, [name_of(1)])[name_of(1)]
    assert customer.view is not None
    assert customer.view.traits == {"name": "Ana Pérez"}
    assert [message.campaign for message in customer.messages] == ["second-purchase", "welcome"]
    assert customer.record is None


def test_two_gateways_and_a_crash_write_a_message_once(house: House) -> None:
    house.apply(record_of(), change_of())
    house.fire()
    other = house.another_gateway()
    with house.engine.connect() as connection:
        rows = connection.execute(select(tables.dispatch)).all()
    assert len(rows) == 1
    house.gateway.send_batch()
    with transaction(house.engine) as connection:
        # as if the first had died between the file and the outcome
        connection.execute(tables.dispatch.insert(), [dict(rows[0]._mapping)])
    other.send_batch()
    house.send()
    assert len(files(house)) == 1
    assert house.types().count("message.sent") == house.types().count("email.sent") == 1


def test_by_smtp(engine: Engine, tmp_path: Path) -> None:
    with MailServer() as server:
        house = House(engine, tmp_path, smtp_url=server.url)
        house.apply(record_of(1), change_of(1), record_of(2), change_of(2))
        house.send()
        assert len(server.received) == 2
        assert b"Message-ID: <" in server.received[0]
        assert house.states()["sent", None] == 2
        assert files(house) == []


def test_an_unknown_outcome_is_held_and_not_repeated(engine: Engine, tmp_path: Path) -> None:
    with MailServer("vanish") as server:
        house = House(engine, tmp_path, smtp_url=server.url)
        house.apply(record_of(), change_of())
        house.send()
        house.send()
        assert len(server.received) == 1
        held = [key for key in house.states() if key[0] == "held"]
        assert held
        assert "connection broke" in (held[0][1] or "")
        assert house.types().count("message.held") == 1


def test_a_refused_recipient_has_failed(engine: Engine, tmp_path: Path) -> None:
    with MailServer("reject") as server:
        house = House(engine, tmp_path, smtp_url=server.url)
        house.apply(record_of(), change_of())
        house.send()
        assert house.states()["failed", None] == 1
        assert server.received == []


def test_a_busy_server_is_tried_again_later(engine: Engine, tmp_path: Path) -> None:
    with MailServer("busy") as server:
        house = House(engine, tmp_path, smtp_url=server.url)
        house.apply(record_of(), change_of())
        house.send()
        assert not house.gateway.send_batch()
        server.mode = "accept"
        house.now = NOON + timedelta(milliseconds=BACKOFF_MS[0])
        house.send()
        assert len(server.received) == 1
        assert house.states()["sent", None] == 1


def test_no_server_is_not_an_outcome(engine: Engine, tmp_path: Path) -> None:
    house = House(engine, tmp_path, smtp_url="smtp://127.0.0.1:1")
    house.apply(record_of(), change_of())
    house.send()
    assert house.states() == {("sending", None): 1, ("planned", None): 1}


def test_a_sender_that_died_before_the_text_frees_the_message_after_it_holds_it(engine: Engine, tmp_path: Path) -> None:
    with MailServer() as server:
        house = House(engine, tmp_path, smtp_url=server.url)
        house.apply(record_of(1), change_of(1), record_of(2), change_of(2))
        house.fire()
        with transaction(engine) as connection:
            names = connection.execute(select(tables.dispatch.c.message_id)).scalars().all()
            for name, phase in zip(names, ("connect", "data"), strict=True):
                values = {"phase": phase, "sender": "dead", "taken_at": to_ms(NOON)}
                connection.execute(update(tables.dispatch).where(tables.dispatch.c.message_id == name).values(**values))
        house.send()
        assert server.received == []
        house.now = NOON + timedelta(milliseconds=LEASE_MS + 1)
        house.send()
        assert len(server.received) == 1
        assert house.states()["held", "the sender stopped while the message was sent"] == 1


def test_an_old_claim_is_decided_again_before_it_is_sent(house: House) -> None:
    house.apply(record_of(), change_of())
    house.fire()
    house.apply(record_of(version=2, consents={}, time=NOON + timedelta(hours=1)))
    house.now = NOON + timedelta(hours=2)
    house.send()
    assert files(house) == []
    assert house.states()["refused", "no_consent"] == 1


def test_with_the_clock_of_the_events_no_claim_is_stale(engine: Engine, tmp_path: Path) -> None:
    house = House(engine, tmp_path, clock="events")
    house.apply(record_of(), change_of())
    house.fire()
    house.gateway = Gateway(replace(house.context, clock=lambda: NOON + timedelta(days=90)), rulebooks_of(engine))
    house.send()
    with engine.connect() as connection:
        sent = connection.execute(select(tables.message.c.sent_at).where(tables.message.c.state == "sent")).scalar_one()
    assert from_ms(sent) == NOON


def test_a_template_without_its_variable_refuses_the_message(house: House) -> None:
    put(
        house, "template", {"template": "welcome", "sms": {"text": "x"}, "email": {"subject": "s", "text": "{{ a.b }}"}}
    )
    house.apply(record_of(), change_of())
    house.send()
    assert files(house) == []
    assert [why for state, why in house.states() if state == "refused"] == ["template_error: 'a' is undefined"]


def put(house: House, kind: str, body: dict[str, Any]) -> None:
    table = tables.document
    with transaction(house.engine) as connection:
        connection.execute(
            update(table).where((table.c.kind == kind) & (table.c.name == body[kind])).values(body=json.dumps(body))
        )


def test_history_is_mute_or_goes_to_files_only(engine: Engine, tmp_path: Path) -> None:
    mute = House(engine, tmp_path)
    mute.apply(record_of(history="sample"), change_of(history="sample"))
    assert mute.states() == {}
    with MailServer() as server:
        house = House(engine, tmp_path, smtp_url=server.url, send_history="outbox")
        house.apply(record_of(2, history="sample"), change_of(2, history="sample"))
        house.now = NOON + timedelta(days=300)
        house.send()
        assert server.received == []
    first = files(house)[0].relative_to(house.outbox)
    assert first.parts[:3] == ("history", "second-purchase", "2026-06")
    assert len(files(house)) == 2
    assert "email.sent" not in house.types()
    with engine.connect() as connection:
        sent = connection.execute(select(tables.message.c.sent_at).order_by(tables.message.c.sent_at)).scalars().all()
    assert [from_ms(at) for at in sent] == [NOON, NOON + timedelta(days=7)]


def test_timers_of_an_open_import_wait_for_its_end(engine: Engine, tmp_path: Path) -> None:
    house = House(engine, tmp_path, send_history="outbox")
    house.apply(mark(BEGIN, "profiles"), record_of(history="sample"), change_of(history="sample"))
    house.now = NOON + timedelta(days=1)
    assert house.fire() == 0
    with engine.connect() as connection:
        assert SERVICE.timers is not None
        assert SERVICE.timers.next_due(connection, [0]) is None
    house.apply(mark(END, "profiles"))
    assert house.fire() == 1


def test_an_erased_customer_leaves_nothing_behind(house: House) -> None:
    house.apply(record_of(), change_of())
    house.send()
    assert len(files(house)) == 1
    gone = remove(Removal(profile_id=name_of(1), reason="erasure", version=2, time=NOON))
    house.apply(Record("profiles", 0, 9, 0, gone.key, None, gone.headers))
    house.now += timedelta(minutes=1)
    house.send()
    assert files(house) == []
    left = (tables.message, tables.transition, tables.due, tables.dispatch, tables.signal, tables.discard)
    assert [house.count(table) for table in left] == [0] * 6
    with house.engine.connect() as connection:
        body = connection.execute(select(tables.customer.c.body)).scalar_one()
    assert b"example.com" not in body
    assert b"Ana" not in body


def test_records_that_are_none_are_rejected(house: House) -> None:
    for value in (b"no json", b'{"specversion":"1.0"}'):
        with pytest.raises(InvalidEvent):
            SERVICE.decode(Record("profiles", 0, 0, 0, "k", value))
    assert SERVICE.decode(Record("profiles", 0, 0, 0, "k", None)) is None


def test_shipped_documents_are_laid_down_once(house: House, tmp_path: Path) -> None:
    with transaction(house.engine) as connection:
        connection.execute(tables.document.delete().where(tables.document.c.name == "thank-you"))
    House(house.engine, tmp_path)
    with house.engine.connect() as connection:
        names = connection.execute(select(tables.document.c.name).where(tables.document.c.kind == "campaign"))
        assert list(names.scalars()) == ["second-purchase", "welcome", "win-back"]


@pytest.fixture
async def web(house: House, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    keys = StoredKeys(create_engine(f"sqlite:///{tmp_path}/keys.db").begin, lambda: NOON, {"admin": "root"})
    app = build("campaign", [SERVICE.router(house.context)], keys, {}, Metrics("1"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://house", headers={"Authorization": "Bearer root"}
    ) as client:
        yield client
    await house.log.close()


CALL = {"campaign": "call", "on": {"event": "call.completed"}, "steps": [{"template": "welcome"}]}


async def test_campaigns_over_rest(web: httpx.AsyncClient) -> None:
    created = await web.put("/v1/campaigns/call", json=CALL)
    assert (created.status_code, created.json()["state"]) == (201, "live")
    assert (await web.put("/v1/campaigns/call", json={**CALL, "hold_out": "5%"})).status_code == 200
    assert (await web.get("/v1/campaigns/call")).json()["hold_out"] == "5%"
    assert (await web.post("/v1/campaigns/call/pause")).json()["state"] == "paused"
    assert (await web.put("/v1/campaigns/call", json=CALL)).json()["state"] == "paused"
    assert (await web.post("/v1/campaigns/call/resume")).json()["state"] == "live"
    names = [one["campaign"] for one in (await web.get("/v1/campaigns")).json()["campaigns"]]
    assert names == ["call", "second-purchase", "thank-you", "welcome", "win-back"]
    assert (await web.delete("/v1/campaigns/call")).status_code == 204
    assert (await web.get("/v1/campaigns/call")).status_code == 404
    assert (await web.get("/v1/campaigns", headers={"Authorization": "Bearer x"})).status_code == 401


async def test_wrong_documents_are_refused_with_pointers(web: httpx.AsyncClient) -> None:
    answer = await web.put("/v1/campaigns/call", json={**CALL, "hold_out": "all"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/hold_out")
    answer = await web.put("/v1/campaigns/other", json=CALL)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/campaign")
    answer = await web.put("/v1/templates/t", json={"sms": {"text": "{{"}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/sms/text")
    answer = await web.put("/v1/settings", json={"timezone": "Mars"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/timezone")


async def test_templates_and_settings_over_rest(web: httpx.AsyncClient) -> None:
    body = {"template": "t", "category": "service", "sms": {"text": "hi"}}
    assert (await web.put("/v1/templates/t", json=body)).status_code == 201
    assert (await web.get("/v1/templates/t")).json() | {"updated_at": 0} == {**body, "updated_at": 0}
    assert (await web.delete("/v1/templates/t")).status_code == 204
    assert (await web.get("/v1/settings")).json()["quiet_hours"] == "21:00-08:00"
    assert (await web.put("/v1/settings", json={"quiet_hours": "22:00-07:00"})).json()["quiet_hours"] == "22:00-07:00"
    assert (await web.get("/v1/settings")).json()["quiet_hours"] == "22:00-07:00"


async def test_the_ledger_is_paged_and_filtered(house: House, web: httpx.AsyncClient) -> None:
    house.apply(*(record_of(n) for n in range(5)), *(change_of(n) for n in range(5)))
    house.send()
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = (await web.get("/v1/messages", params={"limit": 3, "cursor": cursor or ""})).json()
        found += [message["id"] for message in page["messages"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == len(set(found)) == 10
    sent = (await web.get("/v1/messages", params={"state": "sent", "profile_id": name_of(1)})).json()["messages"]
    assert [(m["campaign"], m["step"], m["channel"], m["sent_at"]) for m in sent] == [
        ("welcome", 0, "email", "2026-05-25T12:00:00Z")
    ]
    one = (await web.get(f"/v1/messages/{sent[0]['id']}")).json()
    assert [state["state"] for state in one["history"]] == ["planned", "sending", "sent"]
    assert (await web.get("/v1/messages/none")).status_code == 404
    report = (await web.get("/v1/campaigns/welcome/report")).json()
    assert (report["sent"], report["hold_out"]) == (5, 0)


async def test_the_kill_switch_holds_and_people_decide(house: House, web: httpx.AsyncClient) -> None:
    await web.post("/v1/sending/stop")
    house.apply(record_of(1), change_of(1), record_of(2), change_of(2))
    house.send()
    assert house.states()["held", "sending_stopped"] == 2
    held = (await web.get("/v1/messages", params={"state": "held"})).json()["messages"]
    await web.post("/v1/sending/start")
    assert (await web.post(f"/v1/messages/{held[0]['id']}/resend")).status_code == 202
    assert (await web.post(f"/v1/messages/{held[1]['id']}/drop")).status_code == 202
    house.send()
    assert house.states()["sent", None] == house.states()["refused", "dropped"] == 1
    answer = await web.post(f"/v1/messages/{held[0]['id']}/resend")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_held")


async def test_what_was_claimed_before_the_kill_switch_stays_here(house: House, web: httpx.AsyncClient) -> None:
    house.apply(record_of(), change_of())
    house.fire()
    await web.post("/v1/sending/stop")
    house.send()
    assert files(house) == []
    await web.post("/v1/sending/start")
    house.send()
    assert len(files(house)) == 1


async def test_a_preview_tells_decision_and_texts_and_stores_nothing(house: House, web: httpx.AsyncClient) -> None:
    house.apply(record_of())
    shown = (await web.post("/v1/campaigns/welcome/preview", json={"profile_id": name_of(1)})).json()
    step = shown["steps"][0]
    assert (step["decision"], step["reason"]) == ("refuse", "class_changed")
    assert step["rendered"]["email"]["subject"] == "Welcome, Ana!"
    house.apply(change_of())
    before = house.count(tables.message)
    shown = (await web.post("/v1/campaigns/welcome/preview", json={"profile_id": name_of(1)})).json()
    assert (shown["steps"][0]["decision"], shown["steps"][0]["channel"]) == ("send", "email")
    assert house.count(tables.message) == before
    assert (await web.post("/v1/campaigns/welcome/preview", json={"profile_id": "x"})).status_code == 404


async def test_a_dry_run_counts_who_would_get_it(house: House, web: httpx.AsyncClient) -> None:
    house.apply(*(record_of(n) for n in range(3)), *(change_of(n) for n in range(3)), record_of(9))
    house.apply(record_of(2, version=2, consents={}))
    shown = (await web.post("/v1/campaigns/welcome/dry-run")).json()
    assert shown["decisions"] == [
        {"decision": "refuse", "reason": "no_consent", "count": 1},
        {"decision": "send", "reason": None, "count": 2},
    ]
    assert (shown["total"], len(shown["sample"])) == (3, 3)
    assert (await web.post("/v1/campaigns/none/dry-run")).status_code == 404


async def opt_outs(house: House) -> list[Event]:
    place = TopicPartition("interactions", 0)
    found = []
    for offset in range((await house.log.ends("interactions")).get(place, 0)):
        record = await house.log.read(place, offset)
        assert record is not None
        found.append(decode(record.value or b""))
    return found


async def test_unsubscribing(house: House, web: httpx.AsyncClient) -> None:
    house.apply(record_of(), change_of())
    house.send()
    mail = BytesParser(policy=policies.default).parsebytes(files(house)[0].read_bytes())
    path = mail["list-unsubscribe"].strip("<>").removeprefix("https://e.example")
    page = await web.get(path, headers={"Authorization": ""})
    assert page.status_code == 200
    assert await opt_outs(house) == []
    for _ in range(2):
        done = await web.post(path, data={"List-Unsubscribe": "One-Click"}, headers={"Authorization": ""})
        assert done.status_code == 200
        house.now += timedelta(seconds=1)
    first, second = await opt_outs(house)
    assert (first.id, first.fingerprint) == (second.id, second.fingerprint)
    payload: Any = DECODERS["consent.changed"].decode(first.data)
    assert (payload.channel, payload.status, payload.purpose) == ("email", "denied", "marketing")
    assert payload.customer == {"customer_id": "C1", "email": "c1@example.com"}
    denied = Consent("denied", "marketing", NOON)
    house.apply(record_of(version=2, consents={"email": denied}))
    await web.post(path)
    assert len(await opt_outs(house)) == 2
    again = Consent("granted", "marketing", NOON + timedelta(hours=1))
    house.apply(record_of(version=3, consents={"email": again}))
    await web.post(path)
    assert (await opt_outs(house))[2].id != first.id
    assert (await web.post("/u/nonsense")).status_code == 200
