"""`docker compose up` without Docker: the commands of docker-compose.yml, in its order, on a broker of its settings."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.postgres.server import NoServer, binaries, free_port
from services.__main__ import serve
from shared.config import Settings
from tests.architecture.source import ROOT
from tests.servers.kafka import from_the_image
from tests.servers.postgres import Schemas
from tests.system.compose import Container, composition, dependencies, image, seconds
from tests.system.house import eventually
from tests.system.test_first_event import purchase

OURS = ("topics", "migrate", "ingest", "profile", "segment", "campaign")
GATEWAY = (ROOT / "deploy/gateway/nginx.conf").read_text()


def services(**variables: str) -> dict[str, Any]:
    found: dict[str, Any] = composition(variables)["services"]
    return found


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {f"CARTERA_{name.upper()}" for name in Settings.model_fields}
    named = set(image().environment)
    for service in services().values():
        named |= set(service.get("environment", {}))
    ours = {name for name in named if name.startswith("CARTERA_")}
    assert len(ours) > 5
    assert ours - known == set()


def test_what_is_named_exists() -> None:
    whole = composition({})
    for name, service in whole["services"].items():
        assert set(dependencies(service)) <= set(whole["services"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in whole["volumes"], volume
    assert all((ROOT / source).exists() for source in image().sources)
    assert (ROOT / whole["services"]["ingest"]["build"]["dockerfile"]).is_file()


def test_the_image_listens_where_the_others_look_for_it() -> None:
    built = image()
    assert signature(serve).parameters["port"].default == built.port
    assert built.user not in ("root", "0")
    addresses = re.findall(r"proxy_pass http://([^;]+);", GATEWAY)
    watched = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    for address in addresses + watched["static_configs"][0]["targets"]:
        name, _, port = address.partition(":")
        assert name == "$service" or name in services(), address
        assert port == str(built.port), address
    for name in OURS[2:]:
        assert services()[name]["command"][-2:] == ["--host", "0.0.0.0"], "else nobody outside the container reaches it"


def test_the_database_and_the_log_are_those_that_are_started() -> None:
    for password in ("", "secret"):
        found = services(POSTGRES_PASSWORD=password)
        url = urlsplit(found["ingest"]["environment"]["CARTERA_DATABASE_URL"])
        said = found["postgres"]["environment"]
        assert (url.hostname, url.path[1:]) == ("postgres", said["POSTGRES_DB"])
        assert (url.username, url.password) == (said["POSTGRES_USER"], said["POSTGRES_PASSWORD"])
    broker = services()["kafka"]["environment"]
    assert (
        f"PLAINTEXT://{urlsplit(services()['ingest']['environment']['CARTERA_LOG_URL']).netloc}"
        == (broker["KAFKA_ADVERTISED_LISTENERS"])
    )


def test_what_the_servers_write_lies_on_a_volume() -> None:
    assert services()["kafka"]["volumes"] == [f"kafka:{services()['kafka']['environment']['KAFKA_LOG_DIRS']}"]
    assert services()["postgres"]["volumes"] == ["postgres:/var/lib/postgresql/data"]
    assert services()["campaign"]["volumes"] == [f"data:{image().folder}"]


class Stack:
    """Our services of the file, each started when those before have come as far as it says."""

    def __init__(self, folder: Path, exchanged: Mapping[str, str], variables: Mapping[str, str]) -> None:
        self.services = services(**variables)
        built = image()
        self.containers = {name: Container(name, built, self.services[name], folder / name, exchanged) for name in OURS}

    def up(self, name: str) -> None:
        """Start one and what it needs."""
        container = self.containers.get(name)
        if container is None or container.process is not None:
            return
        for other, condition in dependencies(self.services[name]).items():
            self.up(other)
            self._await(other, condition)
        container.start()

    def _await(self, name: str, condition: str) -> None:
        container = self.containers.get(name)
        if container is None:
            assert (name, condition) in (("kafka", "service_healthy"), ("postgres", "service_healthy"))
        elif condition == "service_completed_successfully":
            assert container.process is not None
            assert container.process.wait(120) == 0, container.output.read_text()[-3000:]
        else:
            container.await_health(self.services[name]["healthcheck"])


@contextmanager
def started(stack: Stack) -> Iterator[None]:
    try:
        yield
    finally:
        for container in stack.containers.values():
            container.end()


def check_postgres(url: str) -> None:
    """The health check of the database with its own arguments; only the port comes from the environment."""
    check = services()["postgres"]["healthcheck"]["test"]
    try:
        folder = binaries()
    except NoServer:
        return
    if not (folder / check[1]).exists():
        return
    at = {"PGPORT": str(urlsplit(url).port), "PATH": os.environ["PATH"]}
    assert subprocess.run([folder / check[1], *check[2:]], env=at, capture_output=True, check=False).returncode == 0
    at["PGPORT"] = str(free_port())
    assert subprocess.run([folder / check[1], *check[2:]], env=at, capture_output=True, check=False).returncode != 0


@pytest.mark.kafka
@pytest.mark.postgres
def test_the_composition_works(tmp_path: Path, postgres: Schemas) -> None:
    postgres.for_a_platform()
    check_postgres(postgres.url)
    file = services()
    with from_the_image(tmp_path / "kafka", file["kafka"]["environment"]) as broker:
        exchanged = {
            "kafka:9092": broker,
            file["ingest"]["environment"]["CARTERA_DATABASE_URL"]: postgres.url,
        }
        stack = Stack(tmp_path, exchanged, {})
        with started(stack):
            for name in dependencies(file["gateway"]):
                stack.up(name)
            for name in OURS[2:]:
                stack.containers[name].await_health(file[name]["healthcheck"])
            use(stack)
            for name in OURS[2:]:
                assert stack.containers[name].stop() == 0
                assert "Traceback" not in stack.containers[name].output.read_text()


def use(stack: Stack) -> None:
    """From an event to a mail, each service at its own address, with the keys that the first start has shown."""
    shown = "".join(one.output.read_text() for one in stack.containers.values())
    ((writing,), (admin,)) = (re.findall(rf"^{scope} key  (\S+)$", shown, re.MULTILINE) for scope in ("write", "admin"))
    ingest, profile, segment, campaign = (stack.containers[name] for name in OURS[2:])
    assert campaign.ask("PUT", "/v1/settings", admin, {"quiet_hours": None}).status_code == 200
    consent = {
        "specversion": "1.0",
        "id": "consent",
        "source": "shop/madrid",
        "type": "consent.changed",
        "data": {"customer": {"customer_id": "C-17"}, "channel": "email", "status": "granted"},
    }
    events = [consent, purchase("1001", "C-17", datetime.now(UTC), email="ana@example.com")]
    assert ingest.ask("POST", "/v1/events", writing, events).status_code == 202

    def first(where: Container, path: str, part: str) -> Any:
        answer = where.ask("GET", path, admin)
        assert answer.status_code == 200, answer.text
        return answer.json()[part]

    (record,) = eventually(lambda: first(profile, "/v1/profiles?customer_id=C-17", "profiles"), 30)
    classes = eventually(lambda: first(segment, f"/v1/profiles/{record['profile_id']}/classes", "classes"), 30)
    assert classes["status"]["class"] == "active"
    (sent,) = eventually(lambda: first(campaign, "/v1/messages?state=sent", "messages"), 30)
    assert "ana@example.com" in (campaign.folder / "outbox" / f"{sent['id']}.eml").read_text("utf-8")
    every_rule_leads_somewhere(stack, admin)


def every_rule_leads_somewhere(stack: Stack, admin: str) -> None:
    """Every rule of the gateway stands for a path that its service answers, and so does every location."""
    rules = re.findall(r"^\s+~(\S+) (\w+);$", GATEWAY, re.MULTILINE)
    assert len(rules) > 3
    for rule, name in rules:
        paths = stack.containers[name].ask("GET", "/openapi.json", admin).json()["paths"]
        matching = [path for path in paths if re.search(rule, re.sub(r"\{[^}]+\}", "x1", path))]
        assert matching, rule
    for path, address in re.findall(r"location = (\S+) \{\s+proxy_pass http://(\w+):", GATEWAY):
        assert path in stack.containers[address].ask("GET", "/openapi.json", admin).json()["paths"], path


def test_the_image_alone_is_the_whole_platform(tmp_path: Path) -> None:
    built = image()
    alone = Container("alone", built, {}, tmp_path / "alone", {})
    try:
        alone.start()
        eventually(lambda: alone.healthy(built.health, seconds("6s")), 30)
        assert (alone.folder / "profile.db").exists()
        assert alone.stop() == 0
    finally:
        alone.end()
