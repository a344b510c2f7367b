"""The report of a series of runs as Markdown. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.chaos.checks import CHECKS

HEAD = """# Chaos

Written by `python -m tests.chaos` (`make chaos`); how it works and what is claimed stands in
[operations](operations.md#chaos). Services run as processes of their own on Kafka and PostgreSQL, each in up to three
replicas; events are posted and written to source topics while everything is killed, stopped and restarted. After each
run all that is there is held against an independent count of the acknowledged events.
"""
CONFIDENCE = 3.0
"""No failure among N independent trials: with 95 % confidence the chance of one is below 3/N."""

Result = Mapping[str, Any]


def markdown(results: Sequence[Result]) -> str:
    """The whole page."""
    runs = [result for result in results if "embedded" not in result]
    whole = [result for result in runs if "broken" not in result]
    parts = [HEAD, _verdict(runs), _sizes(whole), _times(whole), _invariants(whole), _list(runs)]
    parts += [_embedded(result) for result in results if "embedded" in result]
    parts += [_versions(whole)]
    return "\n".join(part for part in parts if part)


def _verdict(runs: Sequence[Result]) -> str:
    wrong = [str(result["seed"]) for result in runs if any(result["violations"].values())]
    if wrong:
        return f"**{len(wrong)} of {len(runs)} runs were not good: seeds {', '.join(wrong)}.**\n"
    kills = sum(result["faults"].get("kill", 0) for result in runs)
    events = sum(result["events"] for result in runs)
    if not kills:
        return "No run yet.\n"
    return (
        f"**{len(runs)} runs, {events:,} events, {kills:,} processes killed: nothing lost, nothing counted twice, "
        f"nothing different.** With 95 % confidence a kill does harm with a probability below 3/{kills:,} = "
        f"{CONFIDENCE / kills:.2%}.\n"
    )


def _sizes(runs: Sequence[Result]) -> str:
    faults: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for result in runs:
        faults.update(result["faults"])
        answers.update(result["answers"])
    rows = [
        ("events acknowledged, each counted once", _sum(runs, "events")),
        ("of them more than an hour late", _sum(runs, "late")),
        ("copies sent besides", _sum(runs, "duplicates")),
        ("wrong events, kept as dead letters", _sum(runs, "wrong")),
        ("sent by REST / to source topics, copies included", f"{_sum(runs, 'posted')} / {_sum(runs, 'by_topic')}"),
        ("requests accepted / refused (503)", f"{answers['202']:,} / {answers['503']:,}"),
        ("requests without an answer, sent again", f"{answers['unknown'] + answers['topic unknown']:,}"),
        ("`kill -9` of service processes", f"{faults['kill']:,}"),
        ("… of them " + ", ".join(_SERVICES), ", ".join(f"{faults[f'kill {name}']:,}" for name in _SERVICES)),
        (
            "SIGSTOP longer than the group session (8 s) / shorter",
            f"{faults['long stop']:,} / {faults['short stop']:,}",
        ),
        ("`kill -9` of brokers / brokers that hung", f"{faults['broker_kill']:,} / {faults['broker_pause']:,}"),
        ("starts refused in one line because a server was away, and repeated", _sum(runs, "failed_starts")),
        ("immediate restarts of PostgreSQL", f"{faults['database']:,}"),
        ("changes of the number of replicas", f"{faults['scaling']:,}"),
        ("batches and claims refused because somebody else owned the partition by then", _sum(runs, "fenced")),
        ("customers", _sum(runs, "customers")),
        ("versions of records published, copies included", _sum(runs, "versions_published")),
        (
            "class changes, distinct / with copies",
            f"{_sum(runs, 'class_changes_distinct')} / {_sum(runs, 'class_changes')}",
        ),
        ("mails that arrived, each once", _sum(runs, "mails")),
        ("mails of which it was still open at the end whether they had left", _sum(runs, "open_messages")),
    ]
    return _table("Sizes and faults", ("what", "number"), rows)


_SERVICES = ("ingest", "profile", "segment", "campaign")


def _times(runs: Sequence[Result]) -> str:
    recoveries = [result["recovery_seconds"] for result in runs]
    takeovers = [one for result in runs for one in result["takeover_seconds"]]
    rows = [
        ("everything caught up after the last fault of a run", *_quantiles(recoveries)),
        ("a partition of a killed process is taken over", *_quantiles(takeovers)),
    ]
    text = (
        "\nA takeover counts from the first kill: whoever takes over may be killed or stopped as well, and the "
        "database or a broker may be away meanwhile.\n"
    )
    return _table("Times in seconds", ("what", "number", "median", "p99", "most"), rows) + text


def _invariants(runs: Sequence[Result]) -> str:
    rows = [
        (name, " ".join(str(check.__doc__).partition(": ")[2].split()), _failing(runs, name))
        for name, check in CHECKS.items()
    ]
    numbers = (
        f"\nNot held against anybody: {_sum(runs, 'overtaken')} keys of `profiles` whose last record is not the one "
        f"with the highest version (two workers may publish of one customer in either order; readers go by the "
        f"version), and {_sum(runs, 'uncounted')} mails not counted in a record because their customer had gone into "
        f"another by then.\n"
    )
    return _table("Invariants", ("invariant", "meaning", "result"), rows) + numbers


def _failing(runs: Sequence[Result], name: str) -> str:
    wrong = [str(result["seed"]) for result in runs if result["violations"].get(name)]
    return f"violated with seed {', '.join(wrong)}" if wrong else "holds in every run"


def _list(runs: Sequence[Result]) -> str:
    rows = []
    for result in runs:
        if "broken" in result:
            rows.append((result["seed"], "broke off", *[""] * 6))
            continue
        faults = result["faults"]
        rows.append(
            (
                result["seed"],
                f"{result['events']:,}",
                faults.get("kill", 0),
                faults.get("long stop", 0),
                f"{faults.get('broker_kill', 0)}+{faults.get('broker_pause', 0)}",
                faults.get("database", 0),
                result["recovery_seconds"],
                f"{result['seconds']:.0f}",
            )
        )
    head = ("seed", "events", "kills", "long stops", "brokers", "PostgreSQL", "recovery s", "run s")
    return _table("Runs", head, rows)


def _embedded(result: Result) -> str:
    said = "; ".join(result["violations"]["embedded"]) or "equal to the byte to an undisturbed run"
    return (
        f"\nOn its own files (`python -m tests.system.kill`): {result['embedded']} kills during the replay: {said}.\n"
    )


def _versions(runs: Sequence[Result]) -> str:
    named = sorted({f"{name} {version}" for result in runs for name, version in result["versions"].items()})
    return f"\nMade with {', '.join(named)}.\n" if named else ""


def _sum(runs: Iterable[Result], name: str) -> str:
    return f"{sum(result.get(name, 0) for result in runs):,}"


def _quantiles(values: Sequence[float]) -> tuple[str, ...]:
    if not values:
        return ("0", "", "", "")
    ordered = sorted(values)
    picked = (ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], ordered[-1])
    return (f"{len(values):,}", *(f"{value:.1f}" for value in picked))


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"## {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines) + "\n"
