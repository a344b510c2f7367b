"""Log lines hold nothing personal, whatever goes wrong; metrics are those of the table, one registry per value."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.security import mint
from shared.telemetry import METRICS, Metrics, configure, logger, scrub
from shared.telemetry.logs import FIELDS

CANARIES = (
    "ana.garcia@example.com",
    "+34 600 000 001",
    "600-000-0012",
    "(202) 555 01 43",
    "Ana García",
    "postgresql://user:pass@host/db",
    mint("admin"),
)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    text = io.StringIO()
    handlers = list(logging.getLogger().handlers)
    configure(text, "DEBUG")
    yield text
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("canary", CANARIES, ids=range(len(CANARIES)))
def test_no_canary_reaches_a_line(stream: io.StringIO, canary: str) -> None:
    log = logger()
    log.info("sent", customer=canary, email=canary, data={"customer": canary}, **{canary: 1})
    log.info(f"sent to {canary}", count=1)
    structlog.contextvars.bind_contextvars(query=canary)
    try:
        raise ValueError(f"total of {canary} is no number") from KeyError(canary)
    except ValueError:
        log.exception("batch_failed", service="profile")
        logging.getLogger("library").exception("failed for %s", canary)
    log.info("failed", exc_info=RuntimeError(canary))
    structlog.contextvars.clear_contextvars()
    assert len(lines(stream)) == 5
    assert canary not in stream.getvalue()
    assert json.dumps(canary)[1:-1] not in stream.getvalue()


@pytest.mark.parametrize(
    "canary", [canary for canary in CANARIES if canary != "Ana García"], ids=range(len(CANARIES) - 1)
)
@pytest.mark.parametrize("field", ["message", "reason", "event_id", "path", "code", "topic"])
def test_allowed_fields_are_scrubbed_too(stream: io.StringIO, field: str, canary: str) -> None:
    logger().info("seen", **{field: f"order {canary} of today"})
    assert canary not in stream.getvalue()
    assert lines(stream)[0][field].startswith("order ")


def test_a_line_says_what_happened(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(service="segment", request_id="00112233445566778899aabbccddeeff"):
        logger().warning("batch_failed", topic="profiles", partition=3, offset=17, seconds=0.25)
    line = lines(stream)[0]
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning",
        "action": "batch_failed",
        "service": "segment",
        "request_id": "00112233445566778899aabbccddeeff",
        "topic": "profiles",
        "partition": 3,
        "offset": 17,
        "seconds": 0.25,
    }


def test_an_error_is_its_type_and_its_place(stream: io.StringIO) -> None:
    try:
        json.loads("{")
    except ValueError:
        logger().exception("unreadable")
    line = lines(stream)[0]
    assert line["error"] == "JSONDecodeError"
    assert line["where"][0].startswith("test_telemetry.py:")
    assert line["where"][-1].startswith("decoder.py:")


def test_a_library_warns_without_the_values_it_fills_in(stream: io.StringIO) -> None:
    logging.getLogger("sqlalchemy.pool").warning("cannot reach %s\nsecond line", "Ana García")
    logging.getLogger("sqlalchemy.pool").info("chatter")
    logging.getLogger("aiokafka.conn").error("it says so ten times a second")
    assert [(line["action"], line["logger"], line["message"]) for line in lines(stream)] == [
        ("library", "sqlalchemy.pool", "cannot reach %s")
    ]


@settings(max_examples=150)
@given(st.text(), st.from_regex(r"\A[a-z]{1,12}@[a-z]{1,12}\.(com|es)\Z"), st.text())
def test_an_address_is_masked_wherever_it_stands(before: str, address: str, after: str) -> None:
    assert address not in scrub(f"{before} {address} {after}")
    assert len(scrub(before + address + after)) <= 200


def test_line_breaks_cannot_forge_a_line(stream: io.StringIO) -> None:
    logger().info("seen", reason='x"}\n{"level":"critical"')
    assert len(lines(stream)) == 1


def test_no_field_could_name_a_customer() -> None:
    assert not FIELDS & {
        "email",
        "phone",
        "customer",
        "customer_id",
        "profile_id",
        "url",
        "query",
        "data",
        "name",
        "body",
    }


def test_every_row_of_the_table_is_exported_and_nothing_else() -> None:
    exported = {family.name for family in Metrics("1").registry.collect()}
    own = {name for name in exported if not name.startswith("cartera_process_")}
    assert own == {row.name.removesuffix("_total") for row in METRICS}


def test_two_registries_share_nothing() -> None:
    one, other = Metrics("1"), Metrics("1")
    one.handled("ingest", "purchase.completed", "accepted", 3)
    sample = 'cartera_events_total{outcome="accepted",service="ingest",type="purchase.completed"} 3.0'
    assert sample in one.text().decode()
    assert "purchase.completed" not in other.text().decode()


def test_a_sender_cannot_add_series() -> None:
    metrics = Metrics("1")
    for number in range(50):
        metrics.handled("ingest", f"made.up.{number}", "rejected")
    series = [line for line in metrics.text().decode().splitlines() if line.startswith("cartera_events_total{")]
    assert series == ['cartera_events_total{outcome="rejected",service="ingest",type="other"} 50.0']


def test_latency_is_measured_from_five_milliseconds_to_ten_minutes() -> None:
    metrics = Metrics("1")
    metrics.stage.labels("segment").observe(0.004)
    metrics.stage.labels("segment").observe(599)
    text = metrics.text().decode()
    assert 'cartera_stage_seconds_bucket{le="0.005",service="segment"} 1.0' in text
    assert 'cartera_stage_seconds_bucket{le="300.0",service="segment"} 1.0' in text
    assert 'cartera_stage_seconds_bucket{le="600.0",service="segment"} 2.0' in text
