"""`cartera apply`: documents of files put in force over REST, or only what they would do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from services.commands.documents import Document, read
from services.remote import Client, Refused

PATHS = {"segmentation": "segmentations", "campaign": "campaigns", "template": "templates"}


def apply(client: Client, paths: Sequence[Path], dry_run: bool) -> list[dict[str, Any]]:
    """One result per document, and in a dry run one per campaign in force that they change."""
    documents = read(paths)
    if not dry_run:
        return [_tried(document, lambda one: _put(client, one)) for document in documents]
    supposed: list[Document] = []
    results = [_tried(document, lambda one: _foreseen(client, one, supposed)) for document in documents]
    return [*results, *_touched(client, supposed)]


def _tried(document: Document, step: Callable[[Document], dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"document": document.place(), "kind": document.kind, "name": document.name}
    try:
        return {**row, **step(document)}
    except Refused as refused:
        prefix = "/settings" if document.kind == "settings" else ""
        errors = [
            {**error, "place": document.place(prefix + error.get("pointer", ""))}
            for error in refused.problem.get("errors", ())
        ] or [{"detail": str(refused), "pointer": "", "place": document.place()}]
        return {**row, "status": "refused", "message": str(refused), "errors": errors}


def _put(client: Client, document: Document) -> dict[str, Any]:
    if document.kind == "settings":
        client.put("/v1/settings", document.body["settings"])
    else:
        client.put(f"/v1/{PATHS[document.kind]}/{document.name}", document.body)
    return {"status": "applied"}


def _foreseen(client: Client, document: Document, supposed: list[Document]) -> dict[str, Any]:
    """What a document would do together with those before it; the good ones are added to these."""
    if document.kind == "segmentation":
        return {"status": "previewed", "preview": client.post("/v1/segmentations/preview", document.body)}
    client.post("/v1/documents/check", document.body)
    supposed.append(document)
    if document.kind == "campaign":
        return {"status": "previewed", "dry_run": _dry_run(client, document.name, supposed)}
    return {"status": "checked"}


def _dry_run(client: Client, name: str, documents: Sequence[Document]) -> dict[str, Any]:
    supposed = {"documents": [document.body for document in documents]}
    return client.post(f"/v1/campaigns/{name}/dry-run?limit=5", supposed)


def _touched(client: Client, documents: Sequence[Document]) -> Iterator[dict[str, Any]]:
    """The campaigns in force whose templates or settings these documents change."""
    given = {document.name for document in documents if document.kind == "campaign"}
    templates = {document.name for document in documents if document.kind == "template"}
    settings = any(document.kind == "settings" for document in documents)
    if not templates and not settings:
        return
    for campaign in client.get("/v1/campaigns")["campaigns"]:
        name = campaign["campaign"]
        if name not in given and (settings or any(step["template"] in templates for step in campaign["steps"])):
            row = {"document": "", "kind": "campaign", "name": name, "status": "in force, as it would be"}
            yield {**row, "dry_run": _dry_run(client, name, documents)}


def show(out: Console, results: Sequence[Mapping[str, Any]]) -> None:
    """The results for people."""
    for row in results:
        out.print(f"{row['kind']} {row['name']}: {row['status']}".replace(" :", ":"), highlight=False, markup=False)
        for error in row.get("errors", ()):
            out.print(f"    {error['place']}: {error['detail']}", highlight=False, markup=False, soft_wrap=True)
        preview, run = row.get("preview"), row.get("dry_run")
        if preview:
            for entry in preview["classes"]:
                out.print(f"    {entry['class']:<12} {entry['count']:>8}  {entry['share']:>7.1%}", highlight=False)
            for move in preview["moves"]:
                out.print(f"    {move['from'] or '-'} -> {move['to'] or '-'}: {move['count']}", highlight=False)
        if run:
            for entry in run["decisions"]:
                reason = entry["reason"] or ""
                out.print(f"    {entry['decision']:<8} {entry['count']:>8}  {reason}", highlight=False, markup=False)
