"""Whatever is posted: no answer is a fault of ours, each refusal is a problem, what is accepted can be read.

`make fuzz` sends 10,000 requests to each path, `make test` a few hundred.
"""

import gc
import json
import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from sqlalchemy import event

from services.ingest.acceptance import accept_bytes
from services.ingest.service import SERVICE
from shared.events.envelope import decode
from shared.events.interactions import DECODERS
from tests.conftest import Opener
from tests.contract.test_ingest_api import PROBLEM, House, opened
from tests.fuzz.hostile import Hostile, request

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "100"))
SEED = int(os.environ.get("FUZZ_SEED", "20261120"))
GROWTH = 16 * 1024 * 1024
"""Bytes by which the second half may need more memory than the first half: caches fill, nothing else."""

PAGES = "PRAGMA cache_size=-2000"
"""Each connection keeps up to 64 MB of the pages of a file that grows; here two, that it does not look like a leak."""


def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500
    body = json.loads(answer.content)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == PROBLEM
        assert body["status"] == answer.status_code
        assert body["code"]
        assert body["message"]
    elif answer.status_code == 200:
        assert body["success"] is True
        assert all(one["code"] and isinstance(one["index"], int) for one in body.get("rejected", ()))
    else:
        assert answer.status_code == 202
        assert body["accepted"] + body["rejected"] == len(body["results"])


async def send(house: House, one: Hostile) -> httpx.Response:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in one.headers.items()]
    made = house.client.build_request("POST", one.path, content=one.body, headers=headers)
    return await house.client.send(made)


@pytest.fixture
def silence() -> Iterator[None]:
    """No log lines: what the test runner keeps of them would look like a leak."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("path", ["/v1/events", "/v1/batch", "/v1/track"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_hostile_requests(database: Opener, tmp_path: Path, path: str) -> None:
    engine = database(SERVICE)
    event.listen(engine, "checkout", lambda connection, _record, _proxy: connection.execute(PAGES))
    async with opened(engine, tmp_path, {"region": "ES"}) as house:
        middle = 0
        for number in range(REQUESTS):
            one = request(path, random.Random(f"{SEED}/{path}/{number}"))
            answer = await send(house, one)
            try:
                check(answer)
            except (AssertionError, ValueError, KeyError) as error:
                raise AssertionError(f"request {number}: {answer.status_code} {answer.text[:300]}") from error
            if number == REQUESTS // 2:
                middle = _resident()
        assert _resident() - middle < GROWTH
        await _check_accepted(house)
        await _check_letters(house)


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _check_accepted(house: House) -> None:
    """What stands on the topic is what the next stage takes, and is accepted again without change."""
    records = await house.topic("interactions")
    assert len(records) > REQUESTS // 20
    for record in records:
        value = record.value or b""
        known = decode(value)
        DECODERS[known.type].decode(known.data)
        again, _ = accept_bytes(json.loads(value), known.receivedat or known.time, {"region": "ES"}, clamp=False)
        assert json.loads(bytes(again.data)) == json.loads(bytes(known.data))


async def _check_letters(house: House) -> None:
    """Every letter can be shown."""
    seen, query = 0, {"limit": "200"}
    while True:
        page = (await house.client.get("/v1/dead-letters", params=query)).json()
        seen += len(page["dead_letters"])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen > 0
