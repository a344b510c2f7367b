"""Amounts and numbers as people and programs write them, made plain decimal strings. Pure.

Nothing here refuses a value: what cannot be read for certain stays as it is, and the acceptance of events says what
is wrong with it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

POINT, COMMA = ".", ","

_PLAIN = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)", re.ASCII)
_SIGN = {"€": "EUR", "£": "GBP", "₤": "GBP", "₹": "INR", "₺": "TRY", "₽": "RUB", "zł": "PLN", "CHF": "CHF"}
_DOLLARS = frozenset(("USD", "CAD", "AUD", "NZD", "MXN", "SGD", "HKD", "ARS", "CLP", "COP"))
_CURRENCY = re.compile(r"[A-Z]{3}|€|£|₤|₹|₺|₽|zł|\$")
_SPACES = re.compile(r"[\s\u00a0\u202f\u2019'_]")
_GROUPED = {
    POINT: re.compile(r"(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", re.ASCII),
    COMMA: re.compile(r"(\d{1,3}(\.\d{3})+|\d+)(,\d+)?", re.ASCII),
}
_SHOWS = {
    POINT: re.compile(r"\d*\.(\d{1,2}|\d{4,})|[\d,]*\d,\d{3}\.\d+|\d{1,3}(,\d{3}){2,}", re.ASCII),
    COMMA: re.compile(r"\d*,(\d{1,2}|\d{4,})|[\d.]*\d\.\d{3},\d+|\d{1,3}(\.\d{3}){2,}", re.ASCII),
}
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,3}):(\d\d(?:\.\d+)?)", re.ASCII)


def decimal_mark(values: Iterable[object]) -> str | None:
    """The decimal mark that the values of a file show: `.` or `,`; None when they show neither, or both."""
    shown = {POINT: False, COMMA: False}
    for value in values:
        if isinstance(value, str):
            digits = _bare(value)[0].lstrip("+-")
            for mark, pattern in _SHOWS.items():
                shown[mark] = shown[mark] or pattern.fullmatch(digits) is not None
    if shown[POINT] == shown[COMMA]:
        return None
    return POINT if shown[POINT] else COMMA


@lru_cache(maxsize=65536)
def number(text: str, mark: str | None) -> str:
    """A plain decimal string, or the text as it is.

    `mark` is the decimal mark; without one only texts that can be read in one way are read: `1234`, `1 234`, `12.5`,
    not `1,234`. Signs of currencies, a trailing minus and brackets around negative amounts are understood.
    """
    if _PLAIN.fullmatch(text) and mark != COMMA:
        return text
    digits, negative = _bare(text)
    negative ^= digits.startswith("-")
    digits = digits.lstrip("+-")
    plain = digits if mark is None and _PLAIN.fullmatch(digits) else _ungrouped(digits, mark)
    if plain is None:
        return text
    return f"-{plain}" if negative else plain


def _ungrouped(digits: str, mark: str | None) -> str | None:
    if mark is None or not _GROUPED[mark].fullmatch(digits):
        return None
    return digits.replace(COMMA if mark == POINT else POINT, "").replace(mark, ".")


def _bare(text: str) -> tuple[str, bool]:
    """The text without spaces, currency and brackets, and whether it was marked negative at its end or by brackets."""
    bare = _CURRENCY.sub("", _SPACES.sub("", text))
    if bare.startswith("(") and bare.endswith(")"):
        return bare[1:-1], True
    if bare.endswith("-") and len(bare) > 1:
        return bare[:-1], True
    return bare, False


def currency_in(text: str, company: str) -> str | None:
    """The currency that an amount names by code or sign; a dollar sign is the company's dollar, else none."""
    found = _CURRENCY.search(text)
    if found is None:
        return None
    if found[0] == "$":
        return company if company in _DOLLARS else None
    return _SIGN.get(found[0], found[0])


def may_be_read(text: str, company: str) -> bool:
    """Whether the currency of an amount is known: a dollar sign means nothing to a company without a dollar."""
    return "$" not in text or company in _DOLLARS


def seconds(text: str, mark: str | None) -> str:
    """A duration in seconds: a number, or a clock such as `3:25` and `1:03:25`."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return number(text, mark)
    hours, minutes, rest = int(found[1] or 0), int(found[2]), float(found[3])
    total = hours * 3600 + minutes * 60 + rest
    return str(int(total)) if total.is_integer() else str(total)
