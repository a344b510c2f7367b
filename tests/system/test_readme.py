"""Every command of the README, run as it stands there against a running platform."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.system.house import House

ROOT = Path(__file__).parents[2]


def blocks() -> list[str]:
    """The shell blocks of the README, in their order."""
    return re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_every_command_of_the_readme_works_as_it_stands(build_house: Callable[..., House], tmp_path: Path) -> None:
    house = build_house().start()
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    assert len(blocks()) == 4
    script = "set -euo pipefail\n" + "\necho; echo ----\n".join(blocks())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARTERA_")}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third, fourth = done.stdout.split("\n----\n")
    answers = [json.loads(line) for line in re.findall(r"\{.*?\}(?=\{\"|\s*$)", first.replace("\n", ""))]
    assert answers[0]["results"] == [{"index": 0, "id": "1001", "status": "accepted"}]
    assert '"revenue":{"EUR":"49.90"}' in first.replace(": ", ":")
    assert '"class":"active"' in first.replace(": ", ":")
    assert "/data/total" in second
    assert "invalid" in second
    assert "segmentation loyal: previewed" in third
    assert "segmentation loyal: applied" in third
    assert '"segmentation":"loyal"' in third.replace(": ", ":")
    assert "imported: 5 rows, 3 events" in fourth
    assert house.stop() == 0


def test_the_two_make_targets_of_the_readme_exist() -> None:
    commands = re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[:2] == ["run", "test"]
    for name in commands:
        done = subprocess.run(["make", "-n", name], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
