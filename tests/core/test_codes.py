"""The page of events lists every code by which the entrance and the profile service refuse something, and no other."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from shared.runtime.web.problems import CODES
from tests.architecture.source import ROOT

PAGE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
FOLDERS = ("services/ingest", "services/ingest/sources", "services/profile", "shared/runtime/web")
PLACE = {"Problem": 1, "InvalidEvent": 0, "SetAside": 0}
"""Which argument of an error is its code."""


def codes_in(file: Path) -> Iterator[str]:
    module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PLACE:
            place = PLACE[node.func.id]
            if len(node.args) > place:
                yield from values_of(node.args[place], module)


def values_of(expression: ast.expr, module: object) -> Iterator[str]:
    if isinstance(expression, ast.IfExp):
        yield from values_of(expression.body, module)
        yield from values_of(expression.orelse, module)
    elif isinstance(expression, ast.Constant):
        yield str(expression.value)
    elif isinstance(expression, ast.Name) and isinstance(value := getattr(module, expression.id, None), str):
        yield value


def test_the_page_lists_every_code() -> None:
    (table,) = re.findall(r"^## Codes$(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    listed = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).glob("*.py"))]
    used = {code for file in files for code in codes_in(file)} | {*CODES.values()}
    assert len(listed) == len(set(listed))
    assert set(listed) == used
