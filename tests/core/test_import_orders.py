"""From rows to events: what makes one purchase, its total, its id."""

from typing import Any

from services.importing.composing import LARGEST_ORDER, Composed, compose
from services.importing.drafting import Drafting
from services.importing.map_file import Wanted, wanted
from services.importing.mapping import Plan, plan
from services.importing.row import Row

AT = "2026-03-02T10:15:00Z"
WHO = {"customer_id": "C-17", "order_id": "1", "time": AT}


def planned(kind: str, rows: list[dict[str, Any]], given: dict[str, Any] | None = None) -> Plan:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    chosen: Wanted = wanted(given, kind, "map")
    return plan(kind, chosen, columns, rows, "EUR")


def composed(
    kind: str, *rows: dict[str, Any], given: dict[str, Any] | None = None, of: str = "order"
) -> list[Composed]:
    """The events of rows that share a group."""
    chosen = planned(kind, list(rows), given)
    drafting = Drafting(chosen)
    drafts = [drafting.draft(Row(line, row)) for line, row in enumerate(rows, start=2)]
    assert len({draft.group for draft in drafts}) == 1
    return list(compose(drafts, "import/f.csv", chosen, of))


def data_of(found: list[Composed]) -> list[dict[str, Any]]:
    return [one.envelope["data"] for one in found]


def test_the_rows_of_an_order_are_the_items_of_one_purchase() -> None:
    (found,) = composed(
        "purchases",
        {**WHO, "email": "", "sku": "A", "quantity": "2", "unit_price": "1.50", "channel": "web"},
        {**WHO, "email": "ana@example.com", "sku": "B", "quantity": "", "unit_price": "3", "channel": ""},
    )
    assert found.envelope == {
        "specversion": "1.0",
        "id": "1",
        "source": "import/f.csv",
        "type": "purchase.completed",
        "time": AT,
        "data": {
            "customer": {"customer_id": "C-17", "email": "ana@example.com"},
            "order_id": "1",
            "channel": "web",
            "items": [{"sku": "A", "quantity": "2", "unit_price": "1.50"}, {"sku": "B", "unit_price": "3"}],
            "total": "6.00",
        },
    }
    assert list(found.rows) == [0, 1]


def test_the_same_order_number_of_two_customers_is_two_purchases() -> None:
    rows = [{**WHO, "total": "1"}, {**WHO, "customer_id": "C-18", "total": "2"}]
    assert [one["total"] for one in data_of(composed("purchases", *rows))] == ["1", "2"]


def test_a_row_without_a_customer_belongs_to_the_only_one_there_is() -> None:
    nobody = {**WHO, "customer_id": ""}
    rows = [{**WHO, "sku": "A", "unit_price": "1"}, {**nobody, "sku": "B", "unit_price": "2"}]
    (one,) = data_of(composed("purchases", *rows))
    assert [item["sku"] for item in one["items"]] == ["A", "B"]
    other = {**WHO, "customer_id": "C-18", "sku": "C", "unit_price": "1"}
    assert len(composed("purchases", *rows, other)) == 3


def test_the_total_is_what_the_rows_say_or_what_the_items_add_up_to() -> None:
    same = [{**WHO, "total": "5.00", "sku": "A"}, {**WHO, "total": "5.00", "sku": "B"}]
    assert data_of(composed("purchases", *same))[0]["total"] == "5.00"
    assert data_of(composed("purchases", *same, of="line"))[0]["total"] == "10.00"
    lines = [{**WHO, "total": "2.00"}, {**WHO, "total": "3.10"}]
    assert data_of(composed("purchases", *lines, of="line"))[0]["total"] == "5.10"
    (torn,) = composed("purchases", *lines)
    assert torn.refusal is not None
    assert "2.00, 3.10" in torn.refusal
    order = {
        **WHO,
        "sku": "A",
        "quantity": "3",
        "unit_price": "2",
        "items.discount": "1",
        "tax": "0.50",
        "shipping": "4",
    }
    given = {"columns": {"items.discount": "items.discount"}}
    assert data_of(composed("purchases", order, given=given))[0]["total"] == "9.50"
    assert "total" not in data_of(composed("purchases", {**WHO, "sku": "A", "quantity": "x"}))[0]


def test_a_negative_total_is_refused_or_a_refund_as_the_map_says() -> None:
    row = {**WHO, "sku": "A", "quantity": "-2", "unit_price": "5"}
    (refused,) = composed("purchases", row)
    assert refused.envelope["data"]["total"] == "-10.00"
    assert refused.envelope["type"] == "purchase.completed"
    (refund,) = composed("purchases", row, given={"negative": "refund"})
    assert (refund.envelope["type"], refund.envelope["data"]["total"]) == ("purchase.refunded", "10.00")
    assert refund.envelope["data"]["items"][0]["quantity"] == "2"
    assert refund.envelope["id"] != "1"


def test_a_refund_is_an_event_of_its_own() -> None:
    row = {**WHO, "type": "refunded", "total": "4"}
    (one,) = composed("purchases", row)
    assert one.envelope["type"] == "purchase.refunded"
    assert one.envelope["id"] != "1"
    assert one.envelope["data"] == {"customer": {"customer_id": "C-17"}, "order_id": "1", "total": "4"}


def test_without_an_order_number_each_row_is_a_purchase_told_apart_by_its_number() -> None:
    row = {"customer_id": "C-17", "time": AT, "total": "4"}
    first, second = composed("purchases", row, row)
    assert second.envelope["id"] == f"{first.envelope['id']}-2"
    assert first.envelope["data"]["order_id"] == first.envelope["id"]


def test_equal_rows_have_the_same_ids_wherever_they_stand() -> None:
    row = {"email": "ana@example.com", "time": AT, "subject": "Hi"}
    first, second = composed("emails", row, row)
    (again,) = composed("emails", dict(reversed(row.items())))
    assert again.envelope["id"] == first.envelope["id"]
    assert second.envelope["id"] == f"{first.envelope['id']}-2"


def test_a_call_is_named_by_its_id() -> None:
    row = {"call_id": "k-1", "phone": "+34600000001", "time": AT, "duration_seconds": "3:25", "resolved": "sí"}
    (one,) = composed("calls", {**row, "direction": "In", "status": "No answer"})
    assert one.envelope["id"] == "k-1"
    assert one.envelope["data"] == {
        "customer": {"phone": "+34600000001"},
        "call_id": "k-1",
        "duration_seconds": "205",
        "resolved": True,
        "direction": "inbound",
        "status": "no_answer",
    }


def test_the_kinds_of_mails_and_chats() -> None:
    (mail,) = composed("emails", {"email": "a@example.com", "time": AT, "type": "opened"})
    assert mail.envelope["type"] == "email.opened"
    (chat,) = composed("chats", {"chat_handle": "w", "time": AT, "text": "hi", "type": "chat.ended"})
    assert chat.envelope["type"] == "chat.ended"


def test_a_customers_row_is_his_traits() -> None:
    row = {"customer_id": "C-17", "Vorname": "Ana", "Geburtsdatum": "29.02.1988", "Postal code": "08001", "VIP": "ja"}
    given = {"columns": {"traits.vip": {"column": "VIP", "type": "boolean"}}}
    (one,) = composed("customers", row, given=given)
    assert one.envelope["data"] == {
        "customer": {"customer_id": "C-17"},
        "traits": {"first_name": "Ana", "birth_date": "1988-02-29", "postal_code": "08001", "vip": True},
    }


def test_traits_beside_a_purchase_are_the_customers() -> None:
    (one,) = composed("purchases", {**WHO, "total": "1", "V": "x"}, given={"columns": {"traits.vip": "V"}})
    assert one.envelope["data"]["customer"] == {"customer_id": "C-17", "traits": {"vip": "x"}}


def test_an_amount_names_its_currency() -> None:
    (one,) = composed("purchases", {**WHO, "total": "£4.50"})
    assert (one.envelope["data"]["total"], one.envelope["data"]["currency"]) == ("4.50", "GBP")
    (dollars,) = composed("purchases", {**WHO, "total": "$4.50"})
    assert dollars.envelope["data"]["total"] == "$4.50"


def test_objects_of_json_are_taken_whole() -> None:
    data = {
        "order_id": "1",
        "customer": {"email": "a@example.com"},
        "items": [{"sku": "A", "unit_price": 2}],
        "time": AT,
    }
    (one,) = composed("purchases", data)
    assert one.envelope["data"] == {
        "customer": {"email": "a@example.com"},
        "order_id": "1",
        "items": [{"sku": "A", "unit_price": 2}],
        "total": "2.00",
    }
    event = {"specversion": "1.0", "id": "x", "source": "shop", "type": "interest.shown", "data": {"customer": {}}}
    assert composed("purchases", event)[0].envelope == event


def test_an_order_of_endless_rows_is_refused() -> None:
    (one,) = composed("purchases", *[{**WHO, "total": "1"}] * (LARGEST_ORDER + 1))
    assert one.refusal is not None


def test_what_cannot_be_read_stays_for_the_acceptance_to_refuse() -> None:
    (one,) = composed("purchases", {**WHO, "time": "yesterday", "total": "forty"})
    assert (one.envelope["time"], one.envelope["data"]["total"]) == ("yesterday", "forty")
