"""`python -m benchmarks [NAME]`: run one benchmark or all of them and print what was measured as JSON."""

import json
import sys

from benchmarks import ingest, latency, log, replay, stores, timers

ALL = {
    "ingest": ingest.measure,
    "replay": replay.measure,
    "latency": latency.measure,
    "timers": timers.measure,
    "log": log.measure,
    "stores": stores.measure,
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, all without a name; 2 for a name that does not exist."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"no benchmark is called {unknown[0]!r}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    for name in names or ALL:
        print(json.dumps({"benchmark": name, **ALL[name]()}, indent=2), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
