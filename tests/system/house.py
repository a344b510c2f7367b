"""The whole platform as a process of its own, driven from outside over HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")


def cartera(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command on a data folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CARTERA_")}
    return subprocess.run(
        [sys.executable, "-m", "services", *arguments],
        env={**inherited, "CARTERA_DATA_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


class House:
    """Starts, stops and kills one platform on one data folder."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        sample: bool = False,
        services: Sequence[str] = (),
        program: str = "services",
    ) -> None:
        self.folder = folder
        self.environment = dict(environment or {})
        self.sample = sample
        self.services = services
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.output = folder.parent / f"{'-'.join([folder.name, *services])}.out"

    def start(self, patience: float = 30) -> "House":
        """Start and wait until it serves."""
        arguments = ["up", "--sample" if self.sample else "--no-sample"]
        if self.services:
            arguments = ["serve", *self.services]
        arguments += ["--port", "0", "--data", str(self.folder)]
        known = len(self._addresses())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CARTERA_")}
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.program, *arguments],
                env={**inherited, **self.environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if len(self._addresses()) > known and httpx.get(self.url + "/health/live").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the platform did not start:\n{self.printed()[-3000:]}")

    @property
    def url(self) -> str:
        """The served address."""
        return self._addresses()[-1]

    def _addresses(self) -> list[str]:
        return re.findall(r"^ready (http://\S+)$", self.printed(), re.MULTILINE) if self.output.exists() else []

    def key(self, scope: str) -> str:
        """The write or the admin key."""
        if fixed := self.environment.get(f"CARTERA_{scope.upper()}_KEY"):
            return fixed
        found: str = json.loads((self.folder / "keys.json").read_text())[scope]
        return found

    def printed(self) -> str:
        """All that it wrote so far."""
        return self.output.read_text(errors="replace")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process = None
        return code

    def kill(self) -> None:
        """kill -9, the replaying child included."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def end(self) -> None:
        """Whatever runs, ends."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer of a GET with the admin key; fails on anything but 200."""
        answer = httpx.get(self.url + path, params=query, headers=self.bearer("admin"), timeout=30)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def post(self, events: Any, key: str = "write", **more: Any) -> httpx.Response:
        """Post one event or several."""
        return httpx.post(self.url + "/v1/events", json=events, headers=self.bearer(key), timeout=30, **more)

    def ask(self, method: str, path: str, body: Any = None, key: str = "admin") -> httpx.Response:
        """Any request."""
        return httpx.request(method, self.url + path, json=body, headers=self.bearer(key), timeout=30)

    def send_raw(self, path: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Post bytes as they are with the write key."""
        return httpx.post(self.url + path, content=body, headers={**self.bearer("write"), **headers}, timeout=30)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command with the settings of the platform."""
        return cartera(*arguments, folder=self.folder, **self.environment)

    def bearer(self, key: str) -> dict[str, str]:
        """The header of a key."""
        return {"Authorization": f"Bearer {self.key(key)}"}


def eventually(look: Callable[[], T], patience: float = 15) -> T:
    """Look again until it gives something true or no assertion fails; else the last failure."""
    deadline = time.monotonic() + patience
    while True:
        try:
            found = look()
            if found:
                return found
            failure: Exception = AssertionError(f"still {found!r}")
        except (AssertionError, KeyError, IndexError, ValueError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure
        time.sleep(0.05)
