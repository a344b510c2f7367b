"""Runs: by a seed, with everything going wrong by chance; or by a place, at which one thing goes wrong once."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from structlog.testing import capture_logs

from tests.simulation.company import lay_out
from tests.simulation.faults import Action, Calm, Chance, Fate, Once, Point
from tests.simulation.judging import State, end_state, faults
from tests.simulation.load import Sitting, sittings
from tests.simulation.virtual import Stuck, VirtualLoop
from tests.simulation.world import NotAtRest, Scenario, World


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of run: what happens in it, and how. `measured`: with definitions that look at the population."""

    name: str
    scenario: Scenario
    customers: int
    days: tuple[int, ...] = (0, 3, 8, 12)
    measured: bool = True

    def load(self) -> Sequence[Sitting]:
        """What is posted."""
        return sittings(self.customers, days=self.days)


ROUGH = Scenario(workers=2, skew=timedelta(hours=1), copies=0.2, shaken=True, slowest=0.05)
WHOLE = Kind("whole", ROUGH, customers=6)
"""All services, with day closes and messages; time goes on from one rest to the next."""

HURRIED = Kind("hurried", replace(ROUGH, services=("profile", "segment"), hurried=True), customers=8, measured=False)
"""Time leaps over days while events are still under way: timers must wait for them."""

SMALL = Kind("small", Scenario(), customers=2, days=(0, 3, 5), measured=False)
"""As little as has everything: for one run per place at which something may go wrong."""

KINDS = (WHOLE, HURRIED, SMALL)


class Outcome(NamedTuple):
    """What became of a run. `told` is the command by which it can be played again."""

    told: str
    faults: Sequence[str]
    points: int
    happened: dict[str, int]
    trace: int


class Stage:
    """A folder with what runs begin with and how undisturbed ones end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.undisturbed: dict[str, State] = {}
        self.places: dict[str, list[Point]] = {}
        self._played = 0

    def prepare(self, kind: Kind) -> None:
        """Lay out the databases of a kind of run, and let one run be without any disturbance."""
        lay_out(self._template(kind), kind.measured)
        calm = replace(Scenario(), services=kind.scenario.services)
        fate = Calm()
        world, failed = self._play(kind, calm, fate, 0)
        self.undisturbed[kind.name] = end_state(world.folder)
        self.places[kind.name] = fate.points
        failed += faults(world, self.undisturbed[kind.name])
        shutil.rmtree(world.folder)
        if failed:
            raise NotAtRest(f"undisturbed, the {kind.name} run ends with: {'; '.join(failed)}")

    def by_seed(self, seed: int) -> Outcome:
        """A run in which chance decides; the seed tells everything, also the kind."""
        kind = kind_of(seed)
        scenario = replace(kind.scenario, workers=2 + seed % 2)
        return self._outcome(kind, scenario, Chance(Random(seed)), seed, f"--seed {seed}")

    def by_place(self, number: int, action: Action) -> Outcome:
        """A small run in which one thing goes wrong at one place."""
        return self._outcome(SMALL, SMALL.scenario, Once(number, action), 0, f"--place {number} {action}")

    def _outcome(self, kind: Kind, scenario: Scenario, fate: Fate, seed: int, told: str) -> Outcome:
        world, failed = self._play(kind, scenario, fate, seed)
        found = failed or faults(world, self.undisturbed[kind.name])
        shutil.rmtree(world.folder)
        return Outcome(told, found, world.counter.points, world.counter.happened, world.counter.trace)

    def _play(self, kind: Kind, scenario: Scenario, fate: Fate, seed: int) -> tuple[World, list[str]]:
        self._played += 1
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        shutil.copytree(self._template(kind), folder, dirs_exist_ok=True)
        world = World(folder, scenario, fate, seed)
        try:
            with capture_logs(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
                runner.run(world.run(kind.load()))
        except (NotAtRest, Stuck) as reason:
            return world, [f"does not come to rest: {reason}"]
        except Exception as error:
            return world, [f"ends with {type(error).__name__}: {error}"]
        return world, []

    def _template(self, kind: Kind) -> Path:
        return self.folder / f"begin-{kind.name}"


def kind_of(seed: int) -> Kind:
    """The kind of run that a seed plays."""
    return HURRIED if seed % 3 == 0 else WHOLE


@contextmanager
def stage(kinds: Sequence[Kind] = KINDS) -> Iterator[Stage]:
    """A stage in a temporary folder, in memory where the system has such a place."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="cartera-simulation-", dir=memory if memory.is_dir() else None) as place:
        built = Stage(Path(place))
        for kind in kinds:
            built.prepare(kind)
        yield built


def choices(places: Sequence[Point], every: bool) -> list[tuple[int, Action]]:
    """What to try: everything that may go wrong at every place, or at one place of each sort."""
    found: list[tuple[int, Action]] = []
    known: set[tuple[str, str, str]] = set()
    for point in places:
        sort = (point.process.partition("-")[0], point.what, point.when)
        if every or sort not in known:
            known.add(sort)
            found += [(point.number, action) for action in point.actions()]
    return found
