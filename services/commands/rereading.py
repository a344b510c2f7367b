"""`cartera reread`: go on with topics that are not those that were read, after one was deleted or cut off."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from services import composition, migrate
from shared.config import Settings, read_settings
from shared.errors import WrongSetting
from shared.runtime.rereading import Refusal, read_again, refusals

Refused = Mapping[str, Sequence[Refusal]]


def reread(
    check: Annotated[bool, typer.Option("--check", help="Only tell what is refused; then exit code 1.")] = False,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the files (CARTERA_DATA_DIR).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read partitions that are refused, because a topic was made anew, from their beginning; nothing counts twice."""
    refused = asyncio.run(_reread(read_settings(data_dir=data), change=not check))
    if as_json:
        rows = [
            {"service": name, "topic": one.partition.topic, "partition": one.partition.partition, "reason": one.reason}
            for name, found in refused.items()
            for one in found
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        lines = [f"{name}: {one.reason}" for name, found in refused.items() for one in found]
        typer.echo("\n".join(lines) or "nothing is refused")
        if lines and not check:
            typer.echo(f"{len(lines)} partitions are read from their beginning: start the services named here again")
    if check and any(refused.values()):
        raise typer.Exit(1)


async def _reread(settings: Settings, change: bool) -> Refused:
    """What each service refuses; with `change` it is put back to its beginning."""
    engine_of = composition.engine_of(settings)
    if migrate.missing(engine_of):
        raise WrongSetting("the tables are not up to date: `cartera migrate` first")
    log = composition.open_the_log(settings)
    found: dict[str, Sequence[Refusal]] = {}
    try:
        for name, topics in composition.read_together().items():
            found[name] = await refusals(log, engine_of(name), topics)
            if change:
                read_again(engine_of(name), found[name])
    finally:
        await log.close()
    return found
