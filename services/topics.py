"""The topics as they are planned in `deploy/topics.yaml`, and the command that creates and checks them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import yaml
from rich.console import Console
from rich.table import Table

from shared.errors import WrongSetting
from shared.log.kafka import Actual, KafkaLog, Plan

FILES = (Path("/etc/cartera/topics.yaml"), Path(__file__).resolve().parents[1] / "deploy" / "topics.yaml")
"""Where the plan lies: that of an operator or of the image, else that of the repository."""

SHOWN = ("min.insync.replicas", "cleanup.policy", "retention.ms")
"""The configuration that the table shows."""

Count = Annotated[int, msgspec.Meta(ge=1)]


class _Topic(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    partitions: Count | None = None
    replication: Count | None = None
    min_insync: Count | None = None
    configs: dict[str, str | int | float | bool] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    topics: dict[str, _Topic | None]
    partitions: Count = 6


class Row(NamedTuple):
    """What became of one topic. `problems` are the differences between the plan and what is there."""

    topic: str
    state: Literal["ok", "created", "missing", "differs"]
    partitions: int | None
    replication: int | None
    configs: Mapping[str, str]
    problems: Sequence[str]


def plans(file: Path | None = None) -> Mapping[str, Plan]:
    """The plan of every topic by its short name. Raises WrongSetting that says what is wrong with the file."""
    file = file or _file() or FILES[0]
    try:
        read = msgspec.convert(yaml.safe_load(file.read_text("utf-8")), _File)
    except OSError as error:
        raise WrongSetting(f"{file} cannot be read ({error.strerror}): give another with --file") from error
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise WrongSetting(f"{file}: {error}") from error
    return {name: _plan(read, topic or _Topic()) for name, topic in read.topics.items()}


def plan_of() -> Callable[[str], Plan]:
    """How a missing topic is created; one that the file does not name gets what Kafka gives by itself."""
    known = plans() if _file() else {}
    return lambda name: known.get(name) or Plan()


def _file() -> Path | None:
    return next((file for file in FILES if file.exists()), None)


def _plan(file: _File, topic: _Topic) -> Plan:
    return Plan(
        partitions=topic.partitions or file.partitions,
        replication=topic.replication,
        min_insync=topic.min_insync,
        configs={name: _text(value) for name, value in topic.configs.items()},
    )


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def settle(
    log: KafkaLog, planned: Mapping[str, Plan], together: Mapping[str, Sequence[str]], *, create: bool
) -> list[Row]:
    """Create the topics that are missing, if wanted, and compare all with the plan.

    `together` names the topics that one service reads, which must have one number of partitions. What exists is never
    changed: an operator may have had reasons.
    """
    try:
        names, brokers = list(planned), await log.topics.brokers()
        before = await log.topics.actual(names)
        missing = [name for name in names if name not in before]
        if create and missing:
            await log.topics.counts(missing)
        after = await log.topics.actual(names) if create and missing else before
    finally:
        await log.close()
    uneven = _uneven(after, together)
    return [_row(name, plan, brokers, before, after, uneven) for name, plan in planned.items()]


def _row(
    name: str,
    plan: Plan,
    brokers: int,
    before: Mapping[str, Actual],
    after: Mapping[str, Actual],
    uneven: Mapping[str, str],
) -> Row:
    actual = after.get(name)
    if actual is None:
        return Row(name, "missing", None, None, {}, ["run `cartera topics` without --check"])
    problems = [*_differences(plan, actual, brokers), *([uneven[name]] if name in uneven else [])]
    state: Literal["ok", "created", "differs"] = "differs" if problems else "ok" if name in before else "created"
    return Row(name, state, actual.partitions, actual.replication, actual.configs, problems)


def _differences(plan: Plan, actual: Actual, brokers: int) -> list[str]:
    found = []
    if actual.partitions != plan.partitions:
        found.append(f"has {actual.partitions} partitions instead of {plan.partitions}")
    if actual.replication < plan.replicas(brokers):
        found.append(f"has {actual.replication} replicas instead of {plan.replicas(brokers)}")
    for name, wanted in plan.all_configs(brokers).items():
        there = actual.configs.get(name)
        if there != wanted:
            found.append(f"{name} is {there} instead of {wanted}")
    return found


def _uneven(actual: Mapping[str, Actual], together: Mapping[str, Sequence[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for service, topics in together.items():
        counts = {name: actual[name].partitions for name in topics if name in actual}
        if len(set(counts.values())) > 1:
            shown = ", ".join(f"{name} {count}" for name, count in counts.items())
            found |= dict.fromkeys(counts, f"{service} reads topics of unequal numbers of partitions ({shown})")
    return found


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows for other programs."""
    return [row._asdict() | {"configs": {name: row.configs.get(name) for name in SHOWN}} for row in rows]


def show(out: Console, rows: Sequence[Row]) -> None:
    """The rows for people."""
    table = Table("topic", "state", "partitions", "replicas", "min in sync", "cleanup", "kept for", box=None)
    for row in rows:
        shown = [row.configs.get(name, "-") for name in SHOWN]
        counts = ["-" if count is None else str(count) for count in (row.partitions, row.replication)]
        table.add_row(row.topic, row.state, *counts, *shown[:2], _kept(*shown[1:]))
    out.print(table)
    for row in rows:
        for problem in row.problems:
            out.print(f"{row.topic}: {problem}", highlight=False, soft_wrap=True)


def _kept(cleanup: str, milliseconds: str) -> str:
    if "delete" not in cleanup:
        return "-"
    if milliseconds == "-1":
        return "ever"
    return f"{int(milliseconds) / 86_400_000:g} days"
