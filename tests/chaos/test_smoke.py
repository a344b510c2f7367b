"""A small size of the chaos suite, for every test run: each kind of fault at least once."""

import os
from pathlib import Path

import pytest

from tests.chaos.plan import Sizes
from tests.chaos.run import Run
from tests.chaos.servers import Servers
from tests.servers.kafka import NoBroker
from tests.servers.postgres import NoServer

SEED = 7
SMALL = Sizes(events=3_000, kills=12, stops=2, short=1, brokers=1, databases=1, scalings=1, seconds=18)


@pytest.mark.heavy
@pytest.mark.kafka
@pytest.mark.postgres
def test_nothing_is_lost_and_nothing_counts_twice(tmp_path: Path) -> None:
    servers = Servers(tmp_path / "servers", brokers=1)
    try:
        try:
            servers.start()
        except (NoBroker, NoServer) as reason:
            tell = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            tell(str(reason))
        result = Run(SEED, SMALL, servers, tmp_path / "run", print).do()
    finally:
        servers.remove()
    assert {name: wrong for name, wrong in result.kept["violations"].items() if wrong} == {}
    faults = result.kept["faults"]
    assert (faults["kill"], faults["long stop"], faults["broker_kill"], faults["database"]) == (12, 2, 1, 1)
