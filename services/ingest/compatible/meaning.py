"""What a call of a tracking library says here: the type, the data, and where each part of them came from. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from services.ingest.compatible.rules import Told
from services.ingest.compatible.vocabulary import Vocabulary


class Meant(NamedTuple):
    """The type and the data of the event that was meant.

    `origins` are the places (JSON Pointers into the sender's event) behind the fields of `data`. Fields named in
    `optional` may be left out of the event when their values do not fit.
    """

    type: str
    data: dict[str, Any]
    origins: Mapping[str, str]
    optional: frozenset[str] = frozenset()


_MERGED = {
    "customer_id": "customer_id",
    "customerid": "customer_id",
    "user_id": "customer_id",
    "userid": "customer_id",
    "anonymous_id": "device_id",
    "anonymousid": "device_id",
    "device_id": "device_id",
    "loyalty_card": "loyalty_card",
    "chat_handle": "chat_handle",
    "email": "email",
    "phone": "phone",
}
_PAGE = frozenset({"category", "value"})


def meant(event: dict[str, Any], kind: str, context: dict[str, Any], vocabulary: Vocabulary) -> Meant:
    """What an event that was found complete says."""
    found = _CALLS[kind](event, context, vocabulary)
    if context:
        found.data["context"] = context
    return found


def _identify(event: dict[str, Any], context: dict[str, Any], vocabulary: Vocabulary) -> Meant:
    traits = event.get("traits")
    if traits is None:
        traits = _object(context.get("traits"))
    data = {"customer": _customer(event, context), "traits": _traits(traits, vocabulary)}
    return Meant("customer.identified", data, {"traits": "/traits"})


def _traits(traits: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Traits under the names they have here; what is said under our own name goes before."""
    found: dict[str, Any] = {}
    for name, value in traits.items():
        if name == "company" and isinstance(value, dict):
            found.update(_company(value))
        else:
            ours = vocabulary.traits.get(name, name)
            if ours == name or ours not in traits:
                found[ours] = value
    return found


def _company(company: Mapping[str, Any]) -> dict[str, Any]:
    names = {"name": "company", "employee_count": "company_size", "employees": "company_size"}
    return {names.get(name, f"company_{name}"): value for name, value in company.items()}


def _track(event: dict[str, Any], context: dict[str, Any], vocabulary: Vocabulary) -> Meant:
    name: str = event["event"]
    properties = event.get("properties") or {}
    meaning = vocabulary.meaning(name)
    customer = _customer(event, context)
    rest = {"event": name, "properties": properties}
    if meaning is None:
        return Meant("interest.shown", {"customer": customer, **rest}, {})
    told = Told(properties, context)
    for kind, rule in meaning.identifiers.items():
        found = rule(told)
        if kind not in customer and _is_name(found):
            customer[kind] = found
    fields = {field: value for field, rule in meaning.fields.items() if (value := rule(told)) is not None}
    return Meant(meaning.type, {"customer": customer, **fields, **rest}, meaning.origins, meaning.optional)


def _page(event: dict[str, Any], context: dict[str, Any], _: Vocabulary) -> Meant:
    properties = event.get("properties") or {}
    page = _object(context.get("page"))
    seen = (
        event.get("name"),
        *(source.get(name) for name in ("url", "path", "title") for source in (properties, page)),
    )
    data: dict[str, Any] = {"customer": _customer(event, context), "kind": "page_view"}
    category = event.get("category") or properties.get("category")
    value = next((one for one in seen if isinstance(one, str) and one), None)
    data |= {name: found for name, found in (("category", category), ("value", value)) if found is not None}
    if isinstance(event.get("name"), str):
        data["name"] = event["name"]
    data["properties"] = properties
    return Meant("interest.shown", data, {"category": "/category", "value": "/name"}, _PAGE)


def _group(event: dict[str, Any], context: dict[str, Any], _: Vocabulary) -> Meant:
    customer = _customer({**event, "traits": None}, context)
    data = {"customer": customer, "group_id": event["groupId"], "traits": event.get("traits") or {}}
    return Meant("customer.grouped", data, {"group_id": "/groupId", "traits": "/traits"})


def _alias(event: dict[str, Any], _: dict[str, Any], __: Vocabulary) -> Meant:
    """An explicit link. Whether the former id was a user's or a visitor's is not said, so it is linked as both."""
    previous = event["previousId"]
    kinds = ("device_id",) if previous == event.get("anonymousId") else ("customer_id", "device_id")
    customer = {"customer_id": event["userId"]} if event.get("userId") else {"device_id": event["anonymousId"]}
    data = {
        "customer": customer,
        "identifiers": [{"kind": kind, "value": previous} for kind in kinds],
        "reason": "alias",
    }
    return Meant("customer.linked", data, {"identifiers": "/previousId"})


def _merge(event: dict[str, Any], _: dict[str, Any], __: Vocabulary) -> Meant:
    sent = event.get("mergeProperties")
    identifiers = [_merged(one) for one in sent] if isinstance(sent, list) else sent
    return Meant(
        "customer.linked", {"identifiers": identifiers, "reason": "merge"}, {"identifiers": "/mergeProperties"}
    )


def _merged(one: object) -> object:
    if not isinstance(one, dict):
        return one
    kind = one.get("type")
    return {"kind": _MERGED.get(kind.lower(), kind) if isinstance(kind, str) else kind, "value": one.get("value")}


def _customer(event: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    customer: dict[str, Any] = {}
    if event.get("userId"):
        customer["customer_id"] = event["userId"]
    if event.get("anonymousId"):
        customer["device_id"] = event["anonymousId"]
    traits = {**_object(context.get("traits")), **(event.get("traits") or {})}
    for kind in ("email", "phone"):
        if _is_name(traits.get(kind)):
            customer[kind] = traits[kind]
    return customer


def _is_name(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


_CALLS: Mapping[str, Callable[[dict[str, Any], dict[str, Any], Vocabulary], Meant]] = {
    "identify": _identify,
    "track": _track,
    "page": _page,
    "screen": _page,
    "group": _group,
    "alias": _alias,
    "merge": _merge,
}
