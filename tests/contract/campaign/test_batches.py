"""Batches, timers, history and erasure of the campaign service on a database."""

from datetime import timedelta
from email import policy as policies
from email.parser import BytesParser
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from services.campaign import tables
from services.campaign.service import SERVICE
from services.campaign.store import load_customers
from shared.database import transaction
from shared.errors import InvalidEvent
from shared.events.envelope import decode
from shared.events.erasures import removed_in
from shared.events.interactions import BEGIN, END
from shared.events.outgoing import remove
from shared.events.profiles import Removal
from shared.events.times import from_ms
from shared.log import Record
from tests.contract.campaign.house import NOON, House, change_of, files, mark, name_of, put, record_of
from tests.contract.mail_server import MailServer


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


def test_a_template_without_its_variable_refuses_the_message(house: House) -> None:
    put(
        house, "template", {"template": "welcome", "sms": {"text": "x"}, "email": {"subject": "s", "text": "{{ a.b }}"}}
    )
    house.apply(record_of(), change_of())
    house.send()
    assert files(house) == []
    assert [why for state, why in house.states() if state == "refused"] == ["template_error: 'a' is undefined"]


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


def test_of_an_erased_customer_only_nameless_ledger_rows_stay(house: House) -> None:
    house.apply(record_of(), change_of())
    house.send()
    assert len(files(house)) == 1
    with house.engine.connect() as connection:
        ids = set(connection.execute(select(tables.message.c.message_id)).scalars())
    gone = remove(Removal(profile_id=name_of(1), reason="erasure", version=2, time=NOON, erasure_id="E-1"))
    house.apply(Record("profiles", 0, 9, 0, gone.key, None, gone.headers))
    house.now += timedelta(minutes=1)
    house.send()
    assert files(house) == []
    left = (tables.transition, tables.due, tables.dispatch, tables.signal, tables.discard)
    assert [house.count(table) for table in left] == [0] * 5
    with house.engine.connect() as connection:
        rows = connection.execute(select(tables.message)).all()
        body = connection.execute(select(tables.customer.c.body)).scalar_one()
    assert {row.message_id for row in rows} == ids
    assert {(row.profile_id, row.state) for row in rows} <= {("erased", "sent"), ("erased", "refused")}
    for text in (body, *(bytes(row.body) + row.occasion.encode() for row in rows)):
        assert not any(trace in text for trace in (b"example.com", b"Ana", name_of(1).encode())) or text is body
    assert b"example.com" not in body
    assert b"Ana" not in body
    (told,) = [record for record in house.said if record.topic == "erasures"]
    removed = removed_in.decode(decode(told.value or b"").data)
    assert (removed.erasure_id, removed.store, removed.removed["message"]) == ("E-1", "campaign", len(ids))


def test_files_of_history_go_too_whatever_became_of_the_message_since(engine: Engine, tmp_path: Path) -> None:
    house = House(engine, tmp_path, send_history="outbox")
    house.apply(record_of(2, history="sample"), change_of(2, history="sample"))
    house.now = NOON + timedelta(days=10)
    house.send()
    (file,) = house.outbox.glob("history/second-purchase/2026-06/*.eml")
    later = NOON + timedelta(days=60)
    house.apply(record_of(2, version=2, history="sample", time=later, cause="email.clicked", about=file.stem))
    gone = remove(Removal(profile_id=name_of(2), reason="erasure", version=9, time=NOON))
    house.apply(Record("profiles", 0, 9, 0, gone.key, None, gone.headers))
    house.now += timedelta(minutes=1)
    house.send()
    assert files(house) == []


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
