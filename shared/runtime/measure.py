"""What the runtime tells the metrics about a batch."""

from collections import Counter
from datetime import datetime

from shared.runtime.processor import Applied
from shared.runtime.service import Service
from shared.telemetry import Metrics


def batch(metrics: Metrics, service: Service, applied: Applied, seconds: float, now: datetime) -> None:
    """Count what a batch did: events by type and outcome, dead letters by code, duration, age of its events."""
    kinds: Counter[str] = Counter()
    stage = metrics.stage.labels(service.name)
    for event in applied.events:
        kind, received = service.describe(event)
        kinds[kind] += 1
        if received is not None:
            stage.observe(max(0.0, (now - received).total_seconds()))
    for kind, count in kinds.items():
        metrics.handled(service.name, kind, "applied", count)
    if applied.duplicates:
        metrics.handled(service.name, "", "duplicate", applied.duplicates)
    for error in applied.rejected:
        metrics.handled(service.name, "", "rejected")
        metrics.dead_letters.labels(service.name, error.code).inc()
    metrics.batch.labels(service.name).observe(seconds)
