"""Every answer of the web layer has its form: problems, keys, pages, health, metrics, sizes and headers."""

import asyncio
import io
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, Body, Depends, FastAPI, Query, Request
from fastapi.responses import StreamingResponse
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import create_engine, text

from services.composition import KEYS
from shared.database import open_sqlite, transaction, translate
from shared.database.migrating import migrate
from shared.errors import Conflict, Fault, InvalidEvent, Unavailable
from shared.runtime.clock import system
from shared.runtime.web import (
    DEFAULT_LIMIT,
    Check,
    CheckResult,
    Cursor,
    CursorText,
    Limit,
    Problem,
    build,
    needs,
    paged,
)
from shared.security import GRANTS, StoredKeys
from shared.telemetry import Metrics, configure

PROBLEM = "application/problem+json"
FOUR_MIB = 4 * 1024 * 1024


class Order(BaseModel):
    total: float
    items: list[dict[str, int]]


async def half() -> AsyncIterator[bytes]:
    yield b"one"
    raise RuntimeError("broken off")


def shop() -> APIRouter:
    """Endpoints that do everything an endpoint can do wrong."""
    router = APIRouter()
    errors: dict[str, Exception] = {
        "unavailable": Unavailable("the log does not answer", retry_after=7),
        "conflict": Conflict("another worker owns the partition"),
        "event": InvalidEvent("unknown_type", (Fault("no such type", "/type"),)),
        "bug": RuntimeError("ana@example.com"),
        "problem": Problem(418, "teapot", "no coffee", [{"detail": "hot"}], {"X-Pot": "1"}, {"status": 1, "cups": 2}),
    }

    @router.get("/raise/{name}")
    def fail(name: str) -> None:
        raise errors[name]

    @router.get("/sql")
    def sql(statement: str) -> None:
        engine = create_engine("sqlite:////nowhere/at/all.db" if statement == "away" else "sqlite://")
        translate(engine)
        with engine.connect() as connection:
            connection.execute(text(statement))

    @router.post("/orders")
    def order(order: Annotated[Order, Body()], copies: Annotated[int, Query()] = 1) -> float:
        return order.total * copies

    @router.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @router.get("/numbers")
    def numbers(limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None) -> dict[str, Any]:
        after = Cursor.decode(cursor, (int,))
        start = after[0] + 1 if after else 0
        page = paged(range(2500)[start : start + limit + 1], limit, lambda number: (number,))
        return {"numbers": list(page.items), "next_cursor": page.next_cursor}

    @router.get("/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(half())

    for scope in ("write", "read", "privacy", "admin"):
        router.add_api_route(f"/may/{scope}", lambda: "yes", dependencies=[Depends(needs(scope))])
    return router


def application(folder: Path, checks: dict[str, Check] | None = None) -> FastAPI:
    engine = open_sqlite(folder / "keys.db")
    migrate(engine, [KEYS])
    keys = StoredKeys(partial(transaction, engine), system, {"admin": "root", "write": "w"})
    return build("test", [shop()], keys, checks or {}, Metrics("1.2.3"))


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://house")


@pytest.fixture(autouse=True)
def lines() -> Iterator[io.StringIO]:
    """What the application writes about itself during a test."""
    stream = io.StringIO()
    handlers = list(logging.getLogger().handlers)
    configure(stream)
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application(tmp_path)) as client:
        yield client


def check_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == PROBLEM
    assert (body["status"], body["code"]) == (status, code)
    assert body["message"]
    assert body["title"]
    assert body["type"].endswith(code)
    return body


async def test_what_endpoints_raise_becomes_a_problem(client: httpx.AsyncClient) -> None:
    check_problem(await client.get("/raise/conflict"), 409, "conflict")
    away = await client.get("/raise/unavailable")
    assert check_problem(away, 503, "unavailable")["message"] == "the log does not answer"
    assert away.headers["retry-after"] == "7"
    event = check_problem(await client.get("/raise/event"), 422, "unknown_type")
    assert event["errors"] == [{"detail": "no such type", "pointer": "/type"}]
    own = await client.get("/raise/problem")
    assert check_problem(own, 418, "teapot")["cups"] == 2
    assert own.headers["x-pot"] == "1"


async def test_what_routing_raises_becomes_a_problem(client: httpx.AsyncClient) -> None:
    check_problem(await client.get("/nowhere"), 404, "not_found")
    check_problem(await client.get("/numbers/"), 404, "not_found")
    wrong = await client.delete("/numbers")
    check_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET"


async def test_a_bug_is_recorded_and_tells_nothing(client: httpx.AsyncClient, lines: io.StringIO) -> None:
    body = check_problem(response := await client.get("/raise/bug"), 500, "internal_error")
    assert "ana" not in json.dumps(body)
    line = json.loads(lines.getvalue())
    assert (line["action"], line["error"], line["route"]) == ("request_failed", "RuntimeError", "/raise/{name}")
    assert line["request_id"] == response.headers["x-request-id"]
    assert "ana" not in json.dumps(line)


async def test_a_stream_that_breaks_is_broken_off(client: httpx.AsyncClient) -> None:
    with pytest.raises(RuntimeError, match="broken off"):
        await client.get("/stream")


async def test_a_database_that_is_away_is_not_a_bug(client: httpx.AsyncClient) -> None:
    check_problem(await client.get("/sql", params={"statement": "away"}), 503, "unavailable")
    check_problem(await client.get("/sql", params={"statement": "SELECT * FROM missing"}), 500, "internal_error")


async def test_a_wrong_request_points_at_its_faults(client: httpx.AsyncClient) -> None:
    sent = {"total": "secret", "items": [{"a/b": 1}, {"a/b": "x"}]}
    body = check_problem(await client.post("/orders?copies=many", json=sent), 422, "invalid")
    places = {error.get("pointer", error.get("parameter")) for error in body["errors"]}
    assert places == {"/total", "/items/1/a~1b", "copies"}
    assert all(error["detail"] for error in body["errors"])
    assert "secret" not in json.dumps(body)
    broken = await client.post("/orders", content=b'{"total": ', headers={"content-type": "application/json"})
    check_problem(broken, 400, "invalid_json")


async def chunks(sizes: Sequence[int]) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def test_a_body_may_have_four_mebibytes(client: httpx.AsyncClient) -> None:
    assert (await client.post("/raw", content=b"x" * FOUR_MIB)).json() == FOUR_MIB
    check_problem(await client.post("/raw", content=b"x" * (FOUR_MIB + 1)), 413, "too_large")
    check_problem(await client.post("/raw", content=chunks([FOUR_MIB, 1])), 413, "too_large")
    json_type = {"content-type": "application/json"}
    check_problem(await client.post("/orders", content=chunks([FOUR_MIB, 1]), headers=json_type), 413, "too_large")


async def test_a_body_that_declares_too_much_is_not_read(client: httpx.AsyncClient) -> None:
    read: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"x"

    headers = {"content-length": str(FOUR_MIB + 1)}
    check_problem(await client.post("/raw", content=body(), headers=headers), 413, "too_large")
    assert read == []


@pytest.mark.parametrize("needed", ["write", "read", "privacy", "admin"])
@pytest.mark.parametrize("scope", [None, *GRANTS])
async def test_the_matrix_of_keys(tmp_path: Path, needed: str, scope: str | None) -> None:
    app = application(tmp_path)
    keys: StoredKeys = app.state.keys
    headers = {"authorization": f"Bearer {keys.create(scope).text}"} if scope else {}
    async with client_of(app) as client:
        response = await client.get(f"/may/{needed}", headers=headers)
    if scope is None:
        check_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"].startswith("Bearer")
    elif needed in GRANTS[scope]:
        assert response.json() == "yes"
    else:
        check_problem(response, 403, "forbidden")


async def test_basic_with_the_key_as_user(client: httpx.AsyncClient) -> None:
    assert (await client.get("/may/admin", auth=("root", ""))).status_code == 200
    check_problem(await client.get("/may/write", auth=("wrong", "")), 401, "unauthorized")


async def test_a_list_is_read_to_its_end_by_cursors(client: httpx.AsyncClient) -> None:
    seen: list[int] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor:
        params = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
        body = (await client.get("/numbers", params=params)).json()
        seen += body["numbers"]
        cursor = body["next_cursor"]
        pages += 1
    assert seen == list(range(2500))
    assert pages == 3
    assert len((await client.get("/numbers")).json()["numbers"]) == 100


async def test_a_last_page_that_is_just_full_has_no_cursor(client: httpx.AsyncClient) -> None:
    cursor = Cursor.encode((1999,))
    body = (await client.get("/numbers", params={"limit": "500", "cursor": cursor})).json()
    assert (len(body["numbers"]), body["next_cursor"]) == (500, None)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x"])
async def test_a_limit_is_between_one_and_a_thousand(client: httpx.AsyncClient, limit: str) -> None:
    body = check_problem(await client.get("/numbers", params={"limit": limit}), 400, "invalid_parameter")
    assert "limit" in body["message"]
    assert body["errors"][0]["parameter"] == "limit"


@pytest.mark.parametrize("cursor", ["?", "abc", "é", Cursor.encode(("text",)), Cursor.encode((1, 2)), "bnVsbA"])
async def test_a_foreign_cursor_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    check_problem(await client.get("/numbers", params={"cursor": cursor}), 400, "invalid_cursor")


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.integers(1 - 2**63, 2**63 - 1))
def test_a_cursor_brings_back_its_key(word: str, number: int) -> None:
    encoded = Cursor.encode((word, number))
    assert Cursor.decode(encoded, (str, int)) == (word, number)
    assert httpx.QueryParams({"cursor": encoded})["cursor"] == encoded


@pytest.mark.parametrize("parts", [(1 << 63,), (-(1 << 63),), ("\0",)])
def test_a_cursor_that_no_database_could_compare_is_refused(parts: tuple[str | int]) -> None:
    with pytest.raises(Problem, match="not given by this list"):
        Cursor.decode(Cursor.encode(parts), (type(parts[0]),))


@pytest.mark.parametrize("path", ["/numbers?cursor=a%00", "/a%00b"])
async def test_an_address_with_nul_is_refused(client: httpx.AsyncClient, path: str) -> None:
    check_problem(await client.get(path), 400, "bad_request")


async def test_security_headers_are_on_every_answer(client: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/nowhere", "/numbers", "/raise/bug", "/docs"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["referrer-policy"] == "no-referrer", path
        assert len(headers["x-request-id"]) == 32, path
    assert (await client.get("/numbers")).headers["cache-control"] == "no-store"


async def test_an_id_from_outside_is_kept_only_when_it_can_be_no_name(client: httpx.AsyncClient) -> None:
    own = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
    assert (await client.get("/health/live", headers={"x-request-id": own})).headers["x-request-id"] == own
    for foreign in ("ana@example.com", "+34600000001", "x" * 32, own + own):
        assert (await client.get("/health/live", headers={"x-request-id": foreign})).headers["x-request-id"] != foreign


def healthy() -> CheckResult:
    return CheckResult("pass", 3.1, "ms")


async def slow() -> CheckResult:
    return CheckResult("warn", 42, "s", "the oldest record waits", "component")


def broken() -> CheckResult:
    raise ConnectionError("postgresql://user:pass@host")


@pytest.mark.parametrize(
    ("checks", "status", "code"),
    [
        ({}, "pass", 200),
        ({"a:b": healthy}, "pass", 200),
        ({"a:b": healthy, "c:d": slow}, "warn", 200),
        ({"c:d": slow, "e:f": broken, "a:b": healthy}, "fail", 503),
    ],
)
async def test_ready_tells_the_worst(tmp_path: Path, checks: dict[str, Check], status: str, code: int) -> None:
    async with client_of(application(tmp_path, checks)) as client:
        response = await client.get("/health/ready")
        alive = await client.get("/health/live")
    assert (response.status_code, response.json()) == (code, {"status": status})
    assert response.headers["content-type"] == "application/health+json"
    assert (alive.status_code, alive.json()) == (200, {"status": "pass"})


async def test_details_need_a_key_and_tell_no_secrets(tmp_path: Path) -> None:
    checks: dict[str, Check] = {"database:responseTime": healthy, "outbox:oldestAge": slow, "log:ping": broken}
    async with client_of(application(tmp_path, checks)) as client:
        bad = await client.get("/health/ready", headers={"authorization": "Bearer no"})
        response = await client.get("/health/ready", headers={"authorization": "Bearer w"})
    assert "checks" not in bad.json()
    body = response.json()
    assert (body["releaseId"], body["serviceId"]) == ("1.2.3", "test")
    assert body["checks"]["database:responseTime"] == [
        {"componentType": "datastore", "status": "pass", "observedValue": 3.1, "observedUnit": "ms"}
    ]
    assert body["checks"]["outbox:oldestAge"][0]["output"] == "the oldest record waits"
    assert body["checks"]["log:ping"][0]["output"] == "ConnectionError"


async def test_checks_are_asked_once_a_second(tmp_path: Path) -> None:
    asked: list[int] = []

    def counted() -> CheckResult:
        asked.append(1)
        return CheckResult("pass")

    async with client_of(application(tmp_path, {"a:b": counted})) as client:
        await asyncio.gather(*(client.get("/health/ready") for _ in range(20)))
        await client.get("/health/ready")
        assert len(asked) == 1
        await asyncio.sleep(1.05)
        await client.get("/health/ready")
        assert len(asked) == 2


async def test_a_check_that_hangs_fails_in_time_and_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runtime.web.health.PATIENCE_SECONDS", 0.1)
    released, asked = threading.Event(), []

    def hangs() -> CheckResult:
        asked.append(1)
        released.wait(10)
        return CheckResult("pass")

    async with client_of(application(tmp_path, {"a:b": hangs})) as client:
        first = await client.get("/health/ready")
        second = await client.get("/health/ready")
        assert (await client.get("/health/live")).status_code == 200
        released.set()
        await asyncio.sleep(0.05)
        third = await client.get("/health/ready")
    assert (first.status_code, second.status_code, third.status_code) == (503, 503, 200)
    assert len(asked) == 1


async def test_metrics_are_in_prometheus_form(tmp_path: Path) -> None:
    async with client_of(application(tmp_path)) as client:
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'cartera_build_info{version="1.2.3"} 1.0' in response.text
    samples = [line for line in response.text.splitlines() if not line.startswith("#")]
    assert all(line.startswith("cartera_") for line in samples)


async def test_the_openapi_document_declares_problems_and_keys(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert {"code", "message"} <= set(schemas["Problem"]["required"])
    answers = document["paths"]["/orders"]["post"]["responses"]
    assert answers["default"]["content"] == {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert document["paths"]["/may/read"]["get"]["security"] == [{"bearer": []}, {"basic": []}]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "basic"}
    assert (await client.get("/docs")).status_code == 200


async def test_the_page_at_docs_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe-eval" not in page.headers["content-security-policy"]
    assert "//" not in page.text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 4
    for part in parts:
        answer = await client.get(f"/{part}")
        assert (answer.status_code, len(answer.content) > 100) == (200, True), part
    assert 'url: "openapi.json"' in (await client.get("/docs/start.js")).text
    assert not any(path.startswith("/docs") for path in (await client.get("/openapi.json")).json()["paths"])
