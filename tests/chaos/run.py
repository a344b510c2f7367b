"""One run: start, load and hurt, heal, drain, stop, look."""

import json
import platform
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg

from services.composition import SERVICES
from tests.chaos import classes, evidence, load
from tests.chaos.checks import Found, overtaken, uncounted, violations
from tests.chaos.faults import Injector
from tests.chaos.fleet import Fleet
from tests.chaos.monitor import Monitor, positions
from tests.chaos.oracle import ms_of
from tests.chaos.plan import REPLICAS, Sizes, plan
from tests.chaos.reading import Topics
from tests.chaos.receiver import Receiver
from tests.chaos.sender import Journal, Pace, Sender
from tests.chaos.servers import Servers

DRAIN_SECONDS = 300.0
"""Waiting any longer would tell nothing new: a minute is what is promised."""

TIMER_SECONDS = classes.WARM_DAYS * 86_400 + 4
"""After the last purchase no timer of the run's own definitions fires any more."""

QUIET_SECONDS = 5
"""Mails that wait for them leave, and a closed day that changed is measured anew."""

USUAL = {service: min(2, most) for service, most in REPLICAS.items()}
"""The replicas at the start and at the end."""

UNWANTED = ("second-purchase", "thank-you", "win-back")
"""Shipped campaigns that only plan or refuse here; `welcome` stays."""

MOST_WAITING = 5_000
"""Records that may wait for the slowest service before the senders wait too: a load that can be borne."""

MOVING = (
    "SELECT (SELECT count(*) FROM segment.change), (SELECT sum(revision) FROM campaign.message), "
    "(SELECT sum(next_offset) FROM profile.position)"
)
"""What stands still when nothing is left to do."""

POSTPONED = "SELECT count(*) FROM campaign.dispatch WHERE phase = 'claimed'"
"""A mail whose server did not answer goes again after a minute: until then nothing moves, and yet not all is done."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What is kept of a run, as JSON."""

    seed: int
    kept: dict[str, Any]

    @property
    def good(self) -> bool:
        """Whether nothing was wrong."""
        return not any(self.kept["violations"].values())


class Run:
    """One seed on running servers, in a folder of its own."""

    def __init__(self, seed: int, sizes: Sizes, servers: Servers, folder: Path, say: Say) -> None:
        self.seed = seed
        self.sizes = sizes
        self.servers = servers
        self.folder = folder
        self.say = say
        self.name = f"r{seed}"
        self.topics = Topics(servers.bootstrap, f"{self.name}.")
        self.receiver = Receiver()
        folder.mkdir(parents=True)
        environment = servers.environment(f"{self.name}.", {"CARTERA_SMTP_URL": self.receiver.url})
        self.fleet = Fleet(folder, environment)

    def do(self) -> Result:
        """All of it. Raises what went wrong with the run itself, not with what is examined."""
        started = time.monotonic()
        self.servers.empty()
        self.say("starting")
        try:
            self._start()
            self.say(f"ready after {time.monotonic() - started:.0f} s")
            monitor = Monitor(self.servers.database.url)
            injector = Injector(self.fleet, self.servers, monitor)
            journal = self._load(injector, monitor)
            loaded = time.monotonic()
            recovery = self._drain(injector)
            self._settle(loaded)
            found = self._look(journal, monitor)
        finally:
            self.fleet.abandon()
            self.receiver.close()
        found.recovery = recovery
        found.noise = [*found.noise, *injector.failures]
        wrong = violations(found)
        self.topics.delete()
        return Result(self.seed, self._kept(found, journal, injector, monitor, wrong, time.monotonic() - started))

    def _start(self) -> None:
        self.fleet.start(USUAL)
        self._put("segment", *((f"segmentations/{one['segmentation']}", one) for one in classes.DEFINITIONS))
        self._put(
            "campaign",
            ("settings", {"quiet_hours": None}),
            ("templates/gone-cold", classes.TEMPLATE),
            ("campaigns/gone-cold", classes.CAMPAIGN),
        )
        for name in UNWANTED:
            self._ask("campaign", "DELETE", f"campaigns/{name}")

    def _put(self, service: str, *documents: tuple[str, dict[str, Any]]) -> None:
        for path, document in documents:
            self._ask(service, "PUT", path, document)

    def _ask(self, service: str, method: str, path: str, document: dict[str, Any] | None = None) -> None:
        address = next(one.url for one in self.fleet.replicas if one.service == service and one.url)
        key = {"Authorization": "Bearer root"}
        answer = httpx.request(method, f"{address}/v1/{path}", json=document, headers=key, timeout=30)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")

    def _load(self, injector: Injector, monitor: Monitor) -> Journal:
        """Send and hurt. The faults keep step with the load, so that there are as many of them for each event."""
        pace = Pace(self.sizes.events / self.sizes.seconds, MOST_WAITING, monitor.applied)
        sender = Sender(self.fleet.entrances, self.servers.bootstrap, f"{self.name}.", pace)
        sender.start(load.drafts(self.seed, self.sizes.events, self.name), self.seed)
        started = time.monotonic()
        told = [0.0]

        def now() -> float:
            passed, done = time.monotonic() - started, sender.journal.done
            if passed - told[0] >= 10:
                told[0] = passed
                self.say(f"{passed:.0f} s: {done} events ({done / passed:.0f}/s), {_told(injector.done)}")
            return self.sizes.seconds * done / self.sizes.events if sender.is_busy() else self.sizes.seconds

        injector.run(plan(self.seed, self.sizes), now)
        while sender.is_busy():
            self.fleet.let_go()
            now()
            time.sleep(0.1)
        return sender.join()

    def _drain(self, injector: Injector) -> float:
        """Heal, and wait until every service has applied everything; how long that took."""
        injector.heal(USUAL)
        healed = time.monotonic()
        together = {name: build({}).consumes for name, build in SERVICES.items()}
        topics = sorted({topic for consumed in together.values() for topic in consumed})
        still = 0
        while still < 2 and time.monotonic() - healed < DRAIN_SECONDS:
            ends = self.topics.ends(topics)
            at = positions(self.servers.database.url)
            behind = sum(
                end - (at[name, topic, part].next_offset if (name, topic, part) in at else 0)
                for name, consumed in together.items()
                for (topic, part), end in ends.items()
                if topic in consumed
            )
            still = still + 1 if behind == 0 else 0
            time.sleep(0.5)
        took = time.monotonic() - healed
        self.say(f"drained after {took:.1f} s")
        return took

    def _look(self, journal: Journal, monitor: Monitor) -> Found:
        """Everything that can be seen while the services run, then stop them, then the rest."""
        url = self.servers.database.url
        now_ms = int(time.time() * 1000)
        known, standing = evidence.records(url), evidence.memberships(url)
        profile = next(one.url for one in self.fleet.replicas if one.service == "profile" and one.url)
        asked = evidence.by_rest(str(profile), known, self.seed)
        monitor.end()
        self.fleet.end()
        self.say("stopped, looking")
        noise = [*self.fleet.ended_by_themselves, *self.fleet.bad_exits, *evidence.faults(self.folder)]
        return Found(
            told=[json.loads(one) for one in journal.acknowledged],
            own=evidence.said_by_campaign(self.topics),
            wrong=frozenset(journal.wrong),
            timeline=evidence.timeline(url),
            letters=evidence.letters(url),
            records=known,
            by_rest=asked,
            published=evidence.versions(self.topics.read("profiles")),
            changes=evidence.events(self.topics.read("segment-changes")),
            memberships=standing,
            messages=evidence.events(self.topics.read("messages")),
            sending=evidence.sending(url),
            arrived=dict(self.receiver.arrived),
            outboxes=evidence.outboxes(url),
            backwards=monitor.backwards,
            noise=[*noise, *journal.complaints],
            leaks=evidence.leaks(self.folder),
            now_ms=now_ms,
        )

    def _settle(self, loaded: float) -> None:
        """Until nothing moves any more since the load ended: no timer fires and no mail leaves."""
        url, before, quiet = self.servers.database.url, None, 0
        while quiet < QUIET_SECONDS and time.monotonic() - loaded < 2 * DRAIN_SECONDS:
            time.sleep(1)
            with psycopg.connect(url) as server:
                now = server.execute(MOVING.encode()).fetchone()
                postponed = server.execute(POSTPONED.encode()).fetchone() != (0,)
            quiet = quiet + 1 if now == before and not postponed and time.monotonic() - loaded > TIMER_SECONDS else 0
            before = now

    def _kept(
        self,
        found: Found,
        journal: Journal,
        injector: Injector,
        monitor: Monitor,
        wrong: dict[str, list[str]],
        took: float,
    ) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(took, 1),
            "versions": {"Python": platform.python_version(), **self.servers.versions()},
            "faults": dict(injector.done),
            "starts": dict(self.fleet.starts),
            "failed_starts": self.fleet.failed_starts,
            "events": len(journal.acknowledged),
            "wrong": len(journal.wrong),
            "duplicates": journal.duplicates,
            "posted": journal.posted,
            "by_topic": journal.by_topic,
            "answers": dict(journal.answers),
            "late": sum(found.now_ms - ms_of(one["time"]) > 3_600_000 for one in found.told),
            "customers": len(found.records),
            "versions_published": len(found.published),
            "class_changes": len(found.changes),
            "class_changes_distinct": len({one["id"] for one in found.changes}),
            "mails": sum(found.arrived.values()),
            "open_messages": len(found.sending),
            "recovery_seconds": round(found.recovery, 1),
            "takeover_seconds": [round(one, 1) for one in monitor.takeovers],
            "overtaken": overtaken(found),
            "fenced": evidence.fenced(self.folder),
            "uncounted": len(uncounted(found)),
            "position_samples": monitor.samples,
            "violations": wrong,
        }


def _told(done: Counter[str]) -> str:
    names = {"kill": "kills", "long stop": "long stops", "broker_kill": "brokers", "database": "databases"}
    return ", ".join(f"{done[kind]} {name}" for kind, name in names.items())
