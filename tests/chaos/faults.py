"""Does what the plan says to the processes and servers, and counts what was really done."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tests.chaos.fleet import Fleet, Replica
from tests.chaos.monitor import Monitor
from tests.chaos.plan import REPLICAS, REST_SECONDS, SESSION_SECONDS, Fault
from tests.chaos.servers import Servers

TICK_SECONDS = 0.05


class Injector:
    """Runs a plan. Servers are hurt one at a time, in a thread of their own; the rest from the thread that calls."""

    def __init__(self, fleet: Fleet, servers: Servers, monitor: Monitor) -> None:
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self._fleet = fleet
        self._servers = servers
        self._monitor = monitor

    def run(self, faults: Sequence[Fault], now: Callable[[], float]) -> None:
        """Do everything that is planned, each at its moment or as soon as it can be done. `now` is the plan's time."""
        apart = [fault for fault in faults if fault.kind in ("broker_kill", "broker_pause", "database")]
        thread = threading.Thread(target=self._hurt_servers, args=(now, apart), daemon=True)
        thread.start()
        waiting = [fault for fault in faults if fault not in apart]
        while waiting:
            if waiting[0].at <= now() and self._do(waiting[0]):
                waiting.pop(0)
            self._fleet.let_go()
            time.sleep(TICK_SECONDS)
        while thread.is_alive():
            self._fleet.let_go()
            time.sleep(TICK_SECONDS)

    def heal(self, replicas: Mapping[str, int]) -> None:
        """Everything goes on and is there, with so many replicas of each service."""
        self._fleet.let_go(all_of_them=True)
        self._fleet.scale(replicas)
        self._fleet.wait(120)

    def _do(self, fault: Fault) -> bool:
        """Do one; False when there is nobody to do it to at this moment."""
        if fault.kind == "scale":
            service = sorted(REPLICAS)[int(fault.choice * len(REPLICAS))]
            self._fleet.scale({service: min(fault.count, REPLICAS[service])})
            self.done["scaling"] += 1
            return True
        if fault.kind == "stop":
            return self._pause(fault)
        chosen = self._some(fault)
        for replica in chosen:
            pid = self._fleet.kill(replica)
            if pid is not None:
                self.done["kill"] += 1
                self.done[f"kill {replica.service}"] += 1
                self._monitor.killed(pid)
        return len(chosen) == fault.count

    def _pause(self, fault: Fault) -> bool:
        able = [one for one in self._fleet.running() if not one.paused_until]
        if not able:
            return False
        replica = able[int(fault.choice * len(able))]
        if self._fleet.pause(replica, fault.lasting):
            self.done["long stop" if fault.lasting > SESSION_SECONDS else "short stop"] += 1
        return True

    def _some(self, fault: Fault) -> Sequence[Replica]:
        """As many running processes as the fault takes, in a circle from the one it chose."""
        able = [one for one in self._fleet.running() if not one.hurt]
        first = int(fault.choice * len(able)) if able else 0
        step = max(1, len(able) // fault.count)
        return (
            [able[(first + step * number) % len(able)] for number in range(fault.count)]
            if len(able) >= fault.count
            else ()
        )

    def _hurt_servers(self, now: Callable[[], float], faults: Sequence[Fault]) -> None:
        for fault in faults:
            while now() < fault.at:
                time.sleep(TICK_SECONDS)
            try:
                self._hurt(fault)
                self.done[fault.kind] += 1
            except Exception as error:
                self.failures.append(f"{fault.kind}: {type(error).__name__}: {error}")
                with suppress(Exception):
                    self._servers.cluster.start()

    def _hurt(self, fault: Fault) -> None:
        number = 1 + int(fault.choice * self._servers.cluster.brokers)
        if fault.kind == "database":
            self._servers.crash_database(fault.lasting)
            return
        if fault.kind == "broker_kill":
            self._servers.crash_broker(number, fault.lasting)
        else:
            self._servers.pause_broker(number, fault.lasting)
        time.sleep(REST_SECONDS)
