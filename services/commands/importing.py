"""`cartera import`: what is asked, what is shown, and the steps of an import in their order."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from services import composition
from services.importing import appending
from services.importing.job import Job, Report, prepare, stage
from services.importing.map_file import Wanted, wanted
from services.importing.row import KINDS
from services.importing.staging import Staging
from shared.config import Settings, read_settings
from shared.errors import CarteraError, Unavailable, WrongSetting

PATIENCE = 120.0
"""Seconds for which a log that does not answer is asked again."""


def import_(  # noqa: PLR0913, PLR0917 - its arguments are the options of the command
    files: Annotated[list[Path], typer.Argument(help="CSV, JSON Lines or Parquet; .gz too.", show_default=False)],
    kind: Annotated[str, typer.Option("--as", help=f"What the rows are: {' '.join(KINDS)}.")],
    map_file: Annotated[
        Path | None, typer.Option("--map", help="YAML that says which column is which field (docs/import.md).")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Source of the events; else import/FILENAME.")] = None,
    send: Annotated[bool, typer.Option("--send", help="Let campaigns answer; history is mute without it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check everything, append nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask about guessed columns.")] = False,
    end: Annotated[
        bool, typer.Option("--end", help="Close an interrupted import that will not be gone on with.")
    ] = False,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the files (CARTERA_DATA_DIR).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Bring files of history in, whether the platform runs or not; a second time changes nothing."""
    if kind not in KINDS:
        raise WrongSetting(f"--as: {kind!r} is none of {' '.join(KINDS)}")
    settings = read_settings(data_dir=data)
    out = Console(stderr=as_json)
    job = prepare(files, kind, _read_map(map_file, kind), source, composition.company_currency(settings))
    if end:
        _print({"import": job.name, "ended": asyncio.run(_end(settings, job))}, out, as_json)
        return
    _show_plan(job, out)
    if job.plan.guessed() and not yes and out.is_terminal and sys.stdin.isatty():
        typer.confirm("Import like this?", default=True, abort=True, err=as_json)
    summary = _run(settings, job, out, send=send, dry_run=dry_run)
    _print({**summary, "dry_run": dry_run, "send": send, "mapping": _mapping(job)}, out, as_json)
    if summary["rows"] and not summary["events"]:
        raise typer.Exit(1)


def _read_map(file: Path | None, kind: str) -> Wanted:
    if file is None:
        return wanted(None, kind, "")
    try:
        return wanted(yaml.safe_load(file.read_text("utf-8")), kind, str(file))
    except OSError as error:
        raise WrongSetting(f"{file}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise WrongSetting(f"{file} is not YAML: {' '.join(str(error).split())}") from None


def _run(settings: Settings, job: Job, out: Console, *, send: bool, dry_run: bool) -> dict[str, Any]:
    folder = composition.data_folder(settings) / "imports"
    started, kept = time.monotonic(), folder / f"{job.name}.json"
    if kept.exists() and asyncio.run(_progress(settings, job)).finished:
        return {**json.loads(kept.read_text()), "appended": 0, "seconds": 0.0}
    staging, over = Staging(folder, job.name), False
    try:
        with _bar(out) as report:
            summary = stage(job, staging, composition.admission(settings), composition.now(), report)
            asked_at = datetime.fromisoformat(summary["begun_at"]) if send else None
            appended = 0 if dry_run else asyncio.run(_append(settings, job, staging, report, asked_at))
        over = not dry_run
        if over:
            kept.write_text(json.dumps(summary))
    except KeyboardInterrupt:
        raise CarteraError("stopped; the same command goes on where it was, with --end it is left at that") from None
    finally:
        staging.close(remove=over)
    return {**summary, "appended": appended, "seconds": round(time.monotonic() - started, 1)}


async def _append(settings: Settings, job: Job, staging: Staging, report: Report, send: datetime | None) -> int:
    """Append with patience: the log may be busy with the platform, or away for a moment."""
    log = composition.open_the_log(settings)
    count, deadline = 0, time.monotonic() + PATIENCE
    try:
        while True:
            try:
                return count + await appending.append(log, job.name, staging, report, send=send)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)
    finally:
        await log.close()


async def _progress(settings: Settings, job: Job) -> appending.Progress:
    log = composition.open_the_log(settings)
    try:
        return await appending.progress(log, job.name)
    finally:
        await log.close()


async def _end(settings: Settings, job: Job) -> bool:
    log = composition.open_the_log(settings)
    try:
        return await appending.end(log, job.name)
    finally:
        await log.close()


@contextmanager
def _bar(out: Console) -> Iterator[Report]:
    """A bar with the time left on a terminal; elsewhere a line every five seconds."""
    if not out.is_terminal:
        yield _lines(out)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
    )
    with Progress(*columns, TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=out) as bar:
        tasks: dict[str, Any] = {}
        begun: dict[str, float] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step], begun[step] = bar.add_task(step, total=total, rate=""), time.monotonic()
            rate = done / max(time.monotonic() - begun[step], 0.001)
            shown = f"{rate / 1e6:,.1f} MB/s" if step == "reading" else f"{rate:,.0f} rows/s"
            bar.update(tasks[step], completed=done, total=total, rate=shown)

        yield report


def _lines(out: Console) -> Callable[[str, int, int], None]:
    spoken = [time.monotonic()]

    def report(step: str, done: int, total: int) -> None:
        if time.monotonic() - spoken[0] > 5:
            spoken[0] = time.monotonic()
            out.print(f"{step}: {100 * done / max(total, 1):.0f} % of {total:,}", highlight=False)

    return report


def _mapping(job: Job) -> list[dict[str, Any]]:
    return [{"columns": list(one.columns), "field": one.target, "how": one.how} for one in job.plan.columns]


def _show_plan(job: Job, out: Console) -> None:
    for file in job.files:
        out.print(f"{file.path}: {file.shown()}", highlight=False, soft_wrap=True, markup=False)
    notes = {"exact": "", "map": "  (map)", "guess": "  (guessed)", "kept": "  (kept as it is)"}
    for one in job.plan.columns:
        line = f"  {' + '.join(one.columns):<28} -> {one.target}{notes[one.how]}"
        out.print(line, highlight=False, soft_wrap=True, markup=False)
    calendar = job.plan.calendar
    order = calendar.format or (calendar.order or "ISO dates").replace("_", " ")
    mark = {".": "decimal point", ",": "decimal comma", None: "plain numbers"}[job.plan.decimal]
    out.print(f"  times without a zone are {calendar.zone}; {order}; {mark}", highlight=False, markup=False)


def _print(result: dict[str, Any], out: Console, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, indent=2))
        return
    if "ended" in result:
        out.print("ended" if result["ended"] else "this import is not open", highlight=False)
        return
    done = "checked" if result["dry_run"] else "already imported" if not result["appended"] else "imported"
    span = f", {result['first_at']} to {result['last_at']}" if result["events"] else ""
    text = f"{done}: {result['rows']:,} rows, {result['events']:,} events{span}, {result['rejected']:,} rejected"
    out.print(f"{text} ({result['seconds']} s)", highlight=False, markup=False)
    for reason in result["reasons"]:
        first = reason["errors"][0] if reason["errors"] else {"pointer": "", "detail": ""}
        place = f"  {reason['file']}:{reason['line']}  {reason['code']}  {first['pointer']} {first['detail']}"
        out.print(place, highlight=False, soft_wrap=True, markup=False)
    if result["rejected"] > len(result["reasons"]):
        out.print("  … the others: `cartera dead-letters list`", highlight=False)
