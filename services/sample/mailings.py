"""The campaigns of the set as e-mails: 6,589 sends, and 2,102 redeemed coupons as clicks on them.

The set does not tell how a campaign travelled; that it was e-mail, and at what hour of its first day, is our reading.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from services.sample.draft import DAY, HOUR, LOCAL, REAL, SECOND, Draft, customer, written
from services.sample.draws import Draws
from services.sample.wheel import table

Sends = Mapping[tuple[int, int], int]
"""When each (campaign, household) was sent, in milliseconds of the set."""


def sends() -> Sends:
    """Every send, somewhere between 08:00 and 18:00 UTC on the campaign's first day."""
    starts = table("campaign_descriptions").select("campaign_id", pl.col("start_date").dt.epoch("ms"))
    rows = table("campaigns").join(starts, on="campaign_id").sort("campaign_id", "household_id")
    return {
        (campaign, household): start + 8 * HOUR + Draws(f"send/{campaign}/{household}").below(36_000) * SECOND
        for campaign, household, start in rows.iter_rows()
    }


def sent(mailed: Sends) -> Iterator[Draft]:
    """`email.sent`, one per send."""
    names = _names()
    for (campaign, household), at in mailed.items():
        message = _message(campaign, household)
        data = {"customer": customer(household), "campaign": names[campaign], "message_id": message}
        yield Draft(at, household, "email.sent", REAL, message, written(data))


def clicked(redemptions: pl.DataFrame) -> Iterator[Draft]:
    """`email.clicked`, one per redeemed coupon: minutes before the basket it belongs to."""
    names = _names()
    for row in redemptions.iter_rows(named=True):
        campaign, household, coupon, day = (row[name] for name in ("campaign", "household", "coupon", "day"))
        name = f"redemption-{household}-{campaign}-{coupon}-{day}"
        draws = Draws(name)
        at = _moment(row["at"], day, draws)
        data = {
            "customer": customer(household),
            "campaign": names[campaign],
            "message_id": _message(campaign, household),
            "link_url": f"coupon:{coupon}",
        }
        yield Draft(at, household, "email.clicked", REAL, name, written(data))


def _moment(basket_at: int | None, day: int, draws: Draws) -> int:
    """Five to ninety minutes before the basket; where none is known, between 8 and 18 o'clock of the local day."""
    if basket_at is None:
        return day * DAY + LOCAL + 8 * HOUR + draws.below(36_000) * SECOND
    return basket_at - draws.between(5 * 60, 90 * 60) * SECOND


def _names() -> dict[int, str]:
    """How each campaign is called: its number and its type in the set (A, B or C)."""
    rows = table("campaign_descriptions").select("campaign_id", "campaign_type").iter_rows()
    return {campaign: f"journey-{campaign}-type-{kind[-1]}" for campaign, kind in rows}


def _message(campaign: int, household: int) -> str:
    return f"journey-{campaign}-{household}"
