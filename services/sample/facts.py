"""The sample in figures, for the documentation and for what the start prints."""

import msgspec
import polars as pl

from services.sample.baskets import CURRENCY, heads
from services.sample.wheel import lines, table
from shared.events.money import to_text
from shared.events.times import EPOCH, from_ms, rfc3339, to_ms

FIRST_OF_FEBRUARY = to_ms(EPOCH.replace(year=2017, month=2))


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of the set as it is (times of 2017, UTC). `revenue` is a decimal string in `currency`."""

    baskets: int
    free_baskets: int
    lines: int
    lines_without_quantity: int
    lines_without_product: int
    households: int
    households_buying_in_january: int
    households_described: int
    campaigns: int
    sends: int
    redemptions: int
    products: int
    stores: int
    revenue: str
    currency: str
    median_baskets: float
    median_basket: str
    first_at: str
    last_at: str


def facts() -> Facts:
    """Read the tables and count; takes about a second."""
    bought = lines()
    baskets = heads(bought)
    known = table("products").select(pl.col("product_id").cast(pl.Int32).alias("product"))
    per_household = baskets.group_by("household").agg(pl.len(), first=pl.col("at").min())
    return Facts(
        baskets=baskets.height,
        free_baskets=int((baskets["cents"] == 0).sum()),
        lines=bought.height,
        lines_without_quantity=int((bought["quantity"] == 0).sum()),
        lines_without_product=bought.join(known, on="product", how="anti").height,
        households=per_household.height,
        households_buying_in_january=int((per_household["first"] < FIRST_OF_FEBRUARY).sum()),
        households_described=table("demographics").height,
        campaigns=table("campaign_descriptions").height,
        sends=table("campaigns").height,
        redemptions=table("coupon_redemptions").height,
        products=bought["product"].n_unique(),
        stores=bought["store"].n_unique(),
        revenue=to_text(int(baskets["cents"].sum()), CURRENCY),
        currency=CURRENCY,
        median_baskets=float(per_household["len"].quantile(0.5) or 0),
        median_basket=to_text(int(baskets["cents"].quantile(0.5, "lower") or 0), CURRENCY),
        first_at=rfc3339(from_ms(int(baskets["at"][0]))),
        last_at=rfc3339(from_ms(int(baskets["at"][-1]))),
    )
