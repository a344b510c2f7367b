"""What becomes of sent messages, on the database: news that name them, goals, and the report made of both."""

from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import select, update

from services.campaign import tables
from shared.database import transaction
from shared.events.outgoing import remove
from shared.events.profiles import Emails, Purchases, Removal
from shared.events.times import to_ms
from shared.log import Record
from tests.contract.campaign.house import NOON, House, change_of, name_of, put, record_of

LATER = NOON + timedelta(hours=1)


def message_of(house: House, number: int = 1, campaign: str = "welcome") -> Any:
    table = tables.message
    where = (table.c.profile_id == name_of(number)) & (table.c.campaign == campaign)
    with house.engine.connect() as connection:
        return connection.execute(select(table).where(where)).one()


def states_of(house: House, message_id: str) -> list[str]:
    table = tables.transition
    query = select(table.c.state).where(table.c.message_id == message_id).order_by(table.c.revision)
    with house.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def news(house: House, kind: str, version: int, number: int = 1, **given: Any) -> Record:
    about = given.pop("about", None) or message_of(house, number).message_id
    return record_of(number, version=version, time=LATER, cause=kind, about=about, **given)


def test_news_move_a_message_that_only_the_ledger_knows(house: House) -> None:
    house.apply(record_of(), change_of())
    house.send()
    house.apply(record_of(version=2))
    house.apply(news(house, "email.delivered", 3))
    house.apply(news(house, "email.clicked", 4), news(house, "email.clicked", 5))
    house.apply(news(house, "email.bounced", 6, emails=Emails(bounced=1, hard_bounced=1)))
    message = message_of(house)
    assert (message.state, message.delivered_at, message.clicked_at) == ("clicked", to_ms(LATER), to_ms(LATER))
    assert states_of(house, message.message_id) == ["planned", "sending", "sent", "delivered", "clicked"]
    assert [kind for kind in house.types() if kind in ("message.delivered", "message.clicked", "message.failed")] == [
        "message.delivered",
        "message.clicked",
    ]


def test_news_of_several_kinds_in_one_batch(house: House) -> None:
    house.apply(record_of(), change_of())
    house.send()
    house.apply(news(house, "email.delivered", 2), news(house, "email.clicked", 3))
    assert states_of(house, message_of(house).message_id)[-2:] == ["delivered", "clicked"]


def test_news_of_a_message_on_its_way_do_not_send_it_again(house: House) -> None:
    house.apply(record_of(), change_of())
    house.fire()
    table = tables.dispatch
    with transaction(house.engine) as connection:
        connection.execute(update(table).values(phase="data", sender="another", taken_at=to_ms(NOON)))
    house.apply(news(house, "email.delivered", 2))
    with house.engine.connect() as connection:
        (row,) = connection.execute(select(table)).all()
    assert (row.phase, row.sender) == ("data", "another")


def test_a_message_claimed_and_heard_of_in_one_batch_is_sent(house: House) -> None:
    put(house, "campaign", {"campaign": "welcome", "on": {"segmentation": "status", "to": "active"}, "goal": {
        "event": "call.completed", "within": "2d"}, "steps": [{"template": "welcome"}]})  # fmt: skip
    house.apply(record_of(), change_of())
    house.now = NOON + timedelta(minutes=1)
    house.apply(record_of(version=2, time=house.now, cause="call.completed"))
    house.send()
    assert states_of(house, message_of(house).message_id) == ["planned", "sending", "sent", "converted"]


def test_news_of_the_message_of_another_customer_are_none(house: House) -> None:
    house.apply(record_of(1), change_of(1), record_of(2), change_of(2))
    house.send()
    house.apply(news(house, "email.clicked", 2, number=2, about=message_of(house, 1).message_id))
    assert [message_of(house, number).state for number in (1, 2)] == ["sent", "sent"]
    house.apply(news(house, "email.clicked", 3, number=2, about="nobody's"))


def test_news_reach_the_message_of_a_customer_who_was_merged(house: House) -> None:
    house.apply(record_of(1), change_of(1), record_of(2))
    house.send()
    gone = remove(Removal(profile_id=name_of(1), reason="merge", version=2, time=NOON, into=name_of(2)))
    house.apply(Record("profiles", 0, 9, 0, gone.key, None, gone.headers))
    house.apply(news(house, "email.clicked", 3, number=2, about=message_of(house, 1).message_id))
    assert message_of(house, 1).state == "clicked"


async def test_the_report_counts_cases_against_the_hold_out(house: House, web: httpx.AsyncClient) -> None:
    body = {
        "campaign": "welcome",
        "on": {"segmentation": "status", "to": "active"},
        "hold_out": "40%",
        "goal": {"event": "purchase.completed", "within": "30d"},
        "steps": [{"template": "welcome"}, {"template": "welcome", "wait": "1h", "unless": "converted"}],
    }
    put(house, "campaign", body)
    numbers = range(40)
    house.apply(*(record_of(n) for n in numbers), *(change_of(n) for n in numbers), record_of(99, consents={}))
    house.apply(change_of(99))
    house.send()
    table = tables.message
    with house.engine.connect() as connection:
        out = set(connection.execute(select(table.c.profile_id).where(table.c.reason == "hold_out")).scalars())
    treated = [n for n in numbers if name_of(n) not in out]
    held_out = [n for n in numbers if name_of(n) in out]
    buyers = [*treated[:6], *held_out[:2]]
    bought = Purchases(count=1, last_at=NOON + timedelta(minutes=30))
    purchase = {"cause": "purchase.completed", "time": NOON + timedelta(minutes=30), "purchases": bought}
    house.apply(*(record_of(n, version=2, **purchase) for n in buyers))
    house.now = NOON + timedelta(hours=2)
    house.send()
    found = (await web.get("/v1/campaigns/welcome/report")).json()
    assert (found["sent"], found["converted"]) == (2 * len(treated) - 6, 6)
    assert (found["hold_out"], found["hold_out_converted"]) == (len(held_out), 2)
    effect = found["uplift"]
    assert effect["treated"] == {"cases": len(treated), "converted": 6, "rate": 6 / len(treated)}
    assert effect["interval"][0] < effect["difference"] < effect["interval"][1]
    assert {entry["reason"]: entry["count"] for entry in found["refusals"]} == {
        "hold_out": 2 * len(held_out) - 2,
        "converted": len(buyers),
        "no_consent": 2,
    }
    assert (await web.get("/v1/campaigns/none/report")).status_code == 404
