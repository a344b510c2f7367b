"""SMS and webhooks by HTTP: what is posted, how it is signed, and what every kind of answer makes of a message."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from services.campaign import tables
from services.campaign.gateway import BACKOFF_MS
from services.campaign.transport import channels_of
from shared.errors import WrongSetting
from shared.events.profiles import Consent, Known
from shared.security.webhooks import webhook_headers, webhook_key
from tests.contract.campaign.house import NOON, House, change_of, name_of, put, record_of
from tests.contract.post_server import PostServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TEMPLATE = {
    "template": "welcome",
    "sms": {"text": "Hello {{ customer.first_name }}"},
    "webhook": {"text": '{"name": {{ customer.name | json }}}'},
}


def house_of(engine: Engine, folder: Path, channel: str, url: str) -> House:
    """A house in which the welcome goes by one channel, posted to a place."""
    given = {"sms_url": url} if channel == "sms" else {"webhook_url": url, "webhook_secret": SECRET}
    house = House(engine, folder, **given)
    put(house, "template", TEMPLATE)
    body: dict[str, Any] = {"campaign": "welcome", "on": {"segmentation": "status", "to": "active"}}
    put(house, "campaign", {**body, "channels": [channel], "steps": [{"template": "welcome"}]})
    known = (Known("customer_id", "C1", NOON), Known("phone", "+34600000001", NOON))
    house.apply(record_of(identifiers=known, consents={"sms": Consent("granted", "marketing", NOON)}), change_of())
    return house


def welcome(house: House) -> Any:
    table = tables.message
    with house.engine.connect() as connection:
        return connection.execute(select(table).where(table.c.campaign == "welcome")).one()


def test_an_sms_is_posted_with_a_key_by_which_it_is_known_again(engine: Engine, tmp_path: Path) -> None:
    with PostServer() as server:
        house = house_of(engine, tmp_path, "sms", server.url)
        house.send()
        (post,) = server.received
    message = welcome(house)
    assert json.loads(post.body) == {
        "message_id": message.message_id,
        "channel": "sms",
        "to": "+34600000001",
        "text": "Hello Ana",
    }
    assert (post.path, post.headers["idempotency-key"]) == ("/in", message.message_id)
    assert post.headers["authorization"].startswith("Basic ")
    assert "webhook-signature" not in post.headers
    assert (message.state, message.channel) == ("sent", "sms")
    assert house.types()[-1] == "message.sent"


def test_a_webhook_is_signed(engine: Engine, tmp_path: Path) -> None:
    with PostServer(204) as server:
        house = house_of(engine, tmp_path, "webhook", server.url)
        house.send()
        (post,) = server.received
    name = welcome(house).message_id
    expected = webhook_headers(webhook_key(SECRET), name, int(NOON.timestamp()), post.body)
    assert {key: post.headers[key] for key in expected} == expected
    assert post.headers["idempotency-key"] == post.headers["webhook-id"] == name
    body = json.loads(post.body)
    assert (body["type"], body["timestamp"]) == ("campaign.message", "2026-05-25T12:00:00Z")
    assert body["data"]["content"] == {"name": "Ana Pérez"}
    assert body["data"]["profile_id"] == name_of(1)


def test_the_signature_of_the_specification() -> None:
    name, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    signed = webhook_headers(webhook_key(SECRET), name, 1614265330, body)
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("channel", "status", "state"),
    [
        ("sms", 400, "failed"),
        ("sms", 301, "failed"),
        ("sms", 500, "held"),
        ("sms", 0, "held"),
        ("sms", 429, "sending"),
        ("sms", 503, "sending"),
        ("webhook", 410, "failed"),
        ("webhook", 500, "sending"),
        ("webhook", 0, "held"),
    ],
)
def test_what_an_answer_makes_of_a_message(
    engine: Engine, tmp_path: Path, channel: str, status: int, state: str
) -> None:
    with PostServer(status, Location="http://127.0.0.1:1/") as server:
        house = house_of(engine, tmp_path, channel, server.url)
        house.send()
        house.send()
        assert len(server.received) == 1
    assert welcome(house).state == state


def test_the_other_side_may_say_when_to_come_again(engine: Engine, tmp_path: Path) -> None:
    with PostServer(503, Retry_After="600") as server:
        house = house_of(engine, tmp_path, "webhook", server.url)
        house.send()
        server.status = 200
        house.now = NOON + timedelta(milliseconds=BACKOFF_MS[0])
        house.send()
        assert len(server.received) == 1
        house.now = NOON + timedelta(seconds=600)
        house.send()
        first, second = server.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert welcome(house).state == "sent"


def test_nobody_there_is_not_an_outcome(engine: Engine, tmp_path: Path) -> None:
    house = house_of(engine, tmp_path, "sms", "http://127.0.0.1:1/")
    house.send()
    assert welcome(house).state == "sending"
    with engine.connect() as connection:
        row = connection.execute(select(tables.dispatch)).one()
    assert (row.phase, row.attempt) == ("claimed", 1)


def test_without_a_place_they_are_files(engine: Engine, tmp_path: Path) -> None:
    house = house_of(engine, tmp_path, "sms", "")
    house.send()
    (file,) = house.outbox.glob("*.json")
    assert json.loads(file.read_bytes())["text"] == "Hello Ana"


def test_a_channel_that_leads_nowhere_is_none_once_another_leads_somewhere() -> None:
    assert channels_of({}) == {"email", "sms", "webhook"}
    assert channels_of({"smtp_url": "smtp://x"}) == {"email"}
    assert channels_of({"sms_url": "https://x"}) == {"email", "sms"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"sms_url": "ftp://x"}, "CARTERA_SMS_URL"),
        ({"webhook_url": "https://x"}, "CARTERA_WEBHOOK_SECRET"),
        ({"webhook_url": "https://x", "webhook_secret": "whsec_c2hvcnQ="}, "CARTERA_WEBHOOK_SECRET"),
        ({"webhook_url": "nothing", "webhook_secret": SECRET}, "CARTERA_WEBHOOK_URL"),
        ({"smtp_url": "mail"}, "CARTERA_SMTP_URL"),
    ],
)
def test_a_wrong_setting_stops_the_start(engine: Engine, tmp_path: Path, given: dict[str, str], named: str) -> None:
    with pytest.raises(WrongSetting, match=named) as caught:
        House(engine, tmp_path, **given)
    assert "\n" not in str(caught.value)
    assert "c2hvcnQ" not in str(caught.value)
