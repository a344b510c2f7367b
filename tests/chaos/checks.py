"""The invariants, each a question to what was found after a run; every answer is a list of what is wrong. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import classes, oracle

RECOVERY_SECONDS = 60.0
SHOWN = 5
"""So many examples of one kind of fault are told."""


@dataclass(frozen=True, slots=True)
class Version:
    """One record of `profiles`: its key, the event's id, the record with its version; None for a tombstone."""

    key: str
    event_id: str
    body: bytes
    record: Mapping[str, Any] | None


@dataclass(slots=True)
class Found:
    """What a run left behind.

    `told` are the unique events that were acknowledged and `own` those that the platform appended itself, as sent;
    `wrong` are ids that must be dead letters. `timeline` are the ids in the timelines, `letters` those in dead letters.
    `published`, `changes` and `messages` are topics in their order, copies included. `noise` is what logs and processes
    showed that they should not, `leaks` the log lines with personal data.
    """

    told: Sequence[Mapping[str, Any]] = ()
    own: Sequence[Mapping[str, Any]] = ()
    wrong: frozenset[str] = frozenset()
    timeline: Sequence[tuple[str, str]] = ()
    letters: frozenset[str] = frozenset()
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    by_rest: Sequence[Mapping[str, Any]] = ()
    published: Sequence[Version] = ()
    changes: Sequence[Mapping[str, Any]] = ()
    memberships: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    messages: Sequence[Mapping[str, Any]] = ()
    sending: frozenset[str] = frozenset()
    arrived: Mapping[str, int] = field(default_factory=dict)
    outboxes: Mapping[str, int] = field(default_factory=dict)
    backwards: Sequence[str] = ()
    recovery: float = 0.0
    noise: Sequence[str] = ()
    leaks: Sequence[str] = ()
    now_ms: int = 0


def no_loss(found: Found) -> list[str]:
    """1: every acknowledged event is in a timeline, every wrong one is a dead letter."""
    there = {event_id for _, event_id in found.timeline}
    lost = [event["id"] for event in (*found.told, *found.own) if event["id"] not in there]
    return _shown("lost", lost) + _shown("no dead letter", found.wrong - found.letters)


def exactly_once(found: Found) -> list[str]:
    """2: every event once in the timelines, and every record as the independent count says."""
    twice = [name for name, times in Counter(found.timeline).items() if times > 1]
    known = {(event["source"], event["id"]) for event in (*found.told, *found.own)}
    strange = set(found.timeline) - known
    return _shown("twice", twice) + _shown("never sent", strange) + _shown("differs", _differences(found))


def _differences(found: Found) -> Iterator[str]:
    home = {
        (one["kind"], one["value"]): profile_id
        for profile_id, record in found.records.items()
        for one in record["identifiers"]
    }
    counted = oracle.customers((*found.told, *found.own))
    if len(counted) != len(found.records):
        yield f"{len(found.records)} customers instead of {len(counted)}"
    for customer in counted:
        profile_id = home.get(next(iter(customer.known())))
        if profile_id is None:
            yield f"nobody has {next(iter(customer.known()))}"
            continue
        should, found_there = oracle.expected(customer), oracle.shown(found.records[profile_id])
        for path, value in should.items():
            if found_there[path] != value:
                yield f"{profile_id} {path}: {found_there[path]!r} instead of {value!r}"


def sums(found: Found) -> list[str]:
    """3: all counters together are the number of distinct events."""
    there = Counter(event["type"].partition(".")[0] for event in (*found.told, *found.own))
    refunds = sum(record["purchases"]["refunds"] for record in found.records.values())
    counted = {
        "purchase": sum(record["purchases"]["count"] for record in found.records.values()) + refunds,
        "call": sum(record["calls"]["count"] for record in found.records.values()),
        "email": sum(record["emails"][name] for record in found.records.values() for name in oracle.EMAILS),
        "interest": sum(record["interest"]["count"] for record in found.records.values()),
    }
    return [f"{kind}: {count} counted of {there[kind]}" for kind, count in counted.items() if count != there[kind]]


def outboxes(found: Found) -> list[str]:
    """4: nothing is left to publish; all versions of all records came; copies are equal; the newest is what is kept."""
    left = [f"{name}: {rows} rows" for name, rows in found.outboxes.items() if rows]
    return _shown("outbox", left) + _shown("profiles", _versions(found.published, found.records))


def _versions(published: Sequence[Version], records: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    bodies: dict[str, bytes] = {}
    by_key: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    gone = {one.key for one in published if one.record is None}
    for one in published:
        if bodies.setdefault(one.event_id, one.body) != one.body:
            yield f"{one.key}: a copy of {one.event_id} has other bytes"
        if one.record is not None:
            known = by_key[one.key].setdefault(one.record["version"], one.record)
            if known != one.record:
                yield f"{one.key}: two records have version {one.record['version']}"
    for key, versions in by_key.items():
        yield from _gaps(key, versions)
    for key in records.keys() | by_key.keys():
        newest = by_key[key][max(by_key[key])] if by_key[key] and (key in records or key not in gone) else None
        if records.get(key) != newest:
            yield f"{key}: the newest on the topic is {_version(newest)}, kept is {_version(records.get(key))}"


def _gaps(key: str, versions: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    """Numbers may be passed over only when the customer took in another one, whose numbers were higher."""
    before, aliases = 0, frozenset[str]()
    for number in sorted(versions):
        now = frozenset(versions[number]["aliases"])
        if number != before + 1 and now == aliases:
            yield f"{key}: version {number} follows {before}"
        before, aliases = number, now


def overtaken(found: Found) -> int:
    """Of how many keys the last on the topic is not the newest: two workers may publish of one customer in either
    order, and readers go by the version. Compaction goes by the place.
    """
    last = {one.key: one.record for one in found.published}
    return sum(found.records.get(key) != record for key, record in last.items())


def _version(record: Mapping[str, Any] | None) -> str:
    return "nothing" if record is None else f"version {record['version']}"


def class_changes(found: Found) -> list[str]:
    """5: per customer and segmentation 1…n, each once, one leading to the next, the last where the count says."""
    unique, copies = _unique(found.changes)
    chains: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for event in unique:
        chains[event["data"]["segmentation"], event["data"]["profile_id"]].append(event["data"])
    wrong = [line for key, chain in chains.items() for line in _broken(key, chain)]
    ends = {key: chain[-1]["to"] for key, chain in chains.items()}
    kept = {key: name for key, name in found.memberships.items() if name is not None}
    told = {key: name for key, name in ends.items() if name is not None}
    apart = [f"{key}: told {told.get(key)}, kept {kept.get(key)}" for key in told.keys() | kept.keys()]
    apart = [line for line, key in zip(apart, told.keys() | kept.keys(), strict=True) if told.get(key) != kept.get(key)]
    return (
        _shown("copy differs", copies)
        + _shown("chain", wrong)
        + _shown("told and kept", apart)
        + _shown("class", _misplaced(found, ends))
    )


def _broken(key: tuple[str, str], chain: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if [change["version"] for change in chain] != list(range(1, len(chain) + 1)):
        yield f"{key}: versions {[change['version'] for change in chain]}"
    froms = [change["from"] for change in chain]
    if froms != [None, *(change["to"] for change in chain[:-1])]:
        yield f"{key}: from {froms} to {[change['to'] for change in chain]}"


def _misplaced(found: Found, ends: Mapping[tuple[str, str], str | None]) -> Iterator[str]:
    home = {
        (one["kind"], one["value"]): profile_id
        for profile_id, record in found.records.items()
        for one in record["identifiers"]
    }
    counted = oracle.customers((*found.told, *found.own))
    figures = classes.population(counted, found.now_ms)
    for customer in counted:
        profile_id = home.get(next(iter(customer.known())), "")
        for segmentation, names in classes.allowed(customer, figures, found.now_ms).items():
            end = ends.get((segmentation, profile_id))
            if end not in names:
                yield f"{profile_id} is {end} in {segmentation} instead of {sorted(map(str, names))}"
    for (segmentation, profile_id), end in ends.items():
        if end is not None and profile_id not in found.records:
            yield f"{profile_id} is gone and still {end} in {segmentation}"


def messages(found: Found) -> list[str]:
    """6: no message arrived twice or was sent twice; what is sent arrived; what arrived is sent, held or still open."""
    unique, copies = _unique(found.messages)
    states: dict[str, list[str]] = defaultdict(list)
    planned: Counter[tuple[str, ...]] = Counter()
    for event in unique:
        data, state = event["data"], event["type"].removeprefix("message.")
        states[data["message_id"]].append(state)
        if state == "planned":
            planned[data["campaign"], str(data["step"]), data["profile_id"], data["occasion"]] += 1
    sent = {name for name, said in states.items() if "sent" in said}
    gone = {event["data"]["message_id"] for event in unique if event["data"]["profile_id"] not in found.records}
    open_ = {name for name, said in states.items() if said[-1] in ("held", "planned")} | found.sending
    return (
        _shown("copy differs", copies)
        + _shown("arrived twice", (name for name, times in found.arrived.items() if times > 1))
        + _shown("sent twice", (name for name, said in states.items() if said.count("sent") > 1))
        + _shown("planned twice", (str(key) for key, times in planned.items() if times > 1))
        + _shown("sent, never arrived", sent - found.arrived.keys())
        + _shown("arrived, never sent", found.arrived.keys() - sent - open_)
        + _shown("counted, never sent", {event["id"] for event in found.own} - sent)
        + _shown("not counted", uncounted(found) - gone)
    )


def uncounted(found: Found) -> set[str]:
    """The sent messages of which no e-mail was counted: their customer went into another before that was known."""
    sent = {event["data"]["message_id"] for event in found.messages if event["type"] == "message.sent"}
    return sent - {event["id"] for event in found.own}


def offsets(found: Found) -> list[str]:
    """7: no position and no claim ever went back."""
    return _shown("backwards", found.backwards)


def recovery(found: Found) -> list[str]:
    """8: everything was caught up a minute after the last fault."""
    return [f"{found.recovery:.1f} s"] if found.recovery > RECOVERY_SECONDS else []


def rest(found: Found) -> list[str]:
    """9: what REST answers is what is kept."""
    return _shown("REST", (r["profile_id"] for r in found.by_rest if found.records.get(r["profile_id"]) != r))


def privacy(found: Found) -> list[str]:
    """10: no log has a name or an identifier of a customer."""
    return _shown("leak", found.leaks)


def quiet(found: Found) -> list[str]:
    """11: no process ended by itself, no error was logged that is a fault of the program, no answer was strange."""
    return _shown("noise", found.noise)


CHECKS = {
    "1 no loss": no_loss,
    "2 exactly once": exactly_once,
    "3 sums": sums,
    "4 outboxes and versions": outboxes,
    "5 class changes": class_changes,
    "6 messages": messages,
    "7 offsets": offsets,
    "8 recovery": recovery,
    "9 REST": rest,
    "10 privacy": privacy,
    "11 quiet": quiet,
}


def violations(found: Found) -> dict[str, list[str]]:
    """Everything that is wrong, by invariant; an empty list where nothing is."""
    return {name: check(found) for name, check in CHECKS.items()}


def _unique(events: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The events without their copies, in the order of their first appearance, and the ids whose copies differ."""
    first: dict[str, Mapping[str, Any]] = {}
    differ = [event["id"] for event in events if first.setdefault(event["id"], event) != event]
    return list(first.values()), differ


def _shown(what: str, found: Iterable[object]) -> list[str]:
    listed = [str(one) for one in found]
    if not listed:
        return []
    examples = [f"{what}: {one}" for one in sorted(listed)[:SHOWN]]
    return [f"{what}: {len(listed)} in all", *examples]
