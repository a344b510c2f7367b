"""What the command line asks of a running platform over REST."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from shared.config import Settings
from shared.errors import CarteraError, WrongSetting


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

    def delete(self, path: str) -> dict[str, Any]:
        """The JSON answer of a DELETE."""
        return self._ask("DELETE", path)

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
