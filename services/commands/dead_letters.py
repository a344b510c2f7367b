"""`cartera dead-letters`: look at rejected events, count, repair and replay them on a running platform."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.remote import Client, Refused
from shared.config import read_settings
from shared.errors import WrongSetting

app = typer.Typer(no_args_is_help=True, help="Rejected events: list, count, show, repair, replay.")

PAGE = 500
"""Letters asked for at once."""

Data = Annotated[Path | None, typer.Option("--data", help="Folder of the files (CARTERA_DATA_DIR, default ./data).")]
Url = Annotated[str | None, typer.Option("--url", help="Address of the platform; else the one on the data folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_FILTERS: Mapping[str, Any] = {
    "state": typer.Option(None, "--state", help="open, repaired or replayed."),
    "code": typer.Option(None, "--code", help="The reason, such as invalid_event or unknown_type."),
    "source": typer.Option(None, "--source", help="The source of the events."),
    "type": typer.Option(None, "--type", help="The type of the events."),
    "from": typer.Option(None, "--from", help="Arrived then or later (RFC 3339)."),
    "to": typer.Option(None, "--to", help="Arrived before then (RFC 3339)."),
}
"""The options of every command that chooses letters, by the names that the REST interface gives them."""

Chosen = Mapping[str, str]


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the filters; it gets those that were used as `chosen`."""

    def chosen(**options: Any) -> None:
        used = {name: options.pop(_option(name)) for name in _FILTERS}
        command(chosen={name: value for name, value in used.items() if value is not None}, **options)

    own = [one for one in signature(command, eval_str=True).parameters.values() if one.name != "chosen"]
    more = [
        Parameter(_option(name), Parameter.KEYWORD_ONLY, default=option, annotation=str | None)
        for name, option in _FILTERS.items()
    ]
    parameters = [*(one.replace(kind=Parameter.KEYWORD_ONLY) for one in own), *more]
    chosen.__doc__ = command.__doc__
    vars(chosen)["__signature__"] = Signature(parameters)
    chosen.__annotations__ = {one.name: one.annotation for one in parameters}
    return chosen


def _option(name: str) -> str:
    return f"only_{name}"


@app.command("list")
@_choosing
def list_letters(
    chosen: Chosen,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1000,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """The rejected events, newest first."""
    found = list(_pages(_client(data, url), "/v1/dead-letters", "dead_letters", chosen, limit))
    if as_json:
        _print_json(found)
        return
    columns = ("id", "received_at", "state", "code", "source", "first fault")
    _show(columns, [(*(str(row[name]) for name in columns[:5]), _first_fault(row)) for row in found])
    typer.echo(f"{len(found)} dead letters")


@app.command("counts")
@_choosing
def count_letters(
    chosen: Chosen,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """How many there are, by reason and source."""
    rows = list(_pages(_client(data, url), "/v1/dead-letters/counts", "counts", chosen, None))
    if as_json:
        _print_json(rows)
        return
    columns = ("code", "source", "count", "open", "repaired", "replayed", "latest_at")
    _show(columns, [tuple(str(row[name]) for name in columns) for row in rows])
    typer.echo(f"{sum(row['count'] for row in rows)} dead letters")


@app.command("show")
def show_letter(letter_id: str, data: Data = None, url: Url = None, as_json: Json = False) -> None:
    """One rejected event with its reasons and its original."""
    letter = _client(data, url).get(f"/v1/dead-letters/{letter_id}")
    if as_json:
        _print_json(letter)
        return
    for name in (
        "id",
        "received_at",
        "state",
        "code",
        "source",
        "type",
        "topic",
        "partition",
        "offset",
        "file",
        "line",
    ):
        if letter.get(name) is not None:
            typer.echo(f"{name:<12} {letter[name]}")
    for fault in letter["errors"]:
        typer.echo(f"fault        {fault.get('pointer') or '/'}  {fault['detail']}")
    for name in ("original", "repaired"):
        if name in letter:
            typer.echo(f"{name}\n{_text(letter[name])}")


@app.command("repair")
def repair_letter(
    letter_id: str,
    file: Annotated[typer.FileText, typer.Argument(help="The corrected CloudEvent; - reads it from the input.")],
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Put a corrected CloudEvent beside the original; one that is still wrong changes nothing."""
    try:
        corrected = json.load(file)
    except ValueError as error:
        raise WrongSetting(f"{file.name} is not JSON: {error}") from error
    letter = _client(data, url).put(f"/v1/dead-letters/{letter_id}", corrected)
    if as_json:
        _print_json(letter)
    else:
        typer.echo(f"{letter_id} repaired; `cartera dead-letters replay {letter_id}` sends it on its way")


@app.command("replay")
@_choosing
def replay_letters(
    chosen: Chosen,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are not replayed yet.")] = False,
    data: Data = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send events in again, repaired or because they are accepted now; a second time changes nothing."""
    if bool(ids) + bool(chosen) + everything != 1:
        raise WrongSetting("name ids, or filters such as --code, or --all")
    client = _client(data, url)
    results = [_replayed(client, letter) for letter in ids] if ids else list(_replay_pages(client, chosen))
    refused = [row for row in results if row["status"] == "refused"]
    if as_json:
        _print_json(results)
    else:
        columns = ("id", "code", "first fault")
        _show(columns, [(row["id"], row["code"], _first_fault(row)) for row in refused])
        typer.echo(f"{len(results) - len(refused)} replayed, {len(refused)} still refused")
    if refused:
        raise typer.Exit(1)


def _replayed(client: Client, letter_id: str) -> dict[str, Any]:
    try:
        client.post(f"/v1/dead-letters/{letter_id}/replay")
    except Refused as refused:
        problem = refused.problem
        return {"id": letter_id, "status": "refused", "code": problem["code"], "errors": problem.get("errors", [])}
    return {"id": letter_id, "status": "replayed"}


def _replay_pages(client: Client, chosen: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        query = {**chosen, "limit": str(PAGE), "cursor": cursor}
        answer = client.post("/v1/dead-letters/replay", query=query)
        yield from answer["results"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return


def _pages(
    client: Client, path: str, member: str, chosen: Mapping[str, str], limit: int | None
) -> Iterator[dict[str, Any]]:
    """The items of a list, page by page, at most `limit`."""
    cursor: str | None = None
    while limit is None or limit > 0:
        size = PAGE if limit is None else min(limit, PAGE)
        answer = client.get(path, {**chosen, "limit": str(size), "cursor": cursor})
        yield from answer[member]
        cursor = answer["next_cursor"]
        limit = None if limit is None else limit - len(answer[member])
        if cursor is None:
            return


def _client(data: Path | None, url: str | None) -> Client:
    return Client(read_settings(data_dir=data), url)


def _first_fault(row: Mapping[str, Any]) -> str:
    first = row["errors"][0] if row["errors"] else {}
    return f"{first.get('pointer', '')} {first.get('detail', '')}".strip()


def _show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, elsewhere lines with tabs."""
    if not rows:
        return
    out = Console()
    if not out.is_terminal:
        for row in rows:
            typer.echo("\t".join(row))
        return
    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
