"""The parts of the Kafka log that need no broker: address, configuration, partitions, backlog, plan of topics."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.partitioner import murmur2 as library_murmur2
from hypothesis import given
from hypothesis import strategies as st

from services import composition, topics
from shared.config import Settings
from shared.errors import Unavailable, WrongSetting
from shared.log import Position, Record, TopicPartition
from shared.log.kafka import Address, Plan, parse, partition_of
from shared.log.kafka.answering import answering
from shared.log.kafka.configuration import ANSWER_SECONDS, APPEND_SECONDS, Configuration
from shared.log.kafka.partitioning import murmur2
from shared.log.kafka.positions import metadata, position
from shared.log.kafka.reading import LARGEST, Backlog

ONE, TWO = TopicPartition("interactions", 0), TopicPartition("interactions", 1)


def records(place: TopicPartition, start: int, end: int) -> list[Record]:
    return [Record(place.topic, place.partition, i, 0, "k", b"") for i in range(start, end)]


def offsets(found: object) -> list[int]:
    assert isinstance(found, list)
    return [record.offset for record in found]


def test_an_address_names_brokers_and_who_we_are() -> None:
    assert parse("kafka://a:1,b") == Address(("a:1", "b:9092"))
    assert parse("kafka://[::1]:9093,[::2]").servers == ("[::1]:9093", "[::2]:9092")
    found = parse(
        "kafka://k:9093?security_protocol=sasl_ssl&sasl_mechanism=SCRAM-SHA-512&sasl_username=u&sasl_password=p%26+s"
    )
    assert (found.security_protocol, found.sasl_mechanism) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (found.sasl_username, found.sasl_password) == ("u", "p&+s")
    assert "p&+s" not in repr(found)
    arguments = found.connection()
    assert arguments["bootstrap_servers"] == ["k:9093"]
    assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("u", "p&+s")
    assert arguments["ssl_context"].check_hostname


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://k", "must begin with kafka://"),
        ("kafka://", "'' is no host:port"),
        ("kafka://a:1,,b:2", "'' is no host:port"),
        ("kafka://a:x", "'a:x' is no host:port"),
        ("kafka://a:70000", "'a:70000' is no host:port"),
        ("kafka://u:p@a:1", "sasl_username"),
        ("kafka://a:1/topic", "'/topic'"),
        ("kafka://a:1?acks=1", "no parameter 'acks'"),
        ("kafka://a:1?ssl_cafile=x&ssl_cafile=y", "ssl_cafile is given twice"),
        ("kafka://a:1?security_protocol=TLS", "must be one of PLAINTEXT, SSL"),
        ("kafka://a:1?security_protocol=SASL_SSL&sasl_username=u", "needs sasl_username and sasl_password"),
        ("kafka://a:1?sasl_username=u&sasl_password=p", "needs security_protocol=SASL_SSL"),
        (
            "kafka://a:1?security_protocol=SASL_SSL&sasl_mechanism=MAGIC&sasl_username=u&sasl_password=p",
            "must be one of PLAIN, SCRAM-SHA-256",
        ),
        ("kafka://a:1?ssl_cafile=ca.pem", "needs security_protocol=SSL"),
        ("kafka://a:1?security_protocol=SSL&ssl_cafile=/nowhere/ca.pem", "there is no file /nowhere/ca.pem"),
    ],
)
def test_a_wrong_address_is_told_precisely(url: str, says: str) -> None:
    with pytest.raises(WrongSetting, match="CARTERA_LOG_URL") as caught:
        parse(url)
    assert says in str(caught.value)


async def test_the_clients_are_set_as_exactly_once_needs_it() -> None:
    configuration = Configuration(Address(("127.0.0.1:1",)))
    producer = AIOKafkaProducer(**configuration.producer())
    consumer = AIOKafkaConsumer(**configuration.consumer("g"))
    try:
        assert producer._sender._acks == -1
        assert producer._sender._txn_manager is not None  # idempotent
        assert producer._sender._txn_manager.transactional_id is None
        assert producer._compression_type == "zstd"
        assert producer._message_accumulator._batch_size == 512 * 1024
        assert producer._message_accumulator._linger_time == 0
        assert consumer._enable_auto_commit is False
        assert consumer._auto_offset_reset == "none"
        assert consumer._isolation_level == "read_committed"
        assert consumer._check_crcs is True
        assert consumer._group_instance_id is None
        assert [one.name for one in consumer._partition_assignment_strategy] == ["range"]
        assert (consumer._session_timeout_ms, consumer._heartbeat_interval_ms) == (8_000, 1_000)
        assert consumer._rebalance_timeout_ms == 8_000
        assert consumer._max_poll_interval_ms == 300_000
        assert producer._request_timeout_ms == consumer._request_timeout_ms == 8_000
    finally:
        await producer.stop()
        await consumer.stop()
    takeover = consumer._session_timeout_ms + 2 * consumer._heartbeat_interval_ms
    assert takeover < 15_000
    assert max(ANSWER_SECONDS, APPEND_SECONDS) < 15


@pytest.mark.parametrize(
    ("data", "number"),
    [  # from Kafka's own UtilsTest
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_lie_where_the_java_client_puts_them(data: bytes, number: int) -> None:
    assert murmur2(data) == number % 2**32
    assert partition_of(data.decode(), 12) == (number & 0x7FFFFFFF) % 12


@given(st.binary(max_size=70))
def test_the_hash_is_the_library_s(data: bytes) -> None:
    assert murmur2(data) == library_murmur2(data)


@given(st.builds(Position, st.integers(0, 2**62), st.integers(0, 2**50), st.integers(-(2**50), 2**50)))
def test_positions_survive_the_metadata_of_a_commit(told: Position) -> None:
    assert position(told.offset, metadata(told)) == told


@pytest.mark.parametrize("text", [None, "", "x y", "1", "1 2 3", "--1 2"])
def test_of_a_foreign_commit_only_the_offset_is_known(text: str | None) -> None:
    assert position(7, text) == Position(7, 0, 0)


async def test_a_cancellation_that_nobody_asked_for_is_an_outage() -> None:
    with pytest.raises(Unavailable, match="gave up"):
        async with answering(1):
            raise asyncio.CancelledError

    async def waits() -> None:
        async with answering(10):
            await asyncio.sleep(10)

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(Unavailable, match="does not answer within"):
        async with answering(0.01):
            await asyncio.sleep(10)


def test_a_backlog_hands_over_in_order_and_only_what_was_sought() -> None:
    backlog = Backlog()
    backlog.add(ONE, records(ONE, 0, 5))
    assert backlog.deal({ONE}, 10) == {}
    backlog.seek(ONE, 2)
    backlog.add(ONE, records(ONE, 0, 5))
    backlog.add(ONE, records(ONE, 3, 8))
    assert offsets(backlog.deal({ONE, TWO}, 4)[ONE]) == [2, 3, 4, 5]
    assert (backlog.position(ONE), backlog.fetched_to(ONE)) == (6, 8)
    assert backlog.deal(set(), 4) == {}


def test_going_back_a_little_needs_no_broker() -> None:
    backlog = Backlog()
    assert not backlog.seek(ONE, 0)
    backlog.add(ONE, records(ONE, 0, 10))
    backlog.deal({ONE}, 6)
    assert backlog.seek(ONE, 4)
    assert offsets(backlog.deal({ONE}, 9)[ONE]) == [4, 5, 6, 7, 8, 9]
    assert backlog.seek(ONE, 10)
    assert not backlog.seek(ONE, 0)
    assert backlog.fetched_to(ONE) == 0
    assert not backlog.seek(ONE, 99)
    assert backlog.fetched_to(ONE) == 99


def test_a_deal_is_fair_and_takes_turns() -> None:
    backlog = Backlog()
    for place, end in ((ONE, 3), (TWO, 50)):
        backlog.seek(place, 0)
        backlog.add(place, records(place, 0, end))
    assert {place: len(given) for place, given in backlog.deal({ONE, TWO}, 20).items()} == {ONE: 3, TWO: 17}
    backlog.seek(ONE, 0)
    backlog.add(ONE, records(ONE, 0, 3))
    assert {place for _ in range(2) for place in backlog.deal({ONE, TWO}, 1)} == {ONE, TWO}


def test_a_full_backlog_says_so() -> None:
    backlog = Backlog()
    backlog.seek(ONE, 0)
    backlog.add(ONE, records(ONE, 0, LARGEST))
    assert backlog.is_full(ONE)
    backlog.deal({ONE}, 1)
    assert not backlog.is_full(ONE)
    backlog.forget([ONE])
    assert ONE not in backlog.sought()


def test_the_plan_names_every_topic_that_a_service_reads_or_writes() -> None:
    planned = topics.plans()
    used = {name for build in composition.SERVICES.values() for name in (*build({}).consumes, *build({}).produces)}
    assert used <= set(planned)
    for read in composition.read_together().values():
        assert len({planned[name].partitions for name in read}) == 1
    assert planned["profiles"].configs["cleanup.policy"] == "compact"
    assert planned["interactions"].configs["retention.ms"] == "-1"


def test_copies_follow_the_number_of_brokers_unless_they_are_set() -> None:
    plan = Plan()
    assert [plan.replicas(brokers) for brokers in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert [plan.all_configs(brokers)["min.insync.replicas"] for brokers in (1, 2, 3)] == ["1", "1", "2"]
    fixed = Plan(replication=2, min_insync=2)
    assert (fixed.replicas(9), fixed.all_configs(9)["min.insync.replicas"]) == (2, "2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("topics: {a: {partition: 3}}", r"unknown field `partition` - at `\$.topics\[...\]`"),
        ("topics: {a: {partitions: three}}", r"Expected `int \| null`"),
        ("topics: {a: {partitions: 0}}", ">= 1"),
        ("partitions: 3", "missing required field `topics`"),
        ("topics: [", "while parsing"),
    ],
)
def test_a_wrong_plan_is_told_precisely(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text(text)
    with pytest.raises(WrongSetting, match=says):
        topics.plans(file)


def test_a_plan_gives_kafka_texts(tmp_path: Path) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text("partitions: 2\ntopics:\n  a:\n  b: {partitions: 3, configs: {x: true, y: -1}}\n")
    assert topics.plans(file) == {"a": Plan(2), "b": Plan(3, configs={"x": "true", "y": "-1"})}
    with pytest.raises(WrongSetting, match="cannot be read"):
        topics.plans(tmp_path / "none.yaml")


def test_a_prefix_that_kafka_refuses_is_refused_at_once() -> None:
    with pytest.raises(WrongSetting, match="CARTERA_TOPIC_PREFIX"):
        composition.open_the_log(Settings(log_url="kafka://a:1", topic_prefix="a b"))
    with pytest.raises(WrongSetting, match="CARTERA_LOG_URL is not set"):
        composition.open_kafka(Settings())
