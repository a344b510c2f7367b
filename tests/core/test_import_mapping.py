"""Which column becomes which field, and what a map may say."""

from typing import Any

import pytest

from services.importing.fields import resolve, targets
from services.importing.map_file import Wanted, wanted
from services.importing.mapping import Plan, plan
from services.importing.names import FIELDS, plain, snake
from shared.errors import WrongSetting

ROW = {"customer_id": "C-17", "order_id": "1", "time": "2026-03-02", "total": "9.90"}


def planned(kind: str, *rows: dict[str, Any], given: Wanted = Wanted()) -> Plan:  # noqa: B008 - a value
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return plan(kind, given, columns, rows, "EUR")


def fields_of(found: Plan) -> dict[str, str]:
    return {" + ".join(one.columns): one.target for one in found.columns}


def test_the_contracts_names_are_taken_as_they_are() -> None:
    found = planned("purchases", {**ROW, "sku": "A", "discount": "1", "Email": "a@example.com"})
    assert fields_of(found) == {
        "customer_id": "customer.customer_id",
        "order_id": "order_id",
        "time": "time",
        "total": "total",
        "sku": "items.sku",
        "discount": "items.discount",
        "Email": "customer.email",
    }
    assert not found.guessed()


def test_without_items_a_discount_is_the_orders_and_a_name_the_customers() -> None:
    found = fields_of(planned("purchases", {**ROW, "discount": "1", "name": "Ana"}))
    assert (found["discount"], found["name"]) == ("discount", "traits.name")


@pytest.mark.parametrize(
    ("column", "target"),
    [
        ("Nº de pedido", "order_id"),
        ("Rechnungsnummer", "order_id"),
        ("InvoiceNo", "order_id"),
        ("N° commande", "order_id"),
        ("Kunden-Nr.", "customer.customer_id"),
        ("Correo electrónico", "customer.email"),
        ("Téléphone portable", "customer.phone"),
        ("Stückzahl", "items.quantity"),
        ("Precio unitario", "items.unit_price"),
        ("StockCode", "items.sku"),
        ("Importe total", "total"),
        ("Vendedor", "data.vendedor"),
        ("Gesamtbetrag", "total"),
        ("Moneda", "currency"),
    ],
)
def test_usual_names_in_several_languages(column: str, target: str) -> None:
    found = planned("purchases", {column: "1"})
    assert fields_of(found)[column] == target
    assert found.guessed() == (not target.startswith("data."))


def test_every_spelling_is_written_as_it_is_looked_up_and_every_target_exists() -> None:
    for kind, known in FIELDS.items():
        for target, words in known.items():
            assert target in targets(kind)
            assert [word for word in words.split() if plain(word) != word] == []


def test_a_date_and_a_time_of_day_are_one_time() -> None:
    rows = [{"date": "2026-03-02", "time": "10:15"}, {"date": "2026-03-02", "time": "9:00 pm"}]
    assert fields_of(planned("calls", *rows)) == {"date + time": "time"}
    assert fields_of(planned("calls", {"date": "2026-03-02", "time": "2026-03-02T10:00:00Z"}))["time"] == "time"


def test_what_nobody_knows_is_kept() -> None:
    assert fields_of(planned("customers", {"Größe der Schuhe": "44"})) == {
        "Größe der Schuhe": "traits.grosse_der_schuhe"
    }
    assert fields_of(planned("calls", {"Queue": "7"})) == {"Queue": "data.queue"}
    assert fields_of(planned("purchases", {"sku": "A", "Colour": "red"}))["Colour"] == "items.colour"
    assert snake("  %% ") == "column"


def test_dates_that_can_be_read_in_two_ways_are_asked_about() -> None:
    with pytest.raises(WrongSetting, match="03/04/2026"):
        planned("purchases", {**ROW, "time": "03/04/2026"})
    given = wanted({"dates": "month_first"}, "purchases", "map.yaml")
    assert planned("purchases", {**ROW, "time": "03/04/2026"}, given=given).calendar.order == "month_first"


def test_a_map_decides() -> None:
    given = wanted(
        {
            "columns": {"customer_id": "total", "traits.age": {"column": "Age", "type": "number"}, "time": ["D", "T"]},
            "ignore": ["junk"],
            "constants": {"currency": "USD"},
            "timezone": "Europe/Madrid",
        },
        "purchases",
        "map.yaml",
    )
    found = planned(
        "purchases", {"total": "x", "Age": "3", "D": "1", "T": "2", "junk": "y", "order_id": "1"}, given=given
    )
    assert fields_of(found) == {
        "total": "customer.customer_id",
        "Age": "traits.age",
        "D + T": "time",
        "order_id": "order_id",
    }
    assert found.constants == {"currency": "USD"}
    assert not found.guessed()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "a map is an object"),
        ({"colums": {}}, "'colums'"),
        ({"columns": {"ordr_id": "A"}}, "ordr_id is no field of purchases"),
        ({"columns": {"sku": None}}, "sku names a column"),
        ({"columns": {"sku": {"column": "A", "typ": "text"}}}, "'typ'"),
        ({"columns": {"sku": {"column": "A", "type": "money"}}}, "type is one of"),
        ({"columns": ["sku"]}, "columns is an object"),
        ({"constants": {"curency": "EUR"}}, "curency"),
        ({"decimal": ";"}, "decimal is one of"),
        ({"negative": "yes"}, "negative is one of"),
        ({"timezone": "Madrid"}, "timezone 'Madrid'"),
    ],
)
def test_a_wrong_map_is_named_at_its_place(document: object, said: str) -> None:
    with pytest.raises(WrongSetting, match=r"map\.yaml") as raised:
        wanted(document, "purchases", "map.yaml")
    assert said in str(raised.value)


def test_a_column_that_is_not_there_is_named() -> None:
    given = wanted({"columns": {"sku": "Item"}}, "purchases", "map.yaml")
    with pytest.raises(WrongSetting, match="'Item'"):
        planned("purchases", ROW, given=given)


def test_fields_of_items_belong_to_purchases() -> None:
    assert resolve("purchases", "sku") == "items.sku"
    assert resolve("calls", "items.sku") is None
    assert resolve("calls", "customer.traits.vip") == "traits.vip"
