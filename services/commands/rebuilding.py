"""`cartera rebuild`: the state of a service made from the log, compared with what it has, and put in its place."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from sqlalchemy import Connection, Engine, func, select

from services import composition
from services.rebuilding.comparing import Difference, differences, lower_versions
from services.rebuilding.folding import Folding, applied
from services.rebuilding.swapping import alone, swap
from services.rebuilding.telling import COMPARED, READERS, TOPICS, Told
from shared.config import Settings, read_settings
from shared.database import open_sqlite, outbox
from shared.errors import CarteraError, WrongSetting
from shared.log import Log

SHOWN = 20
"""So many differences are shown; all are counted."""

SERVICES = ("profile", *TOPICS)


class OutboxLeft(CarteraError):
    """The service has decided what it has not published yet."""


def rebuild(
    service: Annotated[str, typer.Argument(help=f"One of {' '.join(SERVICES)}.")],
    check: Annotated[bool, typer.Option("--check", help="Only compare and report; 1 when something differs.")] = False,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the files (CARTERA_DATA_DIR).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recompute state from the log with evolve alone: nothing is published, nothing is sent."""
    settings = read_settings(data_dir=data)
    if service not in SERVICES:
        raise WrongSetting(f"{service!r} is none of {' '.join(SERVICES)}")
    if service != "profile" and not check:
        raise WrongSetting(f"{service}: definitions and timers are not in the log; --check compares with what was told")
    out = Console(stderr=as_json)
    if service == "profile":
        result = asyncio.run(_profile(settings, check, out))
    else:
        result = asyncio.run(_told(settings, service))
    _show(result, out, as_json)
    if check and result["differences"]:
        raise typer.Exit(1)


async def _profile(settings: Settings, check: bool, out: Console) -> dict[str, Any]:
    live_file = composition.data_folder(settings) / "profile.db"
    if not check:
        if settings.database_url is not None:
            raise WrongSetting("on PostgreSQL a rebuild only compares: add --check")
        if not live_file.exists():
            raise WrongSetting(f"{live_file} does not exist: there is nothing to rebuild")
        alone(live_file)
    folder = Path(mkdtemp(prefix="rebuild-", dir=composition.data_folder(settings)))
    live, made = composition.engine_of(settings)("profile"), open_sqlite(folder / "profile.db")
    log = composition.open_the_log(settings)
    try:
        found = await _made_and_compared(settings, log, live, made, out)
        if not check:
            live.dispose()
            made.dispose()
            if found["left"]:
                raise OutboxLeft("what was decided is not published yet: start the platform, stop it, then rebuild")
            if found["lower"]:
                raise CarteraError(f"{found['lower']} records would get lower versions than were published")
            swap(folder / "profile.db", live_file)
        return {**found, "service": "profile", "swapped": not check}
    finally:
        await log.close()
        live.dispose()
        made.dispose()
        shutil.rmtree(folder, ignore_errors=True)


async def _made_and_compared(settings: Settings, log: Log, live: Engine, made: Engine, out: Console) -> dict[str, Any]:
    folding = Folding(composition.SERVICES["profile"]({}), made, log)
    await folding.start()
    while True:
        with live.connect() as connection:
            upto = applied(connection)
            if all(folding.reached().get(place, 0) == offset for place, offset in upto.items()):
                with made.connect() as rebuilt:
                    return _compared(connection, rebuilt, sum(upto.values()))
        await folding.fold(upto, _progress(out))


def _compared(live: Connection, rebuilt: Connection, records: int) -> dict[str, Any]:
    found = _counted(differences(live, rebuilt))
    left = live.execute(select(func.count()).select_from(outbox)).scalar_one()
    return {**found, "records": records, "left": left, "lower": sum(1 for _ in lower_versions(live, rebuilt))}


async def _told(settings: Settings, service: str) -> dict[str, Any]:
    """Everything a service told on its topic against what it keeps."""
    log = composition.open_the_log(settings)
    engine = composition.engine_of(settings)(service)
    topic, torn = TOPICS[service], list[Difference]()
    try:
        with engine.connect() as connection:
            ends = await log.ends(topic)
            consumer = log.consumer(f"{service}-rebuild", (topic,))
            while not set(ends) <= await consumer.assignment():
                await consumer.poll(1, 0.1)
            reached = dict(await log.beginnings(topic))
            told = Told(whole=not any(reached.values()))
            for place, offset in reached.items():
                consumer.seek(place, offset)
            while any(reached[place] < end for place, end in ends.items()):
                for place, records in (await consumer.poll(4000, 1.0)).items():
                    torn += [one for record in records if (one := READERS[service](told, record)) is not None]
                    reached[place] = records[-1].offset + 1
            await consumer.close()
            found = _counted(iter([*torn, *COMPARED[service](told, connection)]))
        return {**found, "service": service, "records": sum(reached.values()), "swapped": False}
    finally:
        await log.close()
        engine.dispose()


def _counted(found: Iterator[Difference]) -> dict[str, Any]:
    first = list(islice(found, SHOWN))
    return {"differences": len(first) + sum(1 for _ in found), "first": [msgspec.to_builtins(one) for one in first]}


def _progress(out: Console) -> Any:
    def report(done: int, total: int) -> None:
        if out.is_terminal:
            out.print(f"\r{done:,} of {total:,} records", end="", highlight=False)

    return report


def _show(result: dict[str, Any], out: Console, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, indent=2, default=str))
        return
    done = "rebuilt and put in place" if result["swapped"] else "compared"
    text = f"{result['service']}: {result['records']:,} records {done}, {result['differences']:,} differences"
    out.print(text, highlight=False)
    for one in result["first"]:
        sides = " -> ".join(json.dumps(one[side], default=str) for side in ("live", "rebuilt"))
        line = f"  {one['part']} {one['name']}: {sides}"
        out.print(line[:400], highlight=False, markup=False, soft_wrap=True)
