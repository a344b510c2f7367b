"""One partition or several: the same customers, class histories and planned messages."""

from collections.abc import Callable
from pathlib import Path

from tests.system.house import House
from tests.system.state import compare
from tests.system.test_resume import finish, prepare

PARTITIONS = 3


def test_several_partitions_end_in_the_same_state_as_one(build_house: Callable[..., House], tmp_path: Path) -> None:
    folders = []
    done = 0
    for count in (1, PARTITIONS):
        house = build_house(f"of{count}", environment={"CARTERA_PARTITIONS": str(count)}, sample=True)
        prepare(house.folder, 60)
        done = finish(house.start())
        folders.append(house.folder)
    assert compare(folders[0], folders[1], done) == []
