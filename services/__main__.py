"""The command line."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from services import composition, privacy, remote, replay, topics
from services import migrate as migrations
from services.commands import applying, dead_letters
from services.commands.importing import import_
from services.commands.rebuilding import rebuild
from services.commands.rereading import reread
from services.describing import asyncapi as describing
from services.ingest.schemas import VERSIONS, schema_of
from services.starting import Start, start
from shared import telemetry
from shared.config import Settings, read_settings
from shared.errors import CarteraError, WrongSetting

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Cartera: one live record per customer, exact classes, every change published once with its reason.",
    epilog="`cartera settings` lists the environment variables. Exit codes: 0 done, 1 failed, 2 wrong use.",
)
keys_app = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke.")
app.add_typer(keys_app, name="keys")
app.add_typer(dead_letters.app, name="dead-letters")
app.command("import")(import_)
app.command("rebuild")(rebuild)
app.command("reread")(reread)

Data = Annotated[Path | None, typer.Option("--data", help="Folder of the files (CARTERA_DATA_DIR, default ./data).")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.", min=0, max=65535)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Email = Annotated[str | None, typer.Option(help="The customer with this e-mail address.")]
CustomerId = Annotated[str | None, typer.Option(help="The customer with this customer_id.")]
ProfileId = Annotated[str | None, typer.Option(help="The customer with this profile id.")]
out = Console()


@app.command()
def up(
    data: Data = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    sample: Annotated[bool, typer.Option(help="On the first start, replay the bundled sample.")] = True,
) -> None:
    """Run the whole platform in this process until Ctrl-C; a later start resumes."""
    settings = _settings(data)
    _run(Start(settings=settings, names=tuple(composition.SERVICES), host=host, port=port, sample=sample))


@app.command()
def serve(services: list[str], data: Data = None, host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Run one or more services: ingest profile segment campaign."""
    settings = _settings(data)
    _run(Start(settings=settings, names=tuple(services), host=host, port=port, sample=False))


def _run(what: Start) -> None:
    telemetry.configure(sys.stderr)
    asyncio.run(start(what, out))


@app.command(hidden=True)
def replay_sample(data: Data = None) -> None:
    """Append what is missing of the sample to the log (`up` starts this as a process of its own)."""
    configured = _settings(data)
    asyncio.run(replay.run(composition.open_the_log(configured), composition.data_folder(configured)))


@app.command(hidden=True)
def drain_sample(service: str, data: Data = None) -> None:
    """Run one stage until the sample is applied or the parent is gone (`up` starts this as a process)."""
    telemetry.configure(sys.stderr)
    parent = os.getppid()
    platform, _ = composition.compose(_settings(data), (service,), "")

    async def done() -> bool:
        return os.getppid() != parent or await replay.is_applied(platform.log, replay.upto(service))

    async def drain() -> None:
        await platform.drain(service, done)

    asyncio.run(drain())


@app.command()
def settings(as_json: Json = False) -> None:
    """List all settings, their environment variables and defaults."""
    rows = [
        {"variable": f"CARTERA_{name.upper()}", "default": str(field.default), "meaning": field.description or ""}
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        out.print(f"[bold]{row['variable']}[/]  (default: {row['default']})\n    {row['meaning']}", highlight=False)


@app.command()
def apply(
    paths: list[Path],
    dry_run: Annotated[bool, typer.Option(help="Only tell who would move and what would be sent.")] = False,
    data: Data = None,
    url: Annotated[
        str | None, typer.Option(help="Address of the platform; else the one running on the data folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put segmentations, campaigns, templates and settings from YAML in force."""
    results = applying.apply(remote.Client(_settings(data), url), paths, dry_run)
    if as_json:
        _print_json(results)
    else:
        applying.show(out, results)
    if any(row["status"] == "refused" for row in results):
        raise typer.Exit(1)


@app.command()
def export(email: Email = None, customer_id: CustomerId = None, profile: ProfileId = None, data: Data = None) -> None:
    """Print all that is kept of a customer, as JSON: record, evidence, events, classes, messages."""
    client = remote.Client(_settings(data))
    _print_json(privacy.export(client, privacy.profile_of(client, email, customer_id, profile)))


@app.command()
def erase(
    email: Email = None,
    customer_id: CustomerId = None,
    profile: ProfileId = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Erase a customer from every store, topic and log; the receipt tells what each removed. There is no way back."""
    client = remote.Client(_settings(data))
    receipt = privacy.erase(client, privacy.profile_of(client, email, customer_id, profile))
    if as_json:
        _print_json(receipt)
    else:
        privacy.show(out, receipt)
    if receipt["state"] != "complete":
        raise typer.Exit(1)


@keys_app.command("create")
def create_key(
    scope: Annotated[str, typer.Option(help="write, read, privacy or admin.")], data: Data = None, as_json: Json = False
) -> None:
    """Make a key; its text is shown once and cannot be had again."""
    if scope not in ("write", "read", "privacy", "admin"):
        raise WrongSetting(f"--scope: {scope!r} is none of write, read, privacy, admin")
    keys, _ = composition.open_keys(_settings(data))
    made = keys.create(scope)
    if as_json:
        _print_json({"key": made.text, "scope": scope})
    else:
        out.print(made.text, highlight=False, soft_wrap=True)


@keys_app.command("list")
def list_keys(data: Data = None, as_json: Json = False) -> None:
    """The keys, without their texts."""
    keys, _ = composition.open_keys(_settings(data))
    rows = [{name: str(value) for name, value in key._asdict().items()} for key in keys.list()]
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        out.print("  ".join(row.values()), highlight=False)


@keys_app.command("revoke")
def revoke_key(key_id: str, data: Data = None) -> None:
    """Take a key away, within five seconds everywhere."""
    keys, _ = composition.open_keys(_settings(data))
    if not keys.revoke(key_id):
        raise WrongSetting(f"no key has the id {key_id!r}; `cartera keys list` shows them")
    out.print("revoked", highlight=False)


@app.command("topics")
def settle_topics(
    check: Annotated[bool, typer.Option("--check", help="Create nothing, only compare.")] = False,
    file: Annotated[
        Path | None, typer.Option(help="The plan; else /etc/cartera/topics.yaml or deploy/topics.yaml.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create the Kafka topics that are missing and compare all with the plan; 1 when something differs."""
    planned = topics.plans(file)
    telemetry.configure(sys.stderr)
    log = composition.open_kafka(_settings(None))
    rows = asyncio.run(topics.settle(log, planned, composition.read_together(), create=not check))
    if as_json:
        _print_json(topics.as_json(rows))
    else:
        topics.show(out, rows)
    if any(row.state in ("missing", "differs") for row in rows):
        raise typer.Exit(1)


@app.command()
def migrate(
    check: Annotated[bool, typer.Option("--check", help="Only tell what is missing; then exit code 1.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Only print the statements, to be run by someone else.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Bring the tables of all databases up to date. Every start does it too; this does it before, or looks."""
    engine_of = composition.engine_of(_settings(data))
    if sql:
        typer.echo(migrations.as_sql(engine_of), nl=False)
        return
    lines = migrations.missing(engine_of) if check else migrations.apply(engine_of)
    if as_json:
        _print_json({"missing" if check else "applied": lines})
    else:
        out.print("\n".join(lines) or "everything is up to date", highlight=False, soft_wrap=True)
    if check and lines:
        raise typer.Exit(1)


@app.command()
def openapi(data: Data = None) -> None:
    """Print the OpenAPI document of all services."""
    platform, _ = composition.compose(_settings(data), tuple(composition.SERVICES), "http://127.0.0.1:8000")
    _print_json(platform.application().openapi())


@app.command()
def schemas(
    folder: Annotated[Path | None, typer.Argument(help="Write each as TYPE/VERSION.json into this folder.")] = None,
) -> None:
    """Print the JSON Schemas of all event types, or write those that are missing into a folder."""
    if folder is None:
        _print_json({kind: schema_of(kind) for kind in VERSIONS})
        return
    for kind, version in VERSIONS.items():
        file = folder / kind / f"{version}.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n", "utf-8")


@app.command()
def asyncapi(data: Data = None, as_json: Json = False) -> None:
    """Print the AsyncAPI document of all topics that others write to or read, as YAML."""
    document = describing.document(composition.version(), _settings(data).topic_prefix)
    if as_json:
        _print_json(document)
    else:
        typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), nl=False)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"cartera {composition.version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before a command."""


def _settings(data: Path | None) -> Settings:
    return read_settings(data_dir=data)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def main() -> None:
    """The console script: every expected error is one line, without a traceback."""
    try:
        app()
    except WrongSetting as error:
        typer.echo(f"cartera: {error}", err=True)
        sys.exit(2)
    except CarteraError as error:
        typer.echo(f"cartera: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
