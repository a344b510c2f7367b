"""How a value found in a foreign payload becomes one of ours. Pure; each raises ValueError for what it cannot read."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any

from shared.events.money import to_text
from shared.events.times import from_ms, rfc3339


def _number(value: Any) -> int | float:
    found = decimal(value)
    return int(found) if found == found.to_integral_value() else float(found)


def decimal(value: Any) -> Decimal:
    """A finite number, also one in a string."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("is no number")
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation as error:
        raise ValueError("is no number") from error
    if not found.is_finite() or abs(found) >= 10**18:
        raise ValueError("is no number that could be kept")
    return found


def _seconds(value: Any) -> str:
    return _moment(decimal(value) * 1000)


def _milliseconds(value: Any) -> str:
    return _moment(decimal(value))


def _moment(milliseconds: Decimal) -> str:
    try:
        return rfc3339(from_ms(int(milliseconds)))
    except OverflowError as error:
        raise ValueError("is no time that exists") from error


def _rfc2822(value: Any) -> str:
    try:
        found = parsedate_to_datetime(str(value))
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise ValueError("is no time such as 'Fri, 20 Nov 2026 10:15:00 +0000'") from error
    return rfc3339(_aware(found))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _phone(value: Any) -> str:
    digits = str(value).strip().removeprefix("whatsapp:").removeprefix("+")
    if not digits.isdecimal():
        raise ValueError("is no international phone number")
    return f"+{digits}"


CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "text": str,
    "lower": lambda value: str(value).lower(),
    "upper": lambda value: str(value).upper(),
    "number": _number,
    "seconds": _seconds,
    "milliseconds": _milliseconds,
    "rfc2822": _rfc2822,
    "phone": _phone,
}
"""By the word that a mapping says after `as`: `seconds` and `milliseconds` count from 1970, `phone` is digits with the
country code and perhaps without `+`."""


def minor_units(value: Any, currency: str) -> str:
    """Whole minor units of a currency (cents) as a decimal string."""
    amount = decimal(value)
    if amount != amount.to_integral_value():
        raise ValueError("is no whole number of minor units")
    return to_text(int(amount), currency.upper())
