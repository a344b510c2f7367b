"""The rows of benchmarks/README.md: what was measured, the goal, the figure, the command and the machine."""

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

HEAD = "| what | goal | measured | command | machine |\n|---|---|---|---|---|"


class Row(NamedTuple):
    """One figure with its goal; both are texts with their unit."""

    what: str
    goal: str
    measured: str


def lines(rows: Iterable[Row], command: str) -> str:
    """The rows in Markdown."""
    where = machine()
    return "\n".join(f"| {' | '.join(row)} | `python -m benchmarks {command}` | {where} |" for row in rows)


def machine() -> str:
    """Cores and how busy they were: figures of a busy machine are compared with nothing."""
    model = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    return f"{os.cpu_count()} cores, {model}, load {os.getloadavg()[1]:.1f}"


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
