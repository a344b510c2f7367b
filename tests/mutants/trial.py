"""One mutant tried: a copy of the tree with its edits, the tests that must fail, what pytest said of each of them.

A trial is a child of this process, which has the large libraries already: to import them anew for every mutant would
take most of the time. Nothing of the project itself is imported here but the tables of mutants.
"""

import importlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.mutants.mutant import Edit, Mutant

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("services", "shared", "tests", "deploy", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "target", "data")
LIBRARIES = (
    *("pytest", "hypothesis", "msgspec", "sqlalchemy.dialects.sqlite", "alembic.command"),
    *("sqlalchemy.dialects.postgresql.psycopg", "psycopg", "fastapi", "uvicorn", "httpx", "pydantic_settings"),
    *("prometheus_client", "structlog", "liquid", "sqlglot", "phonenumbers", "cryptography.fernet", "aiokafka"),
    *("jsonschema_rs", "cramjam", "yaml", "typer"),
)
PATIENCE = 300.0
"""Seconds that the tests of one mutant may take; they are to fail, not to hang."""


class NoMatch(Exception):
    """A mutant says what is no longer in the source: bring it up to date."""


class Outcome(Enum):
    """What became of the tests of a mutant. All but `KILLED` and, without its server, `UNTRIED` are faults."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    UNTRIED = "not tried"
    UNDECIDED = "UNDECIDED"


class Verdict(NamedTuple):
    """`reason` names the tests that did not do as they should."""

    outcome: Outcome
    seconds: float
    reason: str = ""


def preload() -> None:
    """Import what every trial needs and no mutant changes."""
    for name in LIBRARIES:
        importlib.import_module(name)


def mutated(source: str, edit: Edit) -> str:
    """The text of a file after an edit. Raises NoMatch."""
    count = source.count(edit.before)
    if count != 1:
        raise NoMatch(f"{edit.file} has the text of the edit {count} times, not once: {edit.before.strip()[:80]!r}")
    return source.replace(edit.before, edit.after)


@contextmanager
def copied() -> Iterator[Path]:
    """The tree in a temporary folder."""
    with TemporaryDirectory(prefix="cartera-mutants-") as place:
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, Path(place) / part, ignore=LEFT_OUT)
            else:
                shutil.copy(ROOT / part, Path(place) / part)
        yield Path(place)


@contextmanager
def edited(tree: Path, edits: Sequence[Edit]) -> Iterator[None]:
    """The tree with these edits, and afterwards as it was."""
    former: dict[Path, str] = {}
    try:
        for edit in edits:
            file = tree / edit.file
            text = file.read_text("utf-8")
            former.setdefault(file, text)
            file.write_text(mutated(text, edit), "utf-8")
        yield
    finally:
        for file, text in former.items():
            file.write_text(text, "utf-8")


def attempt(tree: Path, mutant: Mutant) -> Verdict:
    """Run the tests of a mutant on it; one that does not match the source any more is undecided."""
    started = time.monotonic()
    try:
        with edited(tree, mutant.edits):
            outcomes = run(tree, mutant.tests)
    except NoMatch as reason:
        return Verdict(Outcome.UNDECIDED, 0.0, str(reason))
    seconds = time.monotonic() - started
    if outcomes is None:
        return Verdict(Outcome.UNDECIDED, seconds, "the tests did not end")
    missing = [test for test in mutant.tests if not any(_is_of(found, test) for found in outcomes)]
    if missing:
        return Verdict(Outcome.UNDECIDED, seconds, f"there is no test {', '.join(missing)}")
    if "skipped" in outcomes.values() and "passed" not in outcomes.values():
        return Verdict(Outcome.UNTRIED, seconds, f"needs {mutant.needs or 'a server'}")
    passed = [found for found, outcome in outcomes.items() if outcome == "passed"]
    return Verdict(Outcome.SURVIVED if passed else Outcome.KILLED, seconds, ", ".join(passed))


def unharmed(tree: Path, mutants: Sequence[Mutant]) -> Sequence[str]:
    """The tests that fail although nothing was changed: what they say of a mutant means nothing."""
    tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    outcomes = run(tree, tests, PATIENCE * 3)
    if not outcomes:
        return ["the tests did not end, or were not found"]
    return [found for found, outcome in outcomes.items() if outcome == "failed"]


def _is_of(found: str, test: str) -> bool:
    return found == test or found.startswith(f"{test}[")


def run(tree: Path, tests: Sequence[str], patience: float = PATIENCE) -> Mapping[str, str] | None:
    """The outcome of each test by its name, `failed` also for what could not be set up; None when it took too long."""
    result = tree / "outcomes"
    result.unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _in_child(tree, tests, result)
    deadline = time.monotonic() + patience
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.02)
    lines = result.read_text("utf-8").splitlines() if result.exists() else []
    return dict(line.rsplit(" ", 1) for line in lines)


class _Outcomes:
    """A plugin of pytest that notes what became of each test."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._worst: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: object) -> None:
        name, outcome = str(getattr(report, "nodeid")), str(getattr(report, "outcome"))  # noqa: B009
        if self._worst.get(name) != "failed" and (outcome != "passed" or name not in self._worst):
            self._worst[name] = outcome

    def pytest_sessionfinish(self) -> None:
        self._file.write_text("".join(f"{name} {outcome}\n" for name, outcome in self._worst.items()), "utf-8")


def _in_child(tree: Path, tests: Sequence[str], result: Path) -> None:
    """Never returns. The child has a group of its own, so that servers it started can be ended with it."""
    os.setpgid(0, 0)
    os.chdir(tree)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    sys.path.insert(0, str(tree))
    for name in [one for one in sys.modules if one.split(".")[0] in ("tests", "services", "shared", "deploy")]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    import pytest  # noqa: PLC0415

    code = 70
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    try:
        code = pytest.main([*options, *tests], plugins=[_Outcomes(result)])
    finally:
        os._exit(code)
