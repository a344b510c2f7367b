"""Some mutants that take no server and little time; all of them are tried by `make mutants`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOME = ("the offset is", "the epoch is", "the inbox", "rows of other", "number of a row", "given up", "client")


def test_the_guards_that_matter_most_are_missed() -> None:
    command = [sys.executable, "-m", "tests.mutants", "--fast", *SOME]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "CI": "true"}, capture_output=True, text=True, timeout=600, check=False
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert sum(line.startswith("killed") for line in lines) >= 8
    assert not any(line.startswith(("SURVIVED", "UNDECIDED", "not tried")) for line in lines)


def test_a_survivor_is_told_and_counts() -> None:
    """A mutant that changes nothing survives, and so the program fails."""
    program = (
        "import sys; from tests.mutants import trial, mutant as m; import tests.mutants.__main__ as p\n"
        "p.MUTANTS = [m.mutant('harmless', m.OUTBOX, 'def take_away(', 'def take_away(  ',"
        " 'outbox::test_rows_that_came_later_stay[sqlite]')]\n"
        "sys.exit(p.main([]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1, done.stderr[-2000:]
    assert "SURVIVED" in done.stdout
    assert "harmless: tests/contract/test_outbox.py::test_rows_that_came_later_stay[sqlite]" in done.stdout
