"""The import contracts of pyproject.toml hold."""

import tomllib

import pytest
from importlinter import cli

from tests.architecture.source import ROOT

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]


@pytest.mark.parametrize("contract", [contract["id"] for contract in CONTRACTS])
def test_contract_holds(contract: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    failed = cli.lint_imports(limit_to_contracts=(contract,), no_cache=True)
    assert not failed, capsys.readouterr().out


def test_there_are_the_seven_contracts() -> None:
    assert len(CONTRACTS) == 7
