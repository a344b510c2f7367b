"""The strict half of the documented contract: for every field a function that takes only what needs no correction.

Fields and their order come from the models of `contract`; so do the functions for amounts and times.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from services.ingest import contract, fields


class OddError(ValueError):
    """Not plain: for `acceptance` to look at."""


Clean = Callable[[Any], Any]


def _name(value: Any) -> str:
    text = str(value) if type(value) is int else value
    if type(text) is str and 0 < len(text) <= 256 and text == text.strip():
        return text
    raise OddError


def _text(value: Any) -> str:
    if type(value) is str and len(value) <= 20_000:
        return value
    raise OddError


def _word(value: Any) -> str:
    if type(value) is str and 0 < len(value) <= 256 and value == value.strip().lower():
        return value
    raise OddError


def _currency(value: Any) -> str:
    if type(value) is str and len(value) == 3 and value.isascii() and value.isalpha() and value.isupper():
        return value
    raise OddError


def _flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise OddError


def _points(value: Any) -> int:
    if type(value) is int and abs(value) <= 10**15:
        return value
    raise OddError


def _free(value: Any) -> dict[str, Any]:
    if type(value) is dict:
        return value
    raise OddError


def _items(value: Any) -> list[dict[str, Any]]:
    if type(value) is not list:
        raise OddError
    return [_item(one) for one in value]


def _item(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise OddError
    known = {name: clean(value[name]) for name, clean in _ITEM.items() if value.get(name) is not None}
    return known | {name: member for name, member in value.items() if name not in _ITEM}


def _of(*words: str) -> Clean:
    known = frozenset(words)

    def clean(value: Any) -> str:
        if type(value) is str and value in known:
            return value
        raise OddError

    return clean


def _between(low: float, high: float) -> Clean:
    def clean(value: Any) -> float:
        if isinstance(value, int | float) and value is not True and value is not False and low <= value <= high:
            return value
        raise OddError

    return clean


def _is_required(kind: str, name: str) -> bool:
    return contract.MODELS[kind].model_fields[name].is_required()


_CLEANS: tuple[tuple[Any, Clean], ...] = (
    (fields.Name, _name),
    (fields.Text, _text),
    (fields.Word, _word),
    (fields.Money, fields.money),
    (fields.Amount, fields.not_negative),
    (fields.Currency, _currency),
    (fields.Moment, fields.moment_text),
    (fields.Number, _between(-1e15, 1e15)),
    (fields.Duration, _between(0, 1e9)),
    (fields.Sentiment, _between(-1, 1)),
    (fields.Score, _between(1, 5)),
    (fields.Points, _points),
    (fields.Flag, _flag),
    (fields.Free, _free),
    (list[contract.Item], _items),
)


def _cleans(model: type[contract.Part]) -> dict[str, Clean]:
    """The functions of a model's fields, in its order. Raises LookupError for a type of field that has none here."""
    hints = get_type_hints(model, include_extras=True)
    return {name: _clean(hints[name]) for name in model.model_fields if name not in ("customer", "identifiers")}


def _clean(hint: Any) -> Clean:
    arms = [arm for arm in get_args(hint) if arm is not type(None)]
    if get_origin(hint) is not Annotated and len(arms) == 1 and hint != list[contract.Item] and hint != fields.Free:
        return _clean(arms[0])
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(inner) is Literal:
        return _of(*get_args(inner))
    found = next((clean for known, clean in _CLEANS if known == hint), None)
    if found is None:
        raise LookupError(f"no plain form of {hint}")
    return found


_ITEM = _cleans(contract.Item)
_APART = frozenset({"survey.answered", "customer.linked", "customer.split"})
"""Types with rules across fields: always for `acceptance`."""

FIELDS: Mapping[str, Mapping[str, Clean]] = {
    kind: _cleans(model) for kind, model in contract.MODELS.items() if kind not in _APART
}
"""The functions of the fields of every type that may be plain, in the order of the contract."""

REQUIRED: Mapping[str, frozenset[str]] = {
    kind: frozenset(name for name in FIELDS[kind] if name in ("order_id", "total") or _is_required(kind, name))
    for kind in FIELDS
}
"""The fields without which an event is not plain: those it needs, and the total that could be added up."""
