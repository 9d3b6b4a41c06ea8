"""Whatever is done to files between two runs, an id goes where its content went."""

import os
import random
from itertools import count
from pathlib import Path

import pytest

from engine.config import Config
from tests.conftest import config_at
from tests.test_copies import index
from tests.test_followed import nothing_to_do
from tests.test_moves import ids

_NAMES = [f"{folder}{name}.jpg" for folder in ("", "a/", "b/") for name in "123"]
_ACTS = ("move", "swap", "copy", "touch", "write", "delete")


class Folder:
    """Files of contents that none other had, of two sizes, and what is done to them."""

    def __init__(self, place: Path) -> None:
        self.place, self._new = place, count(1)
        for name in _NAMES:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            self._write(place / name)

    def _write(self, path: Path) -> None:
        number = next(self._new)
        path.write_bytes(b"%06d" % number + b"x" * (number % 2))
        self._touch(path)

    def _touch(self, path: Path) -> None:
        moment = next(self._new)
        os.utime(path, ns=(moment, moment))

    def act(self, act: str, first: str, second: str, anew: bool) -> None:
        """anew: what it leaves at the second place has a new time of writing."""
        one, other = self.place / first, self.place / second
        if act == "write":
            self._write(one)
        elif not one.exists():
            return
        elif act == "delete":
            one.unlink()
        elif act == "move":
            one.replace(other)
        elif act == "copy" and one != other:
            other.write_bytes(one.read_bytes())
        elif act == "swap" and other.exists():
            held = one.read_bytes()
            one.write_bytes(other.read_bytes())
            self._touch(one)
            other.write_bytes(held)
        if act == "touch" or (anew and other.exists()):
            self._touch(other if other.exists() else one)

    def contents(self) -> dict[str, bytes]:
        return {name: (self.place / name).read_bytes() for name in _NAMES if (self.place / name).exists()}


def holders(config: Config, folder: Folder) -> dict[bytes, set[int]]:
    """The items that have each content."""
    held: dict[bytes, set[int]] = {}
    contents = folder.contents()
    for name, item in ids(config).items():
        held.setdefault(contents[name], set()).add(item)
    return held


@pytest.mark.parametrize("seed", [1, 2])
def test_ids_follow_contents(tmp_path: Path, seed: int) -> None:
    """However they are moved, swapped, copied, touched and overwritten, with times kept and with new ones."""
    drawn, config = random.Random(seed), config_at(tmp_path / "home")
    folder = Folder(tmp_path / "media")
    index(config, folder.place)
    for _ in range(3):
        before = holders(config, folder)
        for _ in range(6):
            folder.act(drawn.choice(_ACTS), drawn.choice(_NAMES), drawn.choice(_NAMES), drawn.random() < 0.5)
        index(config, folder.place)
        after = holders(config, folder)
        assert ids(config).keys() == folder.contents().keys()
        for content in before.keys() & after.keys():
            stayed = before[content] & after[content]
            assert len(stayed) == min(len(before[content]), len(after[content]))
    assert nothing_to_do(config, folder.place)
