"""What deploy/ says agrees with what the services are: the gateway's paths, the metrics that are watched."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.composition import SERVICES, compose
from shared.config import Settings
from shared.telemetry.metrics import METRICS
from tests.architecture.source import ROOT

EVERYWHERE = ("/health/", "/metrics", "/openapi.json", "/docs", "/redoc", "/static")
SUFFIXES = ("_bucket", "_sum", "_count")


def owners() -> list[tuple[str, str]]:
    """The rules of the gateway: pattern and service, in their order; the default last."""
    block = re.search(
        r"map \$uri \$service \{(.*?)\n    \}", (ROOT / "deploy/gateway/nginx.conf").read_text(), re.DOTALL
    )
    assert block
    rules = re.findall(r"^\s+(\S+) (\w+);$", block.group(1), re.MULTILINE)
    return [(rule.removeprefix("~"), name) for rule, name in rules if rule != "default"]


def owner(path: str) -> str:
    return next((name for rule, name in owners() if re.search(rule, path)), "ingest")


@pytest.fixture
def paths(tmp_path: Path) -> Mapping[str, list[str]]:
    """The paths of every service, as its own OpenAPI document has them."""
    settings = Settings(data_dir=tmp_path)
    found = {}
    for name in SERVICES:
        document: dict[str, Any] = compose(settings, [name], "http://127.0.0.1")[0].application().openapi()
        found[name] = [path for path in document["paths"] if not path.startswith(EVERYWHERE)]
    return found


def test_the_gateway_knows_whose_every_path_is(paths: Mapping[str, list[str]]) -> None:
    assert all(paths.values())
    for name, known in paths.items():
        for path in known:
            assert owner(re.sub(r"\{[^}]+\}", "x1", path)) == name, path


def expressions() -> Iterator[str]:
    """All Prometheus expressions in deploy/."""
    board = json.loads((ROOT / "deploy/grafana/dashboards/cartera.json").read_text())
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_dashboards_and_alerts_name_metrics_and_labels_that_exist() -> None:
    known = {row.name: row for row in METRICS}
    names = set()
    for expression in expressions():
        for name in re.findall(r"\bcartera_\w+", expression):
            base = next((name.removesuffix(s) for s in SUFFIXES if name.removesuffix(s) in known), name)
            names.add(base)
            assert base in known, expression
            for grouped in re.findall(r"by \(([^)]*)\)", expression):
                assert {label.strip() for label in grouped.split(",")} - {"le"} <= set(known[base].labels), expression
    assert len(names) > 6
