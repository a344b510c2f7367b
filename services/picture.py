"""The short picture in the terminal: customers, events, classes now and then, the bridge, messages."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, Engine, text

from services.segment.queries import class_after
from shared.events.times import rfc3339, to_ms
from shared.runtime.runner import Platform

BACK = timedelta(days=91)
CUSTOMERS_NOW = ("current", "active")
"""Classes of `status` that count as active in the bridge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """How the number of active customers moved: opening + new + reactivated - lapsed = closing."""

    opening: int
    new: int
    reactivated: int
    lapsed: int
    closing: int


def draw(platform: Platform, address: str, folder: Path) -> RenderableType:
    """The whole picture, from each service's own database."""
    engines = {one.service.name: one.engine for one in platform.hosted}
    now = platform.clock()
    parts: list[RenderableType] = [_heading(engines["profile"], now)]
    parts.append(_events(engines["profile"]))
    parts.append(_classes(engines["segment"], now))
    parts.append(_bridge(engines["segment"], now))
    parts.append(_messages(engines["campaign"]))
    parts.append(_next(address, folder))
    return Group(*parts)


def _heading(engine: Engine, now: datetime) -> RenderableType:
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM profile")).scalar_one()
    return Text(f"\nThe portfolio as of {rfc3339(now.replace(microsecond=0))}: {count:,} customers", style="bold")


def _events(engine: Engine) -> RenderableType:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT type, count(*) FROM event GROUP BY type")).all()
    channels: Counter[str] = Counter()
    for kind, count in rows:
        channels[kind.split(".")[0]] += count
    table = Table(title="Events by channel", title_justify="left", box=None)
    table.add_column("channel")
    table.add_column("events", justify="right")
    for channel, count in channels.most_common():
        table.add_row(channel, f"{count:,}")
    return table


def classes_at(connection: Connection, moment: datetime) -> Mapping[str, Counter[str]]:
    """How many customers were in each class of each segmentation at a moment, from the history."""
    rows = connection.execute(
        text("SELECT profile_id, segmentation, body FROM change WHERE occurred_at <= :at ORDER BY seq"),
        {"at": to_ms(moment)},
    )
    last: dict[tuple[str, str], str | None] = {}
    for profile_id, segmentation, body in rows:
        last[profile_id, segmentation] = class_after(body)
    counted: dict[str, Counter[str]] = {}
    for (_, segmentation), to in last.items():
        if to is not None:
            counted.setdefault(segmentation, Counter())[to] += 1
    return counted


def _classes(engine: Engine, now: datetime) -> RenderableType:
    with engine.connect() as connection:
        today, before = classes_at(connection, now), classes_at(connection, now - BACK)
    table = Table(title="Classes, now and three months earlier", title_justify="left", box=None)
    for name in ("segmentation", "class"):
        table.add_column(name)
    for name in ("now", "then"):
        table.add_column(name, justify="right")
    table.add_column("")
    for segmentation, counts in sorted(today.items()):
        total = sum(counts.values())
        for place, (class_, count) in enumerate(counts.most_common()):
            then = before.get(segmentation, Counter())[class_]
            bar = "█" * round(24 * count / total)
            table.add_row("" if place else segmentation, class_, f"{count:,}", f"{then:,}", bar)
    return table


def bridge(connection: Connection, start: datetime, end: datetime) -> Bridge:
    """The bridge of the active customers between two moments, told by the class changes between them."""
    rows = connection.execute(
        text(
            "SELECT profile_id, occurred_at, body FROM change "
            "WHERE segmentation = 'status' AND occurred_at <= :end ORDER BY seq"
        ),
        {"end": to_ms(end)},
    )
    active: set[str] = set()
    ever: set[str] = set()
    counts = Counter({"opening": 0, "new": 0, "reactivated": 0, "lapsed": 0})
    for profile_id, at, body in rows:
        inside = at > to_ms(start)
        is_active, was = class_after(body) in CUSTOMERS_NOW, profile_id in active
        if is_active and not was:
            active.add(profile_id)
            counts["opening" if not inside else "reactivated" if profile_id in ever else "new"] += 1
            ever.add(profile_id)
        elif was and not is_active:
            active.discard(profile_id)
            counts["lapsed" if inside else "opening"] += 1 if inside else -1
    return Bridge(**counts, closing=len(active))


def _bridge(engine: Engine, now: datetime) -> RenderableType:
    with engine.connect() as connection:
        found = bridge(connection, now - BACK, now)
    return Text(
        f"\nActive customers over three months: {found.opening:,} + {found.new:,} new "
        f"+ {found.reactivated:,} reactivated - {found.lapsed:,} lapsed = {found.closing:,}\n"
    )


def _messages(engine: Engine) -> RenderableType:
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT campaign, coalesce(channel, '-'), state, coalesce(reason, ''), count(*) "
                "FROM message GROUP BY 1, 2, 3, 4"
            )
        ).all()
    table = Table(title="Messages by campaign and channel; refusals by reason", title_justify="left", box=None)
    for name in ("campaign", "channel", "state", "reason"):
        table.add_column(name)
    table.add_column("messages", justify="right")
    shown: Counter[tuple[str, str, str, str]] = Counter()
    for campaign, channel, state, reason, count in rows:
        shown[campaign, channel, state, reason.split(":")[0] if state in ("refused", "held", "failed") else ""] += count
    for (campaign, channel, state, reason), count in sorted(shown.items()):
        table.add_row(campaign, channel, state, reason, f"{count:,}")
    return table


def _next(address: str, folder: Path) -> RenderableType:
    return Text(
        f"\nWhere to look next\n  {address}/docs                      every request, to try out\n"
        f"  {address}/v1/segment-changes        the feed of class changes\n"
        f"  {folder}/outbox                     the messages as .eml files (the sample is never sent by mail)\n"
        f"  {address}/health/ready              health; /metrics for Prometheus\n"
        "The sample is 84.51°'s The Complete Journey, called simulated by its own notice; see docs/sample.md.\n"
    )
