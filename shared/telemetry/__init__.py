"""What a process tells about itself: log lines without personal data, and metrics. The event log is something else."""

from shared.telemetry.logs import configure, logger, scrub
from shared.telemetry.metrics import LATENCY, METRICS, Metric, Metrics

__all__ = ["LATENCY", "METRICS", "Metric", "Metrics", "configure", "logger", "scrub"]
