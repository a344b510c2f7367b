"""The gateway: intents before, outcomes after, whatever breaks in between."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, select, update

from services.campaign import tables
from services.campaign.gateway import BACKOFF_MS, Gateway
from services.campaign.queue import LEASE_MS
from services.campaign.service import rulebooks_of
from shared.database import transaction
from shared.events.times import from_ms, to_ms
from tests.contract.campaign.house import NOON, House, change_of, files, record_of
from tests.contract.mail_server import MailServer


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
