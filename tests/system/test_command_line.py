"""What the command line says when something is wrong: one clear line, the right exit code, no traceback."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.system.house import House


def cartera(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CARTERA_")}
    return subprocess.run(
        [sys.executable, "-m", "services", *arguments],
        env={**inherited, "CARTERA_DATA_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_and_help(tmp_path: Path) -> None:
    assert re.fullmatch(r"cartera \d+\.\d+\.\d+\n", cartera("--version", folder=tmp_path).stdout)
    shown = cartera("up", "--help", folder=tmp_path)
    assert shown.returncode == 0
    assert "--no-sample" in shown.stdout
    listed = json.loads(cartera("settings", "--json", folder=tmp_path).stdout)
    assert {"CARTERA_DATA_DIR", "CARTERA_CURRENCY", "CARTERA_SMTP_URL"} <= {row["variable"] for row in listed}


def test_a_wrong_setting_is_one_line_that_names_it(tmp_path: Path) -> None:
    done = cartera("up", "--no-sample", "--port", "0", folder=tmp_path, CARTERA_CURRENCY="euro")
    assert done.returncode == 2
    assert done.stderr.startswith("cartera: CARTERA_CURRENCY")
    assert done.stderr.count("\n") == 1


def test_an_occupied_port_is_one_line(build_house: Callable[..., House], tmp_path: Path) -> None:
    house = build_house().start()
    port = house.url.rpartition(":")[2]
    done = cartera("up", "--no-sample", "--port", port, folder=tmp_path / "other")
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert house.stop() == 0


def test_without_a_platform_a_command_says_what_to_do(tmp_path: Path) -> None:
    done = cartera("dead-letters", "list", folder=tmp_path)
    assert done.returncode == 2
    assert "cartera up" in done.stderr
    assert cartera("keys", "create", "--scope", "all", folder=tmp_path).returncode == 2


def test_a_made_key_works_until_it_is_revoked(build_house: Callable[..., House]) -> None:
    house = build_house().start()
    made = json.loads(cartera("keys", "create", "--scope", "read", "--json", folder=house.folder).stdout)["key"]
    listed = json.loads(cartera("keys", "list", "--json", folder=house.folder).stdout)
    assert {"write", "admin", "read"} <= {row["scope"] for row in listed}
    assert made not in json.dumps(listed)
    assert house.stop() == 0
