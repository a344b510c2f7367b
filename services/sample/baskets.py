"""Baskets as `purchase.completed`: 155,848 of them, exact to the cent, with their 1.47 million lines as items."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec
import polars as pl

from services.sample.draft import DAY, LOCAL, REAL, Draft, customer
from services.sample.wheel import table
from shared.events.money import to_text

CURRENCY = "USD"
AT_ONCE = 2_048
"""Baskets turned into Python objects at a time: bounds memory, costs no speed."""

Product = tuple[str | None, str | None]


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A line as it is written; the fields stand in the order of their names, which makes the JSON canonical.

    It has a `unit_price` where the line's amount is a whole number of cents per unit, else its `total`: fuel comes in
    quantities of many thousands, and some lines have none.
    """

    category: str | None = None
    name: str | None = None
    quantity: int
    sku: str
    total: str | None = None
    unit_price: str | None = None


class Basket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A purchase as it is written; the fields stand in the order of their names."""

    channel: str
    coupon: str | None = None
    currency: str
    customer: dict[str, str]
    discount: str | None = None
    items: list[Item]
    order_id: str
    store_id: str
    total: str


_encoder = msgspec.json.Encoder()


@lru_cache(maxsize=65_536)
def money(cents: int) -> str:
    """Cents as a decimal string; remembered, because prices repeat."""
    return to_text(cents, CURRENCY)


def heads(lines: pl.DataFrame) -> pl.DataFrame:
    """One row per basket in the order of the lines: basket, at, household, store, lines, cents, saved, couponed."""
    return lines.group_by("basket", maintain_order=True).agg(
        pl.col("at", "household", "store").first(),
        pl.len().alias("lines"),
        pl.col("cents", "saved").sum(),
        pl.col("couponed").any(),
    )


def redemptions(heads: pl.DataFrame) -> pl.DataFrame:
    """Each coupon redemption (household, coupon, campaign, day) with its likely basket (basket, at, couponed).

    The set tells only the day. The basket is the household's first of that local day with a coupon taken off, else
    its first of that day; a few redemptions have none (null).
    """
    bought = (
        heads.select("household", "basket", "at", "couponed", day=(pl.col("at") - LOCAL) // DAY)
        .sort("couponed", "at", "basket", descending=[True, False, False])
        .unique(["household", "day"], keep="first", maintain_order=True)
    )
    return (
        table("coupon_redemptions")
        .select(
            household=pl.col("household_id").cast(pl.Int32),
            coupon=pl.col("coupon_upc"),
            campaign=pl.col("campaign_id"),
            day=pl.col("redemption_date").dt.epoch("ms") // DAY,
        )
        .join(bought, on=["household", "day"], how="left")
        .sort("day", "household", "coupon", "campaign")
    )


def coupon_by_basket(redemptions: pl.DataFrame) -> dict[int, str]:
    """The coupon that a basket names; where several were redeemed, the one with the smallest code."""
    used = redemptions.filter(pl.col("couponed")).group_by("basket").agg(pl.col("coupon").min())
    return {basket: str(coupon) for basket, coupon in used.iter_rows()}


def purchases(lines: pl.DataFrame, heads: pl.DataFrame, coupons: Mapping[int, str]) -> Iterator[Draft]:
    """Every basket in order of time, those that cost nothing too."""
    products = _products()
    start = 0
    for part in heads.iter_slices(AT_ONCE):
        count = int(part["lines"].sum())
        items = _items(lines.slice(start, count), products)
        start += count
        yield from _baskets(part, items, coupons)


def _products() -> dict[int, Product]:
    columns = table("products").select("product_id", "product_category", "product_type")
    return {number: (category, name) for number, category, name in columns.iter_rows()}


def _items(lines: pl.DataFrame, products: Mapping[int, Product]) -> list[Item]:
    unknown: Product = (None, None)
    columns = (lines[name].to_list() for name in ("product", "quantity", "cents"))
    items = []
    for product, quantity, cents in zip(*columns, strict=True):
        category, name = products.get(product, unknown)
        if quantity and cents % quantity == 0:
            price = money(cents // quantity)
            items.append(Item(category=category, name=name, quantity=quantity, sku=str(product), unit_price=price))
        else:
            total = money(cents)
            items.append(Item(category=category, name=name, quantity=quantity, sku=str(product), total=total))
    return items


def _baskets(heads: pl.DataFrame, items: list[Item], coupons: Mapping[int, str]) -> Iterator[Draft]:
    start = 0
    rows = heads.select("basket", "at", "household", "store", "lines", "cents", "saved").iter_rows()
    for basket, at, household, store, count, cents, saved in rows:
        number = str(basket)
        data = Basket(
            channel="store",
            coupon=coupons.get(basket),
            currency=CURRENCY,
            customer=customer(household),
            discount=money(saved) if saved else None,
            items=items[start : start + count],
            order_id=number,
            store_id=str(store),
            total=money(cents),
        )
        start += count
        yield Draft(at, household, "purchase.completed", REAL, number, _encoder.encode(data))
