"""Who the households are: real demographics, and generated addresses and consents, which the set lacks."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import polars as pl

from services.sample.draft import DAY, MINUTE, REAL, SECOND, SYNTHETIC, Draft, customer, written
from services.sample.draws import Draws
from services.sample.mailings import Sends
from services.sample.wheel import table

REACHABLE_WITHOUT_MAILING = 0.08
"""Share of the households never sent a campaign that have left an address all the same. An assumption."""

WITHDRAWN = 0.03
"""Share of the consents that are taken back later. An assumption."""

INCOME_BANDS = (
    "Under 15K",
    "15-24K",
    "25-34K",
    "35-49K",
    "50-74K",
    "75-99K",
    "100-124K",
    "125-149K",
    "150-174K",
    "175-199K",
    "200-249K",
    "250K+",
)
"""Poorest first; the rank of a band is its position from 1."""

_AREAS = "201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 229 231 234 239 240 248"
AREA_CODES = tuple(_AREAS.split())
"""Enough for 2,600 numbers of the range 555-0100 to 555-0199, which is set aside for fiction in every area code."""


class Household(NamedTuple):
    """What of a household the other events depend on; all times in milliseconds of the set."""

    number: int
    first_basket: int
    last_basket: int
    first_sent: int | None
    last_sent: int | None

    @property
    def first_contact(self) -> int:
        """Its first basket or the first campaign sent to it, whichever came first."""
        return self.first_basket if self.first_sent is None else min(self.first_basket, self.first_sent)


def households(baskets: pl.DataFrame, mailed: Sends) -> tuple[Household, ...]:
    """Every household that bought, by number."""
    sent: dict[int, list[int]] = {}
    for (_, household), at in mailed.items():
        sent.setdefault(household, []).append(at)
    spans = baskets.group_by("household").agg(first=pl.col("at").min(), last=pl.col("at").max()).sort("household")
    return tuple(
        Household(number, first, last, min(sent.get(number, ()), default=None), max(sent.get(number, ()), default=None))
        for number, first, last in spans.iter_rows()
    )


def email(household: int) -> str:
    """A generated address in the domain that is reserved for examples."""
    return f"household-{household}@example.org"


def phone(household: int) -> str:
    """A generated number that is set aside for fiction, one per household (numbers up to 2,599)."""
    area, line = divmod(household, 100)
    return f"+1{AREA_CODES[area]}55501{line:02d}"


def demographics(families: Sequence[Household]) -> Iterator[Draft]:
    """The 801 households whose traits are known, just before their first basket; unknown traits are left out."""
    known = {row["household_id"]: _traits(row) for row in table("demographics").iter_rows(named=True)}
    for family in families:
        if family.number in known:
            data = {"customer": customer(family.number), "traits": known[family.number]}
            at = family.first_basket - 3 * SECOND
            yield _draft(family, at, "customer.identified", REAL, f"demographics-{family.number}", data)


def addresses(families: Sequence[Household]) -> Iterator[Draft]:
    """Name and address of everybody who was sent a campaign and of some others, just before the first contact."""
    for family in filter(has_address, families):
        who = customer(family.number, email=email(family.number))
        data = {"customer": who, "traits": {"name": f"Household {family.number}"}}
        at = family.first_contact - 2 * SECOND
        yield _draft(family, at, "customer.identified", SYNTHETIC, f"address-{family.number}", data)


def consents(families: Sequence[Household], end: int) -> Iterator[Draft]:
    """Consent to e-mail, given with the address; a few take it back, later than anything the set sent them."""
    reachable = tuple(filter(has_address, families))
    yield from chain.from_iterable(_consent(family, end) for family in reachable)


def has_address(family: Household) -> bool:
    """Whether the household has an e-mail address in the sample."""
    draws = Draws(f"address/{family.number}")
    return family.first_sent is not None or draws.happens(REACHABLE_WITHOUT_MAILING)


def _consent(family: Household, end: int) -> Iterator[Draft]:
    number = family.number
    at = family.first_contact - SECOND
    yield _draft(family, at, "consent.changed", SYNTHETIC, f"consent-{number}-granted", _choice(number, "granted"))
    draws = Draws(f"consent/{number}")
    earliest = max(family.first_contact, family.last_sent or 0) + DAY
    if draws.happens(WITHDRAWN) and earliest < end:
        at = earliest + draws.below((end - earliest) // MINUTE + 1) * MINUTE
        yield _draft(family, at, "consent.changed", SYNTHETIC, f"consent-{number}-denied", _choice(number, "denied"))


def _choice(household: int, status: str) -> Mapping[str, object]:
    who = customer(household, email=email(household))
    return {"customer": who, "channel": "email", "purpose": "marketing", "status": status}


def _traits(row: Mapping[str, object]) -> dict[str, object]:
    """The known traits of a row; the two bands get the names that the vocabulary of events has for them."""
    income = row["income"]
    traits = {
        "age_band": row["age"],
        "income_band": income,
        "income_band_rank": INCOME_BANDS.index(str(income)) + 1 if income is not None else None,
        **{
            name: row[name]
            for name in ("home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
        },
    }
    return {name: value for name, value in traits.items() if value is not None}


def _draft(family: Household, at: int, kind: str, source: str, name: str, data: Mapping[str, object]) -> Draft:
    return Draft(at, family.number, kind, source, name, written(data))
