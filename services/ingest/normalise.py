"""Identifiers, times and text in the one form in which they are compared. Pure, and doing it twice changes nothing."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

import msgspec
import phonenumbers

from shared.errors import Fault
from shared.events.identifiers import KINDS, PRIORITY, Identifier, strength
from shared.events.times import whole_ms

LONGEST = 256
"""Characters of an identifier, an event id or a source: an index entry must hold it."""

BLOCKED = (
    *("null", "none", "nil", "nan", "undefined", "unknown", "anonymous", "guest", "n/a", "not set", "(not set)"),
    *("(null)", "(none)", "[object object]", "-1", "-", "?", "true", "false", "test@test.com", "email@email.com"),
    *("noreply@*", "no-reply@*", "no_reply@*", "donotreply@*", "do-not-reply@*", "mailer-daemon@*"),
)
"""Values that name nobody, as shell patterns on the lower-case value; zeros of any length and form are blocked too."""

_ZEROS = re.compile(r"[+]?[0\s.()/-]+")
_PATTERNS = tuple(pattern for pattern in BLOCKED if "*" in pattern)
_WORDS = frozenset(BLOCKED) - frozenset(_PATTERNS)
_EMAIL = re.compile(r"[^@\s\"(),:;<>\[\]\\]+@[^@\s\"(),:;<>\[\]\\.]+(\.[^@\s\"(),:;<>\[\]\\.]+)+")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class UnreadableError(ValueError):
    """A value that cannot be what it claims to be.

    `nobody` says that it is a blocked identifier, `doubtful` that it is no identifier but worth keeping as a trait.
    """

    def __init__(self, detail: str, *, nobody: bool = False, doubtful: bool = False) -> None:
        super().__init__(detail)
        self.nobody = nobody
        self.doubtful = doubtful


class Rules(msgspec.Struct, frozen=True):
    """What a company adds: the region of phone numbers without country code, and patterns of more blocked values."""

    phone_region: str | None = None
    blocked: tuple[str, ...] = ()


def moment(value: object) -> datetime:
    """An RFC 3339 time with zone, in UTC and whole milliseconds. Raises UnreadableError, also outside 1900 to 2200."""
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise UnreadableError("must be an RFC 3339 time with its zone, such as 2026-11-20T10:15:00Z")
    try:
        found = whole_ms(msgspec.convert(value.upper().replace(" ", "T"), datetime))
    except (msgspec.ValidationError, OverflowError) as error:
        raise UnreadableError("must be an RFC 3339 time that exists") from error
    if not _EARLIEST <= found < _LATEST:
        raise UnreadableError("must lie between the years 1900 and 2200")
    return found


def identifier(kind: str, value: object, rules: Rules) -> str:
    """The normalised value of an identifier. Raises UnreadableError."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnreadableError("an identifier is a text")
    if isinstance(value, int) and abs(value) >= 10**LONGEST:
        raise UnreadableError(f"an identifier has at most {LONGEST} characters")
    return _identifier(kind, str(value), rules)


@lru_cache(maxsize=65536)
def _identifier(kind: str, value: str, rules: Rules) -> str:
    text = _one_form(value, "NFKC" if kind in ("email", "phone") else "NFC")
    if len(text) > LONGEST:
        raise UnreadableError(f"an identifier has at most {LONGEST} characters")
    if _names_nobody(text.lower(), rules.blocked):
        raise UnreadableError("this value names nobody", nobody=True)
    if kind == "email":
        return _email(text)
    return _phone(text, rules.phone_region) if kind == "phone" else text


def _one_form(value: str, form: Literal["NFC", "NFKC"]) -> str:
    text = value
    for _ in range(3):  # trimming may bring a character to the edge that composes or trims again
        text = unicodedata.normalize(form, text).strip()
    return text


def _names_nobody(text: str, more: tuple[str, ...]) -> bool:
    if not text or text in _WORDS or _ZEROS.fullmatch(text):
        return True
    return any(fnmatchcase(text, pattern) for pattern in (*_PATTERNS, *more))


def _email(text: str) -> str:
    address = _one_form(text.lower(), "NFKC")
    if len(address) > LONGEST or not address.isprintable() or not _EMAIL.fullmatch(address):
        raise UnreadableError("this is no e-mail address", doubtful=True)
    return address


def _phone(text: str, region: str | None) -> str:
    number = text.removeprefix("tel:")
    if number.startswith("00"):
        number = "+" + number[2:]
    if not number.startswith("+") and region is None:
        raise UnreadableError("a phone number needs its country code, such as +34 600 000 001", doubtful=True)
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException as error:
        raise UnreadableError("this is no phone number", doubtful=True) from error
    if not phonenumbers.is_possible_number(parsed):
        raise UnreadableError("this is no possible phone number", doubtful=True)
    written = _e164(parsed)
    # zeros after a country code may read as a trunk prefix again and again: such a number has no one form
    if _e164(phonenumbers.parse(written)) != written:
        raise UnreadableError("this is no possible phone number", doubtful=True)
    return written


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def customer(value: object, rules: Rules) -> tuple[dict[str, object], tuple[Fault, ...]]:
    """`data.customer` with normalised identifiers, and what is wrong with it.

    As long as another identifier is good, a blocked value is dropped, and an e-mail address or phone number that
    cannot be read is kept as trait `email_unverified` or `phone_unverified`.
    """
    if not isinstance(value, Mapping):
        return {}, (Fault("an event needs a customer with at least one identifier", "/data/customer"),)
    found: dict[str, object] = {kind: value[kind] for kind in value if kind not in PRIORITY and kind != "traits"}
    traits, wrong = _traits(value.get("traits"))
    spoilt: list[Fault] = []
    named = False
    for kind in KINDS:
        sent = value.get(kind)
        if sent is None or sent == "":
            continue
        try:
            found[kind] = identifier(kind, sent, rules)
            named = True
        except UnreadableError as error:
            fault = Fault(str(error), f"/data/customer/{kind}")
            (spoilt if error.nobody or error.doubtful else wrong).append(fault)
            if error.doubtful:
                traits[f"{kind}_unverified"] = str(sent).strip()
    if traits:
        found["traits"] = traits
    if not named:
        wrong[:0] = [Fault("an event needs a customer with at least one identifier", "/data/customer"), *spoilt]
    return found, tuple(wrong)


def _traits(value: object) -> tuple[dict[str, object], list[Fault]]:
    if value is None:
        return {}, []
    if not isinstance(value, Mapping):
        return {}, [Fault("traits are an object", "/data/customer/traits")]
    return dict(value), []


def statement(value: object, rules: Rules) -> tuple[tuple[Identifier, ...], tuple[Fault, ...]]:
    """`data.identifiers` of an identity statement, normalised, without repetitions, and what is wrong with it."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
        return (), (Fault("identifiers are a list of {kind, value}, at least one", "/data/identifiers"),)
    found: dict[Identifier, None] = {}
    faults: list[Fault] = []
    for index, item in enumerate(value):
        place = f"/data/identifiers/{index}"
        kind = item.get("kind") if isinstance(item, Mapping) else None
        if not isinstance(kind, str) or kind not in PRIORITY:
            faults.append(Fault(f"a kind is one of {', '.join(KINDS)}", place + "/kind"))
            continue
        try:
            found[Identifier(kind, identifier(kind, item.get("value"), rules))] = None
        except UnreadableError as error:
            faults.append(Fault(str(error), place + "/value"))
    return tuple(found), tuple(faults)


def identifiers_of(shown: Mapping[str, object]) -> tuple[Identifier, ...]:
    """The identifiers of a normalised customer, strongest first."""
    return tuple(sorted((Identifier(kind, str(shown[kind])) for kind in KINDS if kind in shown), key=strength))
