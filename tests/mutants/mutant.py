"""A mutant: the source with one guard taken away, and the tests that must notice."""

from dataclasses import dataclass
from typing import NamedTuple

PROCESSOR, OUTBOX, LOOP, JOINED, GUARDS, WATERMARK = (
    f"shared/runtime/{name}.py" for name in ("processor", "outbox", "loop", "joined", "guards", "watermark")
)
SETS, TRANSACTIONS, OPENING, ERRORS = (
    f"shared/database/{name}.py" for name in ("sets", "transactions", "opening", "errors")
)


class Edit(NamedTuple):
    """A text that stands in a file exactly once, and what is put in its place."""

    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A fault by its name. Each of `tests` fails by it; `needs` is what they cannot run without: a server, or time."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    needs: str = ""


def mutant(name: str, file: str, before: str, after: str, *tests: str, needs: str = "") -> Mutant:
    """A mutant of one edit; tests are named without the folder `tests/contract/test_` and the ending of their file."""
    return Mutant(name=name, edits=(Edit(file, before, after),), tests=tuple(map(node, tests)), needs=needs)


def node(short: str) -> str:
    """The name that pytest knows for `file::test`."""
    file, _, test = short.partition("::")
    return f"{file if '/' in file else f'tests/contract/test_{file}.py'}::{test}"
