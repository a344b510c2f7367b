"""What the command line says when something is wrong: one clear line, the right exit code, no traceback."""

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.system.house import House, cartera, eventually


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


def test_the_first_keys_are_shown_once_and_kept_for_the_owner_alone(build_house: Callable[..., House]) -> None:
    house = build_house().start()
    assert stat.S_IMODE((house.folder / "keys.json").stat().st_mode) == 0o600
    assert house.stop() == 0
    house.start()
    assert house.printed().count(house.key("admin")) == 1
    assert house.stop() == 0


@pytest.mark.both_modes
def test_a_made_key_works_until_it_is_revoked(build_house: Callable[..., House]) -> None:
    house = build_house().start()
    made = json.loads(house.command("keys", "create", "--scope", "read", "--json").stdout)["key"]
    listed = json.loads(house.command("keys", "list", "--json").stdout)
    (row,) = (row for row in listed if row["scope"] == "read")
    assert made not in json.dumps(listed)

    def status() -> int:
        headers = {"Authorization": f"Bearer {made}"}
        return httpx.get(f"{house.url}/v1/profiles?q=a", headers=headers).status_code

    assert status() == 200
    assert house.command("keys", "revoke", row["id"]).returncode == 0
    eventually(lambda: status() == 401, 8)
    assert house.stop() == 0
