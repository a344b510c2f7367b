"""What processes use, read from /proc: CPU seconds and resident memory of one, or of it and all that came of it."""

import os
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 1024 * 1024


def family(process: int) -> set[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            children.setdefault(int(fields[1]), []).append(int(name))
    found, look = set(), [process]
    while look:
        found.add(one := look.pop())
        look += children.get(one, [])
    return found


def cpu(process: int) -> float:
    """CPU seconds that a process has used."""
    fields = _stat(process)
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def family_cpu(process: int) -> float:
    """CPU seconds of a process and its descendants, those that have ended and were waited for included."""
    fields = [_stat(one) for one in family(process)]
    return sum(int(part) for one in fields if one for part in one[11:15]) / TICKS


def resident(processes: Iterable[int]) -> int:
    """Bytes of resident memory, shared pages counted once a process."""
    return sum(map(_resident, processes))


class Memory:
    """Samples the memory of some processes four times a second and keeps the highest sum."""

    def __init__(self, processes: Callable[[], Collection[int]]) -> None:
        self._processes = processes
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The highest sum seen, in bytes."""
        self._done.set()
        self._thread.join()
        return self._peak

    def _run(self) -> None:
        while not self._done.wait(0.25):
            self._peak = max(self._peak, resident(self._processes()))


def _stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; nothing when the process is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0
