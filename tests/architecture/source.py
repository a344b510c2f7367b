"""The source tree as the architecture tests read it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("ingest", "profile", "segment", "campaign")
"""The services that hold state and follow the one shape; `sample` is plain data and no service."""


def modules() -> Iterator[Path]:
    """Every Python file of services/ and shared/."""
    for folder in ("services", "shared"):
        yield from sorted((ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"), str(path))


def relative(path: Path) -> str:
    """A path as it is named in the documents."""
    return path.relative_to(ROOT).as_posix()
