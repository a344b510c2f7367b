"""Names of track events: the shipped mapping of the public vocabularies, a company's own file, the small rules."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.ingest.acceptance import accept
from services.ingest.compatible.posted import Item, Posted
from services.ingest.compatible.rules import RuleError, Told, compiled, sources
from services.ingest.compatible.translation import Post, translate
from services.ingest.compatible.vocabulary import load, parse
from services.ingest.service import build
from shared.errors import WrongSetting
from shared.events.interactions import DECODERS
from tests.architecture.source import ROOT

WHOLE = {"invalid_json", "invalid_batch", "invalid_gzip", "invalid_encoding", "invalid_write_key", "missing_write_key"}
"""Codes of whole requests."""

FORM_KEYS = (("value",), ("from",), ("sum",), ("each",), ("object",))
NOW = datetime(2026, 11, 25, tzinfo=UTC)
COUNTED = {
    "Order Completed": "purchase.completed",
    "Completed Order": "purchase.completed",
    "Order Refunded": "purchase.refunded",
    "Order Cancelled": "purchase.refunded",
    "Email Sent": "email.sent",
    "Email Delivered": "email.delivered",
    "Email Opened": "email.opened",
    "Email Machine Opened": "email.opened",
    "Email Link Clicked": "email.clicked",
    "Email Bounced": "email.bounced",
    "Email Marked as Spam": "email.complained",
    "Email Unsubscribed": "email.unsubscribed",
    "Unsubscribed": "email.unsubscribed",
    "Email Replied": "email.replied",
    "Email Received": "email.received",
    "SMS Received": "chat.message",
    "WhatsApp Message Sent": "chat.message",
    "Live Chat Conversation Started": "chat.started",
    "Live Chat Conversation Ended": "chat.ended",
    "Live Chat Message Sent": "chat.message",
    "Live Chat Message Received": "chat.message",
    "Conversation Started": "chat.started",
    "Message Sent": "chat.message",
    "Message Received": "chat.message",
    "Conversation Ended": "chat.ended",
    "Feedback Submitted": "survey.answered",
    "Call Completed": "call.completed",
    "Call Missed": "call.completed",
    "Voicemail Left": "call.completed",
    "Email Subscribed": "consent.changed",
    "Channel Subscription Updated": "consent.changed",
    "Account Created": "customer.grouped",
    "Signed Up": "customer.identified",
}
INTEREST = [
    "Products Searched",
    "Product List Viewed",
    "Product List Filtered",
    "Promotion Viewed",
    "Promotion Clicked",
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Cart Viewed",
    "Checkout Started",
    "Checkout Step Viewed",
    "Checkout Step Completed",
    "Payment Info Entered",
    "Product Added to Wishlist",
    "Wishlist Product Added to Cart",
    "Product Shared",
    "Cart Shared",
    "Product Reviewed",
    "Viewed Product Category",
    "Application Opened",
    "Signed In",
    "Trial Started",
    "Callback Requested",
    "Push Notification Tapped",
]
NOTED = [
    "Order Updated",
    "Product Removed",
    "Coupon Denied",
    "Email Deferred",
    "Email Dropped",
    "SMS Delivered",
    "SMS Failed",
    "WhatsApp Message Read",
    "Push Notification Received",
    "Action Invoked",
    "Media Generated",
    "Component Loaded",
    "Call Started",
    "Call Transcribed",
    "Trial Ended",
    "Account Deleted",
    "Signed Out",
    "Experiment Viewed",
]


def told(event: str, properties: dict[str, Any], more: Path | None = None, **rest: Any) -> tuple[str, dict[str, Any]]:
    """The type and the accepted data of a track event, as the profile stage will read it."""
    value = {"type": "track", "userId": "C", "messageId": "m", "event": event, "properties": properties, **rest}
    sent = translate(Item(b"{}", value), Posted(()), Post("segment/k", "cause", load(more)))
    assert sent.error is None, sent.error
    assert isinstance(sent.envelope, dict)
    accepted = accept(sent.envelope, NOW, {})
    DECODERS[accepted.type].decode(accepted.data)
    return accepted.type, sent.envelope["data"]


@pytest.mark.parametrize(("name", "kind"), COUNTED.items())
def test_counted_names(name: str, kind: str) -> None:
    meaning = load().meaning(f" {name.upper().replace(' ', '  ')} ")
    assert meaning is not None
    assert meaning.type == kind


@pytest.mark.parametrize("name", INTEREST)
def test_names_that_are_interest(name: str) -> None:
    kind, data = told(name, {"sku": "A1", "category": "Kitchen", "value": 3, "query": "tea", "topic": "x"})
    assert kind == "interest.shown"
    assert "kind" in data
    assert data["event"] == name


@pytest.mark.parametrize("name", NOTED)
def test_names_that_only_stand_on_the_timeline(name: str) -> None:
    kind, data = told(name, {"sku": "A1"})
    assert (kind, data.get("traits")) == ("customer.identified", None)
    assert (data["event"], data["properties"]) == (name, {"sku": "A1"})


ORDER = {
    "order_id": "7781",
    "affiliation": "Web shop",
    "subtotal": 80.0,
    "revenue": 80.0,
    "shipping": 4.9,
    "tax": 16.13,
    "total": 101.03,
    "discount": 10.0,
    "coupon": "NOV10",
    "currency": "EUR",
    "products": [
        {"product_id": "p_1", "sku": "SKU-1", "name": "Kettle", "category": "Kitchen", "price": 45.0, "quantity": 2}
    ],
}


def test_the_order_of_the_public_example() -> None:
    kind, data = told("Order Completed", ORDER, context={"channel": "browser"})
    assert kind == "purchase.completed"
    assert {name: data[name] for name in data if name not in ("customer", "event", "properties", "context")} == {
        "order_id": "7781",
        "total": 101.03,
        "tax": 16.13,
        "shipping": 4.9,
        "discount": 10.0,
        "coupon": "NOV10",
        "currency": "EUR",
        "store_id": "Web shop",
        "channel": "web",
        "items": [{"sku": "SKU-1", "name": "Kettle", "category": "Kitchen", "unit_price": 45.0, "quantity": 2}],
    }
    assert data["properties"] == ORDER


@pytest.mark.parametrize(
    ("properties", "total"),
    [
        ({"total": "12.50", "revenue": 1}, "12.50"),
        ({"revenue": 80.0, "tax": 16.13, "shipping": "4.9"}, "101.03"),
        ({"subtotal": 80, "tax": 16.13}, "96.13"),
        ({"products": [{"price": 19, "quantity": 1}, {"price": 3, "quantity": 2}], "discount": 5, "shipping": 1}, "21"),
        ({"products": [{"price": 0.1}, {"price": 0.2}]}, "0.3"),
    ],
)
def test_what_was_paid(properties: dict[str, Any], total: str) -> None:
    assert str(told("Order Completed", {"order_id": 1, **properties})[1]["total"]) == total
    assert str(told("Order Refunded", {"order_id": 1, **properties})[1]["total"]) == total


@pytest.mark.parametrize("context", [{"channel": "server"}, {}])
def test_an_order_from_a_server_has_no_channel(context: dict[str, Any]) -> None:
    assert "channel" not in told("Order Completed", {"order_id": 1, "total": 1}, context=context)[1]


def test_an_email() -> None:
    properties = {"email_id": "e-1", "email_subject": "Tea", "campaign_name": "autumn", "link_url": "https://x.example"}
    kind, data = told("Email Link Clicked", properties, context={"traits": {"email": "ana@example.com"}})
    assert kind == "email.clicked"
    assert data["customer"] == {"customer_id": "C", "email": "ana@example.com"}
    assert (data["message_id"], data["subject"], data["campaign"]) == ("e-1", "Tea", "autumn")
    assert data["link_url"] == "https://x.example"
    assert told("Email Machine Opened", {})[1]["machine"] is True


def test_chats() -> None:
    properties = {"conversation_id": "v", "message_body": "hello", "conversation_duration": 5, "agent_id": "a"}
    kind, data = told("Live Chat Message Received", properties)
    assert (kind, data["role"], data["text"], data["channel"]) == ("chat.message", "agent", "hello", "web")
    assert told("Live Chat Conversation Ended", properties)[1]["duration_seconds"] == 5
    bot = told("Message Received", {"conversationId": "v", "messageId": "chat-1", "role": "ai_agent"})[1]
    assert (bot["conversation_id"], bot["role"]) == ("v", "bot")
    assert told("WhatsApp Message Received", {"body": "hi"})[1]["channel"] == "whatsapp"


def test_calls() -> None:
    properties = {
        "call_id": "CA91",
        "direction": "inbound",
        "status": "completed",
        "started_at": "2026-11-21T10:25:00Z",
        "duration": 347,
        "wait_time": 20,
        "agent_id": "a_7",
        "disposition": "connected",
        "topic": "complaint",
        "sentiment": -0.4,
    }
    kind, data = told("Call Completed", properties)
    assert kind == "call.completed"
    assert (data["duration_seconds"], data["wait_seconds"], data["sentiment"]) == (347, 20, -0.4)
    twilio = told("call.completed", {"CallSid": "CA1", "CallStatus": "no-answer", "Direction": "outbound-api"})[1]
    assert (twilio["call_id"], twilio["status"], twilio["direction"]) == ("CA1", "no_answer", "outbound")
    assert told("Call Completed", {"hs_call_duration": 12_500})[1]["duration_seconds"] == "12.500"
    assert told("Call Missed", {})[1]["status"] == "missed"


def test_business_customers() -> None:
    kind, data = told("Signed Up", {"email": "ana@example.com", "first_name": "Ana", "title": "CTO"})
    assert (kind, data["customer"]["email"]) == ("customer.identified", "ana@example.com")
    assert data["traits"] == {"first_name": "Ana", "email": "ana@example.com", "job_title": "CTO"}
    kind, data = told("Account Created", {"account_name": "Acme"}, context={"groupId": "G-1"})
    assert (kind, data["group_id"], data["traits"]) == ("customer.grouped", "G-1", {"name": "Acme"})


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("a", 1),
        ("deep.x", 2),
        ("deep.y.z", None),
        ("a.x", None),
        ("dotted.name", 3),
        ("context.ip", "5"),
        (["none", "empty", "a"], 1),
        ({"value": 7}, 7),
        ({"from": "word", "words": {"yes  please": "ok"}}, "ok"),
        ({"from": "word", "words": {"Yes Please": None}}, None),
        ({"from": "word", "words": {"no": "ko"}}, " YES Please"),
        ({"from": "a", "times": 0.5}, "0.5"),
        ({"from": "word", "times": 2}, " YES Please"),
        ({"sum": ["a", "none", "deep.x"], "less": ["a"]}, "2"),
        ({"sum": ["none", "a"]}, None),
        ({"sum": ["flag", "a"]}, None),
        ({"each": "list", "sum_of": ["p", "q"]}, "7"),
        ({"each": "gap", "sum_of": ["p", "q"]}, None),
        ({"each": "list", "fields": {"price": "p"}}, [{"price": 3}, {"price": 1}]),
        ({"each": "a", "fields": {"price": "p"}}, None),
        ({"object": {"x": "a", "y": "none"}}, {"x": 1}),
        ({"object": {"y": "none"}}, None),
        ({"from": "big", "times": 1}, "9" * 50),
    ],
)
def test_rules(rule: object, found: object) -> None:
    properties = {
        "a": 1,
        "deep": {"x": 2, "y": 5},
        "dotted.name": 3,
        "empty": "",
        "word": " YES Please",
        "flag": True,
        "list": [{"p": 3, "q": 2}, 5, {"p": 1}],
        "gap": [{"p": 3}, {"q": 1}],
        "big": "9" * 50,
    }
    assert compiled(rule)(Told(properties, {"ip": "5"})) == found


@pytest.mark.parametrize(
    "rule",
    [
        "",
        [],
        None,
        5,
        {},
        {"value": 1, "from": "a"},
        {"value": None},
        {"value": [1]},
        {"sum": "a"},
        {"from": "a", "words": 1},
    ],
)
def test_rules_that_mean_nothing(rule: object) -> None:
    with pytest.raises(RuleError):
        compiled(rule)


def test_where_a_value_comes_from() -> None:
    assert sources(["a", {"from": "b", "times": 2}, {"value": 1}, {"sum": ["c", "d"]}]) == ("a", "b", "c", "d")


MINE = """
traits: {vorname: first_name}
events:
  - name: Bestellung abgeschlossen
    also: [Order Completed]
    type: purchase.completed
    fields: {order_id: nummer, total: {sum: [netto, steuer]}, tax: steuer}
"""


def test_a_company_adds_names_and_replaces_shipped_ones(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    for name in ("bestellung  ABGESCHLOSSEN", "Order Completed"):
        kind, data = told(name, {"nummer": 7, "netto": 10, "steuer": "1.9"}, file)
        assert (kind, data["order_id"], data["total"]) == ("purchase.completed", 7, "11.9")
    assert load(file).meaning("Call Completed") == load().meaning("Call Completed")
    value = {"type": "identify", "userId": "C", "traits": {"vorname": "Ana"}}
    sent = translate(Item(b"{}", value), Posted(()), Post("segment/k", "cause", load(file)))
    assert isinstance(sent.envelope, dict)
    assert sent.envelope["data"]["traits"] == {"first_name": "Ana"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[", "this is no YAML (line 2)"),
        ("5", "a mapping file is an object with events, traits, or both"),
        ("event: []", "a mapping file is an object with events, traits, or both"),
        ("events: 5", "events: must be a list"),
        ("events: [5]", "events/0: an event is an object of"),
        ("events: [{name: A, typ: x}]", "events/A: an event is an object of"),
        ("events: [{name: 5, type: chat.message}]", "events/0: name is a text"),
        ("events: [{name: A, type: dream}]", "events/A/type: there is no type 'dream': use one of purchase.completed"),
        ("events: [{name: A, type: chat.message, fields: {txt: x}}]", "events/A/fields/txt: chat.message has no such"),
        ("events: [{name: A, type: chat.message, fields: {text: 5}}]", "events/A/fields/text: a rule is the name of"),
        (
            "events: [{name: A, type: chat.message, fields: {text: {from: a, times: x}}}]",
            "events/A/fields/text/times: must be a number",
        ),
        (
            "events: [{name: A, type: purchase.completed, fields: {total: x}}]",
            "events/A/fields: purchase.completed needs",
        ),
        (
            "events: [{name: A, type: chat.message, identifiers: {mail: x}}]",
            "events/A/identifiers/mail: an identifier is",
        ),
        (
            "events: [{name: A, type: chat.ended}, {name: a, type: chat.ended}]",
            "events/a: this name has a meaning already",
        ),
        ("traits: {a: 5}", "traits: must be an object of foreign names and ours"),
    ],
)
def test_a_wrong_mapping_file_is_one_clear_line(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(WrongSetting) as refused:
        build({"mapping_file": file})
    line = str(refused.value)
    assert line.startswith(f"CARTERA_MAPPING_FILE: {file}")
    assert "\n" not in line
    assert complaint in line.replace(f"{file} at ", "").replace(f"{file}: ", "")


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_mapping_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "mine.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(WrongSetting, match="name a readable YAML file"):
        build({"mapping_file": file})


def test_the_page_tells_the_truth() -> None:
    """Its example is a mapping file, its codes are those of the translation, its forms of rules are all there are."""
    page = (ROOT / "docs/sdks.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    vocabulary = parse(example)
    meaning = vocabulary.meaning("Bestellung abgeschlossen")
    assert meaning is not None
    told = Told({"nummer": 5, "netto": 10, "steuer": 1.9, "gutschein": 2, "kundenkarte": "L"}, {})
    assert {name: rule(told) for name, rule in meaning.fields.items() if rule(told) is not None} == {
        "order_id": 5,
        "total": "9.9",
        "tax": 1.9,
    }
    code = "".join(file.read_text("utf-8") for file in (ROOT / "services/ingest/compatible").glob("*.py"))
    events = page.split("| code of an event |")[1].split("| status |")[0]
    listed = set(re.findall(r"`([a-z]+_[a-z_]+)`", events))
    assert listed == set(re.findall(r'"((?:invalid|missing|no|schema|event)_[a-z_]+)"', code)) - WHOLE
    assert set(re.findall(r"`\{([a-z_]+):", page)) == {next(iter(keys)) for keys in FORM_KEYS}


def test_a_file_that_says_nothing_about_events_is_fine() -> None:
    assert parse("{}").meanings == {}
