"""The first `make run`: the whole sample year through all four stages, with the memory of all processes together."""

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from services.replay import EVENTS
from tests.system.house import House, eventually

MEGABYTE = 1024 * 1024


def measure() -> dict[str, Any]:
    """Seconds from the start to the picture, events per second, peak resident memory summed over the processes."""
    with tempfile.TemporaryDirectory() as place:
        house = House(Path(place) / "data", sample=True)
        memory = _Memory()
        started = time.monotonic()
        house.start()
        assert house.process is not None
        memory.follow(house.process.pid)
        eventually(lambda: "Where to look next" in house.printed(), 900)
        seconds = time.monotonic() - started
        peak = memory.stop()
        idle = _idle(house.process.pid)
        house.stop()
        sizes = {file.name: file.stat().st_size // MEGABYTE for file in sorted(house.folder.glob("*.db"))}
    return {
        "events": EVENTS,
        "seconds": round(seconds, 1),
        "events_per_second": round(EVENTS / seconds),
        "peak_megabytes": peak // MEGABYTE,
        "idle_cpu_seconds_per_minute": idle,
        "file_megabytes": sizes,
    }


def _idle(process: int, minutes: float = 1.0) -> float:
    """CPU seconds that the platform uses in a minute without events."""
    time.sleep(5)
    before = _cpu(process)
    time.sleep(60 * minutes)
    return round((_cpu(process) - before) / minutes, 2)


def _cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Memory:
    """Samples the resident memory of all processes of one session, four times a second."""

    def __init__(self) -> None:
        self._peak = 0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, session: int) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, args=(session,), daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The highest sum seen, in bytes."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        return self._peak

    def _run(self, session: int) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._done.wait(0.25):
            self._peak = max(self._peak, sum(_resident(process) for process in _members(session)) * page)


def _members(session: int) -> list[str]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                found.append(name)
    return found


def _resident(process: str) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
