"""The servers that some mutants need, started once for all of them and told to the tests by the environment."""

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.postgres.server import UNSAFE, NoServer, Server
from tests.servers.kafka import Cluster, NoBroker

GIVEN = {"postgres": "CARTERA_TEST_POSTGRES", "kafka": "CARTERA_TEST_KAFKA"}
"""Where the tests look for a server that is there already."""


@contextmanager
def started(needs: Collection[str]) -> Iterator[None]:
    """Servers of these kinds for the length of the block; one that cannot be had here is told of and left out."""
    with ExitStack() as stack:
        for need in sorted(need for need in needs if need in GIVEN and GIVEN[need] not in os.environ):
            try:
                os.environ[GIVEN[need]] = _postgres(stack) if need == "postgres" else _kafka(stack)
                stack.callback(os.environ.pop, GIVEN[need])
            except (NoServer, NoBroker) as reason:
                print(f"{need} is missing: {reason}", flush=True)
        yield


def _postgres(stack: ExitStack) -> str:
    server = Server(Path(tempfile.mkdtemp(prefix=f"cartera-postgres-{os.getpid()}-")))
    stack.callback(server.remove)
    return server.start(UNSAFE).url


def _kafka(stack: ExitStack) -> str:
    cluster = Cluster(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cartera-kafka-"))))
    stack.callback(cluster.stop)
    return cluster.start().url
