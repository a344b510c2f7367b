"""REST of the segment service: classes now and then, definitions, previews, what is refused and how."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, create_engine

from services.segment.api import router
from services.segment.service import SERVICE
from shared.events.times import to_ms
from shared.log import Position, Told, TopicPartition
from shared.log.sqlite import SqliteLog
from shared.runtime.service import Context
from shared.runtime.web import build
from shared.security import StoredKeys
from shared.telemetry import Metrics
from tests.builders import identified, interaction, moment, purchase
from tests.chain import Chain
from tests.conftest import Opener

DAY = 24 * 60
ANA = {"customer_id": "C1", "email": "ana@example.com"}
BUYERS = {"segmentation": "buyers", "classes": [{"name": "many", "when": "purchases_count >= 2"}, {"name": "few"}]}


def day(number: float) -> datetime:
    return moment(number * DAY)


class Web:
    """The service behind its REST, with a clock that is set by hand."""

    def __init__(self, engine: Engine, folder: Path, clock: str) -> None:
        self.now = day(0)
        self.nudged = 0
        self.log = SqliteLog(folder / "log.db", 1, lambda: 0)
        self.chain = Chain(engine)
        keys = StoredKeys(create_engine(f"sqlite:///{folder}/keys.db").begin, lambda: self.now, {"admin": "root"})
        context = Context(
            engine=engine, log=self.log, clock=lambda: self.now, settings={"clock": clock}, nudge=self._nudge
        )
        app = build("segment", [router(context)], keys, {}, Metrics("1"))
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://house", headers={"Authorization": "Bearer root"}
        )

    def _nudge(self) -> None:
        self.nudged += 1

    async def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = await self.client.request(method, path, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def profile(self, customer_id: str = "C1") -> str:
        return self.chain.customers()[customer_id].profile_id


@pytest.fixture
def engine(database: Opener) -> Engine:
    return database(SERVICE)


@pytest.fixture
async def web(engine: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Web]:
    web = Web(engine, tmp_path, getattr(request, "param", "system"))
    yield web
    await web.client.aclose()
    await web.log.close()


def shape(value: Any) -> Any:
    """The names in a document, at every level but that of the values."""
    if not isinstance(value, dict):
        return None
    return {name: None if name == "values" else shape(inner) for name, inner in value.items()}


async def test_a_past_class_has_the_form_of_a_present_one(web: Web) -> None:
    web.chain.feed(*(purchase(ANA, at=number * DAY) for number in range(5)))
    web.chain.tick(day(200))
    web.now = day(200)
    path = f"/v1/profiles/{web.profile()}/classes"
    present = (await web.ask("GET", path))["classes"]["status"]
    assert present == {
        "class": "inactive",
        "since": "2026-09-02T09:00:00Z",
        "version": 4,
        "next_due_at": None,
        "explanation": {
            "rule": "purchases_count >= 1",
            "values": {"purchases_count": 5, "days_since_last_purchase": 196},
            "text": "inactive: purchases_count >= 1, no longer active: purchases_count >= 1 and "
            "days_since_last_purchase < 180 (purchases_count = 5, days_since_last_purchase = 196)",
        },
    }
    then = await web.ask("GET", path, params={"at": "2026-03-20T00:00:00Z"})
    assert then["at"] == "2026-03-20T00:00:00Z"
    past = then["classes"]["status"]
    assert shape(past) == shape(present)
    assert past == {
        "class": "active",
        "since": "2026-03-07T09:00:00.001Z",
        "version": 3,
        "next_due_at": "2026-09-02T09:00:00Z",
        "explanation": {
            "rule": "purchases_count >= 1 and days_since_last_purchase < 180",
            "values": past["explanation"]["values"],
            "text": past["explanation"]["text"],
        },
    }
    assert past["explanation"]["values"].keys() >= {"purchases_count", "days_since_last_purchase", "usual_gap_days_q90"}
    assert past["explanation"]["text"].startswith(
        "active: purchases_count >= 1 and days_since_last_purchase < 180, no longer current: contract_active or"
    )
    assert (await web.ask("GET", path, params={"at": "2026-03-01T00:00:00Z"}))["classes"] == {}


async def test_a_past_class_is_told_by_the_definition_of_then(web: Web) -> None:
    await web.ask("PUT", "/v1/segmentations/buyers", 201, json=BUYERS)
    web.chain.feed(purchase(ANA, at=0))
    web.now = day(2)
    await web.ask("PUT", "/v1/segmentations/buyers", json={"classes": [{"name": "few", "when": "purchases_count < 9"}]})
    web.chain.tick(day(3))
    web.chain.feed(purchase(ANA, at=4 * DAY))
    path = f"/v1/profiles/{web.profile()}/classes"
    past = (await web.ask("GET", path, params={"at": "2026-03-03T00:00:00Z"}))["classes"]["buyers"]
    assert past["explanation"]["rule"] == "otherwise"
    web.now = day(5)
    present = (await web.ask("GET", path))["classes"]["buyers"]
    assert (present["class"], present["explanation"]["rule"]) == ("few", "purchases_count < 9")


async def test_a_moment_in_the_future_is_answered_with_the_present(web: Web) -> None:
    web.chain.feed(purchase(ANA, at=0))
    web.now = day(1)
    path = f"/v1/profiles/{web.profile()}/classes"
    answer = await web.ask("GET", path, params={"at": "2027-01-01T00:00:00Z"})
    assert answer == await web.ask("GET", path)
    assert answer["at"] == "2026-03-03T09:00:00Z"
    assert answer["classes"]["status"]["next_due_at"] == "2026-08-29T09:00:00Z"


async def test_rest_stamps_definitions_with_now(web: Web) -> None:
    await web.ask("PUT", "/v1/segmentations/buyers", 201, json=BUYERS)
    web.chain.feed(purchase(ANA, at=0))
    web.now = day(5)
    await web.ask("DELETE", "/v1/segmentations/buyers", 204)
    assert web.nudged == 2
    web.chain.tick(day(6))
    assert web.chain.history("buyers")[-1]["occurred_at"] == "2026-03-07T09:00:00Z"


@pytest.mark.parametrize("web", ["events"], indirect=True)
async def test_with_the_clock_of_the_events_now_is_the_latest_event(web: Web) -> None:
    web.now = day(4000)
    await web.ask("PUT", "/v1/segmentations/buyers", 201, json=BUYERS)
    web.chain.feed(purchase(ANA, at=0))
    await web.log.tell(Told("profile", {TopicPartition("interactions", 0): Position(1, 0, to_ms(day(7)))}))
    await web.ask("DELETE", "/v1/segmentations/buyers", 204)
    web.chain.tick(day(8))
    assert web.chain.history("buyers")[-1]["occurred_at"] == "2026-03-09T09:00:00Z"
    await web.log.tell(Told("profile", {TopicPartition("interactions", 0): Position(2, 0, to_ms(day(9)))}))
    answer = await web.ask("GET", f"/v1/profiles/{web.profile()}/classes")
    assert answer["at"] == "2026-03-11T09:00:00Z"
    assert answer["classes"]["status"]["explanation"]["values"]["days_since_last_purchase"] == 9


async def test_the_name_in_the_body_is_that_of_the_address(web: Web) -> None:
    problem = await web.ask("PUT", "/v1/segmentations/other", 422, json=BUYERS)
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("invalid_definition", "/segmentation")
    assert "buyers" in problem["message"]
    await web.ask("GET", "/v1/segmentations/other", 404)
    shown = await web.ask("PUT", "/v1/segmentations/buyers", 201, json={"classes": BUYERS["classes"]})
    assert await web.ask("PUT", "/v1/segmentations/buyers", json=shown) == shown


@pytest.mark.parametrize("name", ["after", "cursor"])
async def test_changes_go_on_after_a_cursor(web: Web, name: str) -> None:
    for number in range(3):
        web.chain.feed(purchase(ANA, at=200 * number))
    web.chain.tick(day(1000))
    history = f"/v1/profiles/{web.profile()}/classes/history"
    for path in (history, "/v1/segment-changes"):
        whole = (await web.ask("GET", path))["changes"]
        first = await web.ask("GET", path, params={"limit": "2"})
        rest = await web.ask("GET", path, params={name: first["next_cursor"]})
        assert len(whole) > 2
        assert [*first["changes"], *rest["changes"]] == whole


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/segmentations"),
        ("GET", "/v1/segmentations/status/classes"),
        ("GET", "/v1/segmentations/status/classes/active/members"),
        ("GET", "/v1/segment-changes"),
        ("GET", "/v1/segment-changes/stream"),
        ("GET", "/v1/attributes"),
        ("DELETE", "/v1/segmentations/status"),
    ],
)
async def test_unknown_parameters_are_refused(web: Web, method: str, path: str) -> None:
    problem = await web.ask(method, path, 400, params={"limmit": "1"})
    assert (problem["code"], problem["errors"][0]["parameter"]) == ("invalid_parameter", "limmit")
    await web.ask("GET", "/v1/segmentations/status")


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        ("/v1/segment-changes", {"limit": "0"}, 400),
        ("/v1/segment-changes", {"after": "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDBd"}, 400),
        ("/v1/segmentations/status/classes/nobody/members", {}, 404),
        ("/v1/segmentations/nothing/classes", {}, 404),
        ("/v1/profiles/nobody/classes", {}, 404),
        ("/v1/profiles/nobody/classes", {"at": "yesterday"}, 400),
        ("/v1/profiles/nobody/classes/history", {}, 404),
    ],
)
async def test_bad_values_are_refused(web: Web, path: str, parameters: dict[str, str], status: int) -> None:
    problem = await web.ask("GET", path, status, params=parameters)
    assert problem["message"]


async def test_without_a_key_nothing_is_said_of_parameters(web: Web) -> None:
    answer = await web.client.get("/v1/segmentations", params={"x": "1"}, headers={"Authorization": "Bearer no"})
    assert answer.status_code == 401


PREVIEWED: list[dict[str, Any]] = [
    {"classes": [{"name": "many", "when": "purchases_count >= 3"}, {"name": "some", "when": "purchases_count > 0"}]},
    {"classes": [{"name": "new", "when": "purchases_count_28d > 1 and interest_count_30d = 0"}, {"name": "rest"}]},
    {"classes": [{"name": "gold", "when": "traits.tier = 'gold' or revenue_91d_to_average > 1.5"}]},
    {"classes": [{"name": "steady", "when": "usual_gap_to_median <= 1"}, {"name": "slow", "when": "reachable"}]},
    {"classes": [{"name": "recent", "when": "days_since_last_purchase < 20"}, {"name": "late", "when": "true"}]},
    {"segmentation": "status", "classes": [{"name": "active", "when": "purchases_count > 1"}, {"name": "x"}]},
]


def portfolio(chain: Chain) -> None:
    for number in range(25):
        who = {"customer_id": f"C{number}"} | ({"email": f"c{number}@example.com"} if number % 3 else {})
        chain.feed(
            identified(who, at=number, tier="gold" if number % 4 == 0 else 7),
            *(
                purchase(who, f"{10 + number}.50", at=(number * 3 + step * (number % 5 + 1)) * DAY)
                for step in range(number % 6)
            ),
            *(interaction("interest.shown", who, step * 9 * DAY, kind="visit") for step in range(number % 4)),
        )
    chain.tick(day(80))


def told(chain: Chain, document: dict[str, Any], before: dict[str, dict[str, str | None]]) -> dict[str, Any]:
    """What a preview must tell, found by putting the definition in force."""
    name = document.get("segmentation", "preview")
    chain.put({**document, "segmentation": name}, at=day(81))
    chain.tick(day(81))
    after = chain.classes()
    pairs = [(before[c].get(name), after[c].get(name)) for c in before]
    return {
        "sizes": {to: sum(1 for _, other in pairs if other == to) for _, to in pairs if to},
        "moves": {pair: pairs.count(pair) for pair in pairs if pair[0] != pair[1]},
    }


@pytest.mark.parametrize("number", range(len(PREVIEWED)))
async def test_a_preview_tells_what_then_happens(web: Web, number: int) -> None:
    portfolio(web.chain)
    web.now = day(81)
    before, document = web.chain.classes(), PREVIEWED[number]
    profiles = {one.profile_id: name for name, one in web.chain.customers().items()}
    shown = await web.ask("POST", "/v1/segmentations/preview", json=document)
    expected = told(web.chain, document, before)
    assert {row["class"]: row["count"] for row in shown["classes"] if row["count"]} == expected["sizes"]
    assert {(row["from"], row["to"]): row["count"] for row in shown["moves"]} == expected["moves"]
    assert shown["total"] == sum(expected["sizes"].values())
    assert len(shown["sample"]) == min(10, sum(expected["moves"].values()))
    name = document.get("segmentation", "preview")
    after = web.chain.classes()
    for row in shown["sample"]:
        customer = profiles[row["profile_id"]]
        assert (row["from"], row["to"]) == (before[customer].get(name), after[customer].get(name))
        assert "evidence" in row
