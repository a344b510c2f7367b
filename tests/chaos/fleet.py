"""The service processes: started, kept running as a supervisor would, stopped and hurt."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.plan import REPLICAS
from tests.system.house import House

LOOK_SECONDS = 0.1
START_SECONDS = 90.0


class Replica:
    """One place for a process of a service: a data folder of its own, and the process that is in it now."""

    def __init__(self, service: str, number: int, folder: Path, environment: Mapping[str, str]) -> None:
        self.service = service
        self.house = House(folder / f"{service}-{number}", environment, services=(service,))
        self.wanted = False
        self.url: str | None = None
        self.hurt = False
        self.paused_until = 0.0
        self.lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process that runs here."""
        process = self.house.process
        return None if process is None or process.poll() is not None else process.pid

    def send(self, number: signal.Signals) -> int | None:
        """Send a signal to the process if there is one; its id."""
        pid = self.pid
        with suppress(ProcessLookupError):
            if pid is not None:
                os.kill(pid, number)
                return pid
        return None


class Fleet:
    """All replicas of all services. A thread for each replica starts it again whenever it is gone and wanted."""

    def __init__(self, folder: Path, environment: Mapping[str, str], services: Sequence[str] = tuple(REPLICAS)) -> None:
        self.replicas = [
            Replica(service, number, folder, environment) for service in services for number in range(REPLICAS[service])
        ]
        self.starts: Counter[str] = Counter()
        self.failed_starts = 0
        self.ended_by_themselves: list[str] = []
        self.bad_exits: list[str] = []
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._keep, args=(one,), daemon=True) for one in self.replicas]

    def start(self, counts: Mapping[str, int]) -> None:
        """Start so many replicas of each service, all at once, and wait until all serve."""
        self.scale(counts)
        for thread in self._threads:
            thread.start()
        self.wait(START_SECONDS)

    def scale(self, counts: Mapping[str, int]) -> None:
        """Say how many replicas of services there shall be; those too many end in order."""
        for service, count in counts.items():
            for number, replica in enumerate(one for one in self.replicas if one.service == service):
                replica.wanted = number < count

    def wait(self, patience: float) -> None:
        """Until everything that is wanted serves. Raises TimeoutError."""
        deadline = time.monotonic() + patience
        while missing := [one for one in self.replicas if one.wanted and one.url is None]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{missing[0].house.output.name} does not serve")
            time.sleep(LOOK_SECONDS)

    def entrances(self) -> list[str]:
        """The addresses at which events can be posted now."""
        return [one.url for one in self.replicas if one.service == "ingest" and one.url is not None]

    def running(self) -> list[Replica]:
        """The replicas that have a process, served or about to."""
        return [one for one in self.replicas if one.pid is not None]

    def kill(self, replica: Replica) -> int | None:
        """kill -9; the id of the process."""
        replica.hurt = True
        return replica.send(signal.SIGKILL)

    def pause(self, replica: Replica, seconds: float) -> bool:
        """SIGSTOP for so long; whether there was a process."""
        replica.paused_until = time.monotonic() + seconds
        return replica.send(signal.SIGSTOP) is not None

    def let_go(self, *, all_of_them: bool = False) -> None:
        """SIGCONT to those whose pause is over."""
        for replica in self.replicas:
            if replica.paused_until and (all_of_them or time.monotonic() >= replica.paused_until):
                replica.paused_until = 0.0
                replica.send(signal.SIGCONT)

    def end(self) -> None:
        """All of them end in order; what does not is told in `bad_exits`."""
        self.let_go(all_of_them=True)
        for replica in self.replicas:
            replica.wanted = False
        deadline = time.monotonic() + 40
        while self.running() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        self.bad_exits += [f"{one.house.output.name} did not end within 40 s" for one in self.running()]
        self.abandon()

    def abandon(self) -> None:
        """Whatever still runs is killed, and what is about to start too."""
        self._ending.set()
        for replica in self.replicas:
            replica.wanted = False
        for thread in self._threads:
            while thread.is_alive():
                for replica in self.running():
                    self.kill(replica)
                thread.join(1)

    def _keep(self, replica: Replica) -> None:
        while not self._ending.is_set():
            with suppress(OSError):
                self._look(replica)
            self._ending.wait(LOOK_SECONDS)

    def _look(self, replica: Replica) -> None:
        if replica.wanted and replica.pid is None:
            self._note_end(replica)
            self._begin(replica)
        elif not replica.wanted and replica.pid is not None and not replica.paused_until:
            replica.url = None
            self._stop(replica)

    def _begin(self, replica: Replica) -> None:
        self.starts[replica.service] += 1
        replica.hurt = False
        try:
            replica.house.start(START_SECONDS)
            replica.url = replica.house.url
        except AssertionError:
            # killed while it started, or a server was away, which it says in a line: it is started again
            replica.house.end()
            replica.house.process = None
            self.failed_starts += not replica.hurt

    def _note_end(self, replica: Replica) -> None:
        process, replica.url = replica.house.process, None
        if process is not None and not replica.hurt:
            self.ended_by_themselves.append(f"{replica.house.output.name}: exit code {process.returncode}")
        replica.house.process = None

    def _stop(self, replica: Replica) -> None:
        process = replica.house.process
        assert process is not None
        process.terminate()
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        if process.poll() is None:
            self.bad_exits.append(f"{replica.house.output.name} did not end within 30 s")
            replica.house.kill()
        elif process.returncode and not replica.hurt:
            self.bad_exits.append(f"{replica.house.output.name} ended with {process.returncode}")
        replica.house.process = None
