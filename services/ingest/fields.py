"""The field types of the documented contract: lax on spelling, strict on meaning, and already in canonical form."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from services.ingest.normalise import UnreadableError, moment
from shared.events.times import rfc3339

_PLAIN = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?", re.ASCII)
_LARGEST = Decimal(10) ** 15
_SMALLEST = Decimal("0.000001")


def money(value: object) -> str:
    """A decimal string of at most six decimals and less than 10^15; numbers and strings mean the same."""
    if isinstance(value, str):
        text = value.strip()
        if _PLAIN.fullmatch(text):
            return text
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value) if abs(value) < _LARGEST else "too large"
    else:
        raise PydanticCustomError("money", "must be an amount: a decimal string or a number")
    if not _NUMBER.fullmatch(text):
        raise PydanticCustomError("money", "must be a finite decimal amount below 10^15, such as 49.90")
    return _plain_text(Decimal(text))


def _plain_text(amount: Decimal) -> str:
    if abs(amount) >= _LARGEST:
        raise PydanticCustomError("money", "must be a finite decimal amount below 10^15, such as 49.90")
    if int(amount.as_tuple().exponent) < -6:
        amount = amount.quantize(_SMALLEST).normalize()
    return format(amount if amount else abs(amount), "f")


def not_negative(value: object) -> str:
    """An amount as `money` has it, of zero or more."""
    text = money(value)
    if text.startswith("-"):
        raise PydanticCustomError("money", "must not be negative")
    return text


def moment_text(value: object) -> str:
    """An RFC 3339 time in UTC and whole milliseconds."""
    try:
        return rfc3339(moment(value))
    except UnreadableError as error:
        raise PydanticCustomError("moment", "{reason}", {"reason": str(error)}) from error


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _currency(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _amount_schema(sign: str, **bounds: float) -> WithJsonSchema:
    pattern = rf"^{sign}[0-9]{{1,15}}(\.[0-9]{{1,6}})?$"
    number = {"type": "number", **bounds, "exclusiveMaximum": 10**15}
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern}, number]})


Money = Annotated[str, BeforeValidator(money), _amount_schema("-?", exclusiveMinimum=-(10**15))]
"""An amount that may be negative (a discount that was taken back)."""

Amount = Annotated[str, BeforeValidator(not_negative), _amount_schema("", minimum=0)]
"""An amount of zero or more."""

Moment = Annotated[str, BeforeValidator(moment_text), Field(json_schema_extra={"format": "date-time"})]
"""An RFC 3339 time with its zone; kept in UTC and whole milliseconds."""

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), BeforeValidator(_currency)]
"""An ISO 4217 code."""

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]
"""A short text that names something; numbers are taken as text."""

Text = Annotated[str, StringConstraints(max_length=20_000)]
"""A text that people wrote; numbers are taken as text."""

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
"""A finite number; numbers in strings are taken."""

Duration = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e9)]
"""Seconds."""

Sentiment = Annotated[float, Field(allow_inf_nan=False, ge=-1, le=1)]
"""From -1 (angry) to 1 (delighted)."""

Score = Annotated[float, Field(allow_inf_nan=False, ge=1, le=5)]
"""A satisfaction score from 1 to 5."""

Points = Annotated[int, Field(ge=-(10**15), le=10**15)]
"""Whole loyalty points."""

Flag = bool
Free = dict[str, Any]

Word = Annotated[str, StringConstraints(min_length=1, max_length=256), BeforeValidator(_lower)]
"""One of an open list of words, in lower case."""

SalesChannel = Annotated[Literal["store", "web", "app", "phone"], BeforeValidator(_lower)]
Direction = Annotated[Literal["inbound", "outbound"], BeforeValidator(_lower)]
CallStatus = Annotated[
    Literal["completed", "missed", "busy", "no_answer", "failed", "voicemail"], BeforeValidator(_lower)
]
BounceType = Annotated[Literal["hard", "soft"], BeforeValidator(_lower)]
ConsentStatus = Annotated[Literal["granted", "denied"], BeforeValidator(_lower)]
SurveyKind = Annotated[Literal["nps", "csat", "ces", "reason", "mystery_shop"], BeforeValidator(_lower)]
InterestKind = Annotated[
    Literal["page_view", "product_view", "search", "cart", "quote", "visit", "social"], BeforeValidator(_lower)
]
