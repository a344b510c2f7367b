"""What is installed is whole: every file of the packages, also those that are not Python."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"__pycache__"}


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("services", "shared"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("cartera-*.whl")
    held = set(ZipFile(wheel).namelist())
    wanted = {
        str(file.relative_to(ROOT))
        for package in ("services", "shared")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and not LEFT_OUT & set(file.parts) and file.suffix != ".md"
    }
    assert len(wanted) > 100
    assert wanted - held == set()
