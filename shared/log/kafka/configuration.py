"""How the clients are set, as one value: nothing that matters is left to a default of the library.

The library's own defaults lose data (`acks=1`, `auto_offset_reset=latest`, automatic commits), so every setting that
decides is written here and a test reads it back from the clients.
"""

from dataclasses import dataclass
from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from shared.log.kafka.address import Address

ANSWER_SECONDS = 8.0
"""After which a request to a broker counts as not answered, all repetitions included."""

APPEND_SECONDS = 10.0
"""After which an append counts as not acknowledged."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of all clients of one log.

    A member that dies is noticed after `session`, one that stops says so; every member looks for changes of the group
    each `heartbeat`. Both together keep a takeover below 15 seconds. Membership is not static: a static member does
    not say that it leaves, so every stop would cost the whole session. Bytes are those of one partition, compressed for
    fetches and as given for batches.
    """

    address: Address
    session_ms: int = 8_000
    heartbeat_ms: int = 1_000
    longest_batch_ms: int = 300_000
    batch_bytes: int = 512 * 1024
    fetch_bytes: int = 256 * 1024
    fetch_wait_ms: int = 500

    def client(self) -> dict[str, Any]:
        """What all clients have in common. Metadata is renewed often enough to see topics that come back."""
        return {
            **self.address.connection(),
            "client_id": "cartera",
            "request_timeout_ms": int(ANSWER_SECONDS * 1000),
            "retry_backoff_ms": 100,
            "metadata_max_age_ms": 15_000,
            "connections_max_idle_ms": 540_000,
        }

    def producer(self) -> dict[str, Any]:
        """Acknowledged by all in-sync replicas and repeated without end under the same number, so never twice.

        The library keeps one request per broker under way, which keeps the order; throughput comes from large batches.
        """
        return {
            **self.client(),
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": "zstd",
            "max_batch_size": self.batch_bytes,
            "max_request_size": 16 * 1024 * 1024,
            "linger_ms": 0,
        }

    def consumer(self, group: str) -> dict[str, Any]:
        """Positions are ours: no commit and no jump of the library's own. Range keeps equal numbers together."""
        return {
            **self.client(),
            "group_id": group,
            "group_instance_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
            "check_crcs": True,
            "partition_assignment_strategy": (RangePartitionAssignor,),
            "session_timeout_ms": self.session_ms,
            "heartbeat_interval_ms": self.heartbeat_ms,
            "rebalance_timeout_ms": self.session_ms,
            "max_poll_interval_ms": self.longest_batch_ms,
            "max_partition_fetch_bytes": self.fetch_bytes,
            "fetch_max_bytes": 64 * self.fetch_bytes,
            "fetch_min_bytes": 1,
            "fetch_max_wait_ms": self.fetch_wait_ms,
        }
