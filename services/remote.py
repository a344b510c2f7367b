"""What the command line asks of a running platform over REST."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console

from shared.config import Settings
from shared.errors import CarteraError, WrongSetting

KINDS = {"segmentation": "segmentations", "campaign": "campaigns", "template": "templates", "settings": "settings"}
"""What a document may be, by its first word, and the path it is put under."""


class Refused(CarteraError):
    """The platform refused a request; the message is its own, `problem` its whole answer."""

    def __init__(self, message: str, problem: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.problem = problem


class Client:
    """Talks to the platform of a data folder (its `endpoint` and `keys.json`) or at a given address."""

    def __init__(self, settings: Settings, url: str | None = None) -> None:
        self._url = (url or _endpoint(settings)).rstrip("/")
        self._key = settings.admin_key.get_secret_value() if settings.admin_key else _admin_key(settings)

    def get(self, path: str, query: Mapping[str, str | None] | None = None) -> dict[str, Any]:
        """The JSON answer of a GET."""
        return self._ask("GET", path, params=_given(query))

    def put(self, path: str, body: Any) -> dict[str, Any]:
        """The JSON answer of a PUT."""
        return self._ask("PUT", path, json=body)

    def post(self, path: str, body: Any = None, query: Mapping[str, str | None] | None = None) -> dict[str, Any]:
        """The JSON answer of a POST."""
        return self._ask("POST", path, json=body if body is not None else {}, params=_given(query))

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = httpx.request(
                method, self._url + path, headers={"Authorization": f"Bearer {self._key}"}, timeout=60, **more
            )
        except httpx.TransportError as error:
            raise WrongSetting(f"nothing answers at {self._url}: start the platform with `cartera up`") from error
        body: dict[str, Any] = answer.json() if answer.content else {}
        if answer.status_code >= 400:
            problem = {"code": "http_error", **body}
            raise Refused(f"{path}: {body.get('message', answer.reason_phrase)}{_places(body)}", problem)
        return body


def _given(query: Mapping[str, str | None] | None) -> dict[str, str]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _places(problem: Mapping[str, Any]) -> str:
    """Where the faults are, for the one line of an error."""
    pointers = [fault["pointer"] for fault in problem.get("errors", []) if fault.get("pointer")]
    return f" ({', '.join(pointers[:5])})" if pointers else ""


def _endpoint(settings: Settings) -> str:
    file = settings.data_dir / "endpoint"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        raise WrongSetting(
            f"no platform has run on {settings.data_dir}: start `cartera up`, or name another folder with --data"
        ) from None


def _admin_key(settings: Settings) -> str:
    try:
        found: str = json.loads((settings.data_dir / "keys.json").read_text())["admin"]
        return found
    except (FileNotFoundError, KeyError, ValueError):
        raise WrongSetting("no admin key: set CARTERA_ADMIN_KEY") from None


def documents(paths: Sequence[Path]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Every YAML or JSON document of the files and folders, with the place it was found."""
    for path in paths:
        files = sorted(path.rglob("*.y*ml")) if path.is_dir() else [path]
        for file in files:
            try:
                found = list(yaml.safe_load_all(file.read_text()))
            except FileNotFoundError:
                raise WrongSetting(f"{file}: there is no such file") from None
            except yaml.YAMLError as error:
                raise WrongSetting(f"{file} is not YAML: {error}") from error
            for number, document in enumerate(found, start=1):
                if document is not None:
                    yield f"{file}#{number}", document


def apply(client: Client, paths: Sequence[Path], dry_run: bool) -> list[dict[str, Any]]:
    """Put every document in force, or only ask what it would do; one result per document."""
    results = []
    for place, document in documents(paths):
        kind = next((word for word in KINDS if isinstance(document, dict) and word in document), None)
        if kind is None:
            raise WrongSetting(f"{place} is none of {', '.join(KINDS)}")
        name = str(document[kind]) if kind != "settings" else ""
        row: dict[str, Any] = {"document": place, "kind": kind, "name": name}
        try:
            row |= _one(client, kind, name, document, dry_run)
        except Refused as refused:
            row |= {"status": "refused", "message": str(refused)}
        results.append(row)
    return results


def _one(client: Client, kind: str, name: str, document: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    if dry_run:
        if kind == "segmentation":
            return {"status": "previewed", "preview": client.post("/v1/segmentations/preview", document)}
        return {"status": "checked by applying only"}
    if kind == "settings":
        client.put("/v1/settings", document["settings"])
    else:
        client.put(f"/v1/{KINDS[kind]}/{name}", document)
    return {"status": "applied"}


def show_applied(out: Console, results: Sequence[Mapping[str, Any]]) -> None:
    """The results for people."""
    for row in results:
        out.print(f"{row['kind']} {row['name']}: {row['status']}  {row.get('message', '')}", highlight=False)
        preview = row.get("preview")
        if preview:
            for entry in preview["classes"]:
                out.print(f"    {entry['class']:<12} {entry['count']:>8}  {entry['share']:>7.1%}", highlight=False)
            for move in preview["moves"]:
                out.print(f"    {move['from'] or '-'} -> {move['to'] or '-'}: {move['count']}", highlight=False)
