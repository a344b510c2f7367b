"""The shape of the house: one place commits, two verbs a core, the same files in every service, no long modules."""

import ast

import pytest

from tests.architecture.source import ROOT, SERVICES, modules, relative, tree

SHAPE = ("__init__", "model", "core", "store", "api", "service")
# Adapters below the seam: the log has its own file and its own transactions.
COMMITTERS = ("shared/database/transactions.py", "shared/log/")
WORD_FOR_ONE_MACHINE = "embedded"
MAY_SAY_IT = {"shared/config.py", "services/__main__.py", "services/composition.py"}
# What lies directly in services/ starts the platform; a child process is given the environment on.
MAY_READ_THE_ENVIRONMENT = {"services/__main__.py", "services/composition.py", "services/starting.py"}
LONGEST_MODULE = 320
LONGEST_FUNCTION = 40

MODULES = {relative(path): path for path in modules()}


def calls(syntax: ast.Module, names: set[str]) -> list[int]:
    """Where a method of one of these names is called without arguments, as a connection's are."""
    return [
        node.lineno
        for node in ast.walk(syntax)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in names
        and not node.args
        and not node.keywords
    ]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith(COMMITTERS)])
def test_only_the_database_commits(name: str) -> None:
    assert calls(tree(MODULES[name]), {"commit", "begin", "begin_nested"}) == []


def test_the_database_commits_in_transaction_only() -> None:
    syntax = tree(MODULES["shared/database/transactions.py"])
    inside = [
        line
        for node in syntax.body
        if isinstance(node, ast.FunctionDef) and node.name == "transaction"
        for line in calls(ast.Module([node], []), {"commit", "begin"})
    ]
    assert inside
    assert calls(syntax, {"commit", "begin", "begin_nested"}) == inside


def exported(syntax: ast.Module) -> set[str]:
    """The public names that a module defines itself."""
    names: set[str] = set()
    for node in syntax.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("service", SERVICES)
def test_a_core_has_two_verbs(service: str) -> None:
    assert exported(tree(ROOT / "services" / service / "core.py")) == {"evolve", "react"}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("module", SHAPE)
def test_every_service_has_the_same_files(service: str, module: str) -> None:
    folder = ROOT / "services" / service
    assert (folder / f"{module}.py").is_file() or (folder / module / "__init__.py").is_file()


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_one_value(service: str) -> None:
    assert "SERVICE" in exported(tree(ROOT / "services" / service / "service.py"))


def test_one_machine_is_a_word_of_the_composition_root() -> None:
    said = {name for name, path in MODULES.items() if WORD_FOR_ONE_MACHINE in path.read_text("utf-8").lower()}
    assert said <= MAY_SAY_IT


def test_no_module_is_named_after_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base"}
    assert not {name for name, path in MODULES.items() if path.stem in empty}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_and_is_short(name: str) -> None:
    syntax = tree(MODULES[name])
    assert ast.get_docstring(syntax), "no docstring"
    assert len(MODULES[name].read_text("utf-8").splitlines()) <= LONGEST_MODULE


# A revision of the tables is a list that is written once and not changed again.
@pytest.mark.parametrize("name", [name for name in MODULES if "/migrations/" not in name])
def test_a_function_is_one_idea(name: str) -> None:
    functions = [
        node for node in ast.walk(tree(MODULES[name])) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {node.name: length for node in functions if (length := _length(node)) > LONGEST_FUNCTION}
    assert not long


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring and without the functions defined in it (the endpoints of a router)."""
    lines = set(range(function.lineno, (function.end_lineno or function.lineno) + 1))
    apart = [
        node
        for node in ast.walk(function)
        if node is not function and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    if ast.get_docstring(function):
        lines -= set(range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1))
    for node in apart:
        start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        lines -= set(range(start, (node.end_lineno or 0) + 1))
    return len(lines)


@pytest.mark.parametrize("name", MODULES)
def test_no_type_is_switched_off(name: str) -> None:
    text = MODULES[name].read_text("utf-8")
    assert "type: ignore" not in text


@pytest.mark.parametrize("name", [name for name in MODULES if name not in MAY_READ_THE_ENVIRONMENT])
def test_nobody_else_reads_the_environment(name: str) -> None:
    read = [
        node.lineno
        for node in ast.walk(tree(MODULES[name]))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    ]
    assert read == []
