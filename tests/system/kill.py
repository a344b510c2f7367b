"""Kill -9 the whole platform at random moments of the replay, many times, and compare with an undisturbed run.

`python -m tests.system.kill [KILLS] [HOUSEHOLDS] [SEED]` (default: 100 kills, all households, seed 17).
"""

import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.system.house import House
from tests.system.state import compare
from tests.system.test_resume import finish, prepare


def main(kills: int = 100, households: int | None = None, seed: int = 17) -> int:
    """Run both and compare; 0 when they are equal to the byte."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as place, ExitStack() as ending:
        quiet, noisy = Path(place) / "quiet", Path(place) / "noisy"
        for folder in (quiet, noisy):
            prepare(folder, households)
        house = House(quiet, sample=True)
        ending.callback(house.end)
        started = time.monotonic()
        done = finish(house.start(), 900)
        length = time.monotonic() - started
        print(f"undisturbed run: {length:.1f} s", flush=True)
        house = House(noisy, sample=True)
        ending.callback(house.end)
        for number in range(1, kills + 1):
            house.start(60)
            time.sleep(chance.uniform(0.05, max(0.5, 3 * length / kills)))
            house.kill()
            if number % 10 == 0:
                print(f"{number} kills", flush=True)
        finish(house.start(60), 900)
        found = compare(quiet, noisy, done)
    print("\n".join(found) if found else f"equal to the byte after {kills} kills (seed {seed})")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
