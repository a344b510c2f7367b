"""docker-compose.yml and the Dockerfile, read as Docker reads them, and run as processes of this machine.

What cannot be the same here is exchanged and nothing else: the names of hosts, the folder `/data`, the port 8000 of
every container, and the address `0.0.0.0`. Commands, environments, dependencies and health checks are the files' own.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.postgres.server import free_port
from tests.architecture.source import ROOT

FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::-([^}]*))?\}")
UNITS = {"s": 1, "m": 60, "h": 3600}


def composition(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables put in. A variable without a default that is not given is a KeyError."""
    found: dict[str, Any] = _filled(yaml.safe_load(FILE.read_text()), variables)
    return found


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """The same tree with variables put into its texts; Docker does it after reading the YAML as well."""

    def text(found: re.Match[str]) -> str:
        name, default = found.groups()
        if name is None:
            return "$"
        return variables[name] if default is None else variables.get(name) or default

    if isinstance(value, dict):
        return {name: _filled(one, variables) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, variables) for one in value]
    return VARIABLE.sub(text, value) if isinstance(value, str) else value


def seconds(duration: str) -> float:
    """A duration such as `30s`."""
    return int(duration[:-1]) * UNITS[duration[-1]]


def dependencies(service: Mapping[str, Any]) -> dict[str, str]:
    """Which services must have come how far before this one starts."""
    found = service.get("depends_on", {})
    if isinstance(found, list):
        return dict.fromkeys(found, "service_started")
    return {name: more["condition"] for name, more in found.items()}


@dataclass(frozen=True)
class Image:
    """What the last stage of the Dockerfile says."""

    entrypoint: list[str]
    command: list[str]
    health: list[str]
    environment: dict[str, str]
    user: str
    folder: str
    port: int
    sources: list[str]
    """What is copied from the repository, in all stages."""


def image() -> Image:
    """Read the Dockerfile."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    lines = [line.partition(" ")[::2] for line in text.splitlines() if line and not line.startswith("#")]
    last = max(i for i, (word, _) in enumerate(lines) if word == "FROM")
    said = dict(lines[last:])
    copied = [rest.split()[:-1] for word, rest in lines if word == "COPY" and not rest.startswith("--from")]
    return Image(
        entrypoint=json.loads(said["ENTRYPOINT"]),
        command=json.loads(said["CMD"]),
        health=json.loads(said["HEALTHCHECK"].partition("CMD ")[2]),
        environment=dict(one.split("=", 1) for one in shlex.split(said["ENV"])),
        user=said["USER"],
        folder=said["VOLUME"],
        port=int(said["EXPOSE"]),
        sources=[source for group in copied for source in group],
    )


@dataclass
class Container:
    """One service of ours as a process. `exchanged` are texts of the file and what stands for them here."""

    name: str
    image: Image
    service: Mapping[str, Any]
    folder: Path
    exchanged: Mapping[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> Path:
        """All that it wrote."""
        return self.folder.parent / f"{self.name}.out"

    def start(self) -> None:
        """The entry point with the command, in the image's folder and with both environments."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [*self.image.entrypoint, *self.service.get("command", self.image.command)]
        if "0.0.0.0" in command:
            command += ["--port", str(self.port)]
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                self._here(command),
                env=self._environment(),
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def healthy(self, check: Sequence[str], timeout: float) -> bool:
        """Run a health check once."""
        assert self.process is not None
        assert self.process.poll() is None, self.output.read_text()[-3000:]
        done = subprocess.run(
            self._here(check),
            env=self._environment(),
            cwd=self.folder,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return done.returncode == 0

    def await_health(self, check: Mapping[str, Any]) -> None:
        """Until the health check of the file succeeds, not longer than it allows."""
        word, *command = check["test"]
        assert word == "CMD"
        patience = seconds(check["start_period"]) + check["retries"] * seconds(check["interval"])
        deadline = time.monotonic() + patience
        while not self.healthy(command, seconds(check["timeout"])):
            assert time.monotonic() < deadline, f"{self.name} is not healthy after {patience} s"
            time.sleep(0.2)

    def stop(self) -> int:
        """SIGTERM, and as long as the file allows; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds(self.service.get("stop_grace_period", "10s")))

    def end(self) -> None:
        """Whatever runs, ends."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def ask(self, method: str, path: str, key: str, body: Any = None) -> httpx.Response:
        """Any request."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=30)

    def _environment(self) -> dict[str, str]:
        said = {**self.image.environment, **self.service.get("environment", {})}
        here = {name: self._put(str(value)) for name, value in said.items() if name != "PATH"}
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **here}

    def _here(self, command: Sequence[str]) -> list[str]:
        programs = {"cartera": [sys.executable, "-m", "services"], "python": [sys.executable]}
        return [*programs[command[0]], *map(self._put, command[1:])]

    def _put(self, text: str) -> str:
        places = {self.image.folder: str(self.folder), f"127.0.0.1:{self.image.port}": f"127.0.0.1:{self.port}"}
        if text in places:
            return places[text]
        for old, new in {**self.exchanged, "0.0.0.0": "127.0.0.1", **places}.items():
            if old != self.image.folder:
                text = text.replace(old, new)
        return text
