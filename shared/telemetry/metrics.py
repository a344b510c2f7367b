"""Every metric of the platform, in one table, and the registry of one process as a value."""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from shared.events.interactions import BEGIN, END, PAYLOADS
from shared.events.profiles import UPDATED
from shared.events.segments import CHANGED

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 300, 600)
"""Seconds: the buckets of OpenTelemetry's messaging conventions up to 10, then up to the ten minutes of an outage."""

MESSAGE_STATES = ("planned", "sent", "delivered", "clicked", "converted", "refused", "failed", "held")
KNOWN_TYPES = frozenset({*PAYLOADS, BEGIN, END, UPDATED, CHANGED, *(f"message.{state}" for state in MESSAGE_STATES)})


class Metric(NamedTuple):
    """One row of the table; `meaning` is shown on /metrics and in docs/operations.md."""

    name: str
    labels: tuple[str, ...]
    meaning: str


METRICS = (
    Metric("cartera_events_total", ("service", "type", "outcome"), "Events: accepted, applied, duplicate or rejected."),
    Metric("cartera_lag_records", ("service", "topic", "partition"), "Records appended but not yet applied."),
    Metric(
        "cartera_stage_seconds", ("service",), "From the arrival of an event to the commit of what a stage made of it."
    ),
    Metric("cartera_batch_seconds", ("service",), "One batch: load, evolve, react, save and commit."),
    Metric("cartera_dead_letters_total", ("service", "code"), "Events set aside as dead letters, by reason."),
    Metric(
        "cartera_webhooks_total", ("source", "outcome"), "Webhooks received: accepted, rejected, ignored, or refused."
    ),
    Metric("cartera_timers_due", (), "Timers whose moment has passed and that have not fired."),
    Metric("cartera_timers_late_seconds", (), "How late timers fired, from the moment they were due."),
    Metric("cartera_class_changes_total", ("segmentation", "cause"), "Class changes published."),
    Metric("cartera_messages_total", ("channel", "state"), "Messages that reached a state."),
    Metric(
        "cartera_fenced_total", ("service", "reason"), "Batches given up because another worker owns the partition."
    ),
    Metric("cartera_progress_age_seconds", ("service",), "Since a service last applied something while it had work."),
    Metric("cartera_build_info", ("version",), "Always 1; the label tells the version that runs."),
)
"""Labels are bounded: services, topics, codes, channels, definitions; never a customer, an identifier, an event id."""

_ROWS = {row.name: row for row in METRICS}


class Metrics:
    """The metrics of one process. Made by the composition root and passed on; two of them share nothing."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()
        self.version = version
        self.registry = CollectorRegistry()
        self.events = self._counter("cartera_events_total")
        self.lag = self._gauge("cartera_lag_records")
        self.stage = self._histogram("cartera_stage_seconds")
        self.batch = self._histogram("cartera_batch_seconds")
        self.dead_letters = self._counter("cartera_dead_letters_total")
        self.webhooks = self._counter("cartera_webhooks_total")
        self.timers_due = self._gauge("cartera_timers_due")
        self.timers_late = self._histogram("cartera_timers_late_seconds")
        self.class_changes = self._counter("cartera_class_changes_total")
        self.messages = self._counter("cartera_messages_total")
        self.fenced = self._counter("cartera_fenced_total")
        self.progress_age = self._gauge("cartera_progress_age_seconds")
        self._gauge("cartera_build_info").labels(version).set(1)
        self._looks: list[Callable[[], None]] = []
        ProcessCollector(namespace="cartera", registry=self.registry)

    def handled(self, service: str, kind: str, outcome: str, count: int = 1) -> None:
        """Count events; a type that is not in the vocabulary counts as `other`, so that a sender cannot add series."""
        self.events.labels(service, kind if kind in KNOWN_TYPES else "other", outcome).inc(count)

    def on_scrape(self, look: Callable[[], None]) -> None:
        """Have a function set gauges whenever the metrics are read, and only then."""
        self._looks.append(look)

    def text(self) -> bytes:
        """All of them in Prometheus' text format 0.0.4."""
        for look in self._looks:
            look()
        return generate_latest(self.registry)

    def _counter(self, name: str) -> Counter:
        return Counter(name, _ROWS[name].meaning, _ROWS[name].labels, registry=self.registry)

    def _gauge(self, name: str) -> Gauge:
        return Gauge(name, _ROWS[name].meaning, _ROWS[name].labels, registry=self.registry)

    def _histogram(self, name: str) -> Histogram:
        return Histogram(name, _ROWS[name].meaning, _ROWS[name].labels, registry=self.registry, buckets=LATENCY)
