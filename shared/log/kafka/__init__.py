"""The log on Apache Kafka: acknowledged by all in-sync replicas, shared by processes through consumer groups."""

from shared.log.kafka.address import Address, parse
from shared.log.kafka.log import KafkaLog, open_log
from shared.log.kafka.partitioning import partition_of
from shared.log.kafka.topics import Actual, Plan, Topics

__all__ = ["Actual", "Address", "KafkaLog", "Plan", "Topics", "open_log", "parse", "partition_of"]
