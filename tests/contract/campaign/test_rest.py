"""Campaigns, templates, settings, the ledger and the kill switch over REST."""

from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, select

from services.campaign import tables
from services.campaign.store import load_customers
from services.segment.audience import AudienceLanguage
from shared.events.profiles import Purchases
from tests.contract.campaign.house import House, change_of, files, name_of, record_of, web_of

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


async def test_settings_are_answered_as_they_were_written(web: httpx.AsyncClient) -> None:
    defaults = {
        "consent": "opt_in",
        "quiet_hours": "21:00-08:00",
        "caps": {"marketing": "3 per 7d"},
        "reaction_window": "24h",
        "timezone": "UTC",
        "currency": "EUR",
        "track_clicks": True,
    }
    assert (await web.get("/v1/settings")).json() == defaults
    assert (await web.put("/v1/settings", json=defaults)).json() == defaults
    written = {"quiet_hours": None, "reaction_window": "1440m", "caps": {"service": "1 per 48h"}, "consent": "opt_out"}
    assert (await web.put("/v1/settings", json=written)).json() == {**defaults, **written}
    assert (await web.get("/v1/settings")).json() == {**defaults, **written}


async def test_the_currency_is_the_installations(engine: Engine, tmp_path: Path) -> None:
    async with web_of(House(engine, tmp_path, currency="USD"), tmp_path) as web:
        assert (await web.get("/v1/settings")).json()["currency"] == "USD"
        refused = await web.put("/v1/settings", json={"currency": "EUR"})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/currency")
        assert "CARTERA_CURRENCY" in refused.json()["errors"][0]["detail"]
        assert (await web.put("/v1/settings", json={"currency": "USD"})).status_code == 200


async def test_campaigns_and_templates_name_each_other(web: httpx.AsyncClient) -> None:
    steps = [{"template": "welcome"}, {"template": "none", "wait": "1d"}]
    refused = await web.put("/v1/campaigns/call", json={**CALL, "steps": steps})
    assert refused.status_code == 422
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/steps/1/template"]
    assert "none" in refused.json()["errors"][0]["detail"]
    await web.put("/v1/campaigns/call", json=CALL)
    used = await web.delete("/v1/templates/welcome")
    assert (used.status_code, used.json()["code"]) == (409, "in_use")
    assert used.json()["message"].endswith("call, welcome")
    for name in ("call", "welcome"):
        await web.delete(f"/v1/campaigns/{name}")
    assert (await web.delete("/v1/templates/welcome")).status_code == 204


@pytest.mark.parametrize(
    ("part", "text", "name"),
    [
        ("text", "{{ customer.frist_name }}", "customer.frist_name is undefined; a trait of your own"),
        ("html", "<p>{{ custmer.name }}</p>", "'custmer' is undefined"),
        ("subject", "{{ event.total }}", "event.total is undefined"),
        ("text", "{% if customer.vip %}x{% endif %}", "customer.vip is undefined"),
        ("text", "{% if recommendations.size == 0 %}{{ nothing }}{% endif %}", "'nothing' is undefined"),
        ("text", "{{ customer.name | shout }}", "unknown filter 'shout'"),
    ],
)
async def test_unknown_variables_are_found_when_a_template_is_put(
    web: httpx.AsyncClient, part: str, text: str, name: str
) -> None:
    email = {"subject": "s", "text": "t", part: text}
    answer = await web.put("/v1/templates/t", json={"email": email})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/email/{part}")
    assert name in answer.json()["errors"][0]["detail"]
    assert (await web.get("/v1/templates/t")).status_code == 404


async def test_known_variables_and_traits_of_ones_own_are_fine(web: httpx.AsyncClient) -> None:
    text = """{{ customer.traits.name }} {{ customer.name }} {{ customer.first_name }} {{ customer.email }}
      {{ customer.traits.address.city }} {{ customer.traits['shoe size'] | plus: 1 }} {{ customer.shoe | default: "9" }}
      {{ customer.purchases.revenue.EUR }} {{ customer.purchases.last_at | date: "%d %m" }}
      {{ customer.classes.status }}
      {{ event.type }} {{ event.evidence.purchases_count }} {{ campaign.name }} {{ now }} {{ unsubscribe_url }}
      {% for item in recommendations %}{{ item.name }}{% endfor %}{% if customer.traits.vip == 3 %}x{% endif %}
      {% for pet in customer.traits.pets %}{{ pet.name }}{% endfor %}{% abort_message %}"""
    assert (await web.put("/v1/templates/t", json={"sms": {"text": text}})).status_code == 201


async def test_what_is_asked_wrongly_is_told(web: httpx.AsyncClient) -> None:
    for query, parameter in (({"state": "bogus"}, "state"), ({"campain": "x"}, "campain"), ({"limit": "0"}, "limit")):
        answer = await web.get("/v1/messages", params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
        assert answer.json()["errors"][0]["parameter"] == parameter
    assert (await web.get("/v1/messages", params={"state": "converted"})).json() == {
        "messages": [],
        "next_cursor": None,
    }
    assert (await web.get("/v1/campaigns", params={"x": "1"})).status_code == 400


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
    assert (shown["decision"], shown["rendered"]["email"]["subject"]) == ("send", "Welcome, Ana!")
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
    assert (shown["total"], len(shown["sample"]), shown["next_cursor"]) == (3, 3, None)
    names: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await web.post("/v1/campaigns/welcome/dry-run", params={"limit": 2, "cursor": cursor})).json()
        assert page["decisions"] == shown["decisions"]
        names += [one["profile_id"] for one in page["sample"]]
        cursor = page["next_cursor"]
    assert names == [one["profile_id"] for one in shown["sample"]]
    assert (await web.post("/v1/campaigns/none/dry-run")).status_code == 404


async def test_audiences_are_checked_and_asked(engine: Engine, tmp_path: Path) -> None:
    house = House(engine, tmp_path, audience_language=AudienceLanguage("EUR"))
    document = {**CALL, "on": {"segmentation": "status", "to": "active"}, "audience": "purchases_count >= 2"}
    async with web_of(house, tmp_path) as web:
        for wrong, detail in (
            ("purchase_count > 1", "unknown attribute purchase_count; did you mean purchases_count? (at character 1)"),
            ("reachable and revenue_91d_to_average > 1", "depends on the whole portfolio"),
        ):
            answer = await web.put("/v1/campaigns/call", json={**document, "audience": wrong})
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/audience")
            assert detail in answer.json()["errors"][0]["detail"]
        assert (await web.put("/v1/campaigns/call", json=document)).json()["audience"] == "purchases_count >= 2"
    house.apply(record_of(1), change_of(1), record_of(2, purchases=Purchases(count=2)), change_of(2))
    with engine.connect() as connection:
        kept = load_customers(connection, [name_of(1)])[name_of(1)]
    assert kept.record is None
    assert kept.facts
    house.send()
    query = select(tables.message.c.state, tables.message.c.reason).where(tables.message.c.campaign == "call")
    with engine.connect() as connection:
        states = {tuple(row) for row in connection.execute(query)}
    assert states == {("refused", "not_in_audience"), ("sent", "email is the default")}


async def test_without_the_rule_language_an_audience_is_refused(web: httpx.AsyncClient) -> None:
    answer = await web.put("/v1/campaigns/call", json={**CALL, "audience": "reachable"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/audience")
