"""The tables of mutants are up to date with the source and the tests, and the program can tell a survivor."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import MUTANTS
from tests.mutants.mutant import Edit, Mutant, mutant
from tests.mutants.trial import ROOT, NoMatch, mutated

FEWEST = {
    "shared/runtime/processor.py": 12,
    "shared/runtime/outbox.py": 5,
    "shared/runtime/loop.py": 8,
    "shared/database/transactions.py": 3,
}
"""Where the guards are, and how many mutants each file has at least."""


def functions(file: Path) -> set[str]:
    """The tests that a file defines, those in classes too."""
    found = ast.walk(ast.parse(file.read_text("utf-8")))
    return {one.name for one in found if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("one", MUTANTS, ids=lambda one: one.name)
def test_a_mutant_matches_the_source_and_names_tests_that_are_there(one: Mutant) -> None:
    for edit in one.edits:
        text = (ROOT / edit.file).read_text("utf-8")
        ast.parse(mutated(text, edit))
    assert one.tests
    for test in one.tests:
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in functions(ROOT / file), test


def test_every_mutant_has_a_name_of_its_own() -> None:
    assert max(Counter(one.name for one in MUTANTS).values()) == 1


@pytest.mark.parametrize("file", FEWEST)
def test_no_file_with_guards_is_left_out(file: str) -> None:
    assert sum(any(edit.file == file for edit in one.edits) for one in MUTANTS) >= FEWEST[file]


@pytest.mark.parametrize("text", ["", "guard and guard"])
def test_an_edit_that_does_not_match_once_is_told(text: str) -> None:
    with pytest.raises(NoMatch, match="not once: 'guard'"):
        mutated(text, Edit("file.py", "guard", ""))


def test_tests_are_named_by_file_and_function() -> None:
    assert mutant("n", "f", "a", "b", "outbox::test_x").tests == ("tests/contract/test_outbox.py::test_x",)
    assert mutant("n", "f", "a", "b", "tests/core/test_y.py::test_x").tests == ("tests/core/test_y.py::test_x",)
