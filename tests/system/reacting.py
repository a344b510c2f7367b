"""`cartera serve` whose imports plan messages, as those of the sample do under `cartera up`."""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from services.starting import Start, start
from shared import telemetry
from shared.config import read_settings


def main() -> None:
    """The arguments that `House` gives: serve NAME… --port 0 --data FOLDER."""
    names = sys.argv[2 : sys.argv.index("--port")]
    telemetry.configure(sys.stderr)
    settings = read_settings(data_dir=Path(sys.argv[-1]))
    what = Start(
        settings=settings, names=tuple(names), host="127.0.0.1", port=0, sample=False, reactions_on_history=True
    )
    asyncio.run(start(what, Console()))


if __name__ == "__main__":
    main()
