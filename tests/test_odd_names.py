"""Names that systems write in more than one way, and folders that are named with those that hold them."""

import unicodedata
from pathlib import Path

import pytest

from engine.config import Config
from indexer.library import index_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw, silent
from tests.test_copies import index
from tests.test_followed import nothing_to_do, said_of
from tests.test_moves import ids, outcome

_COMPOSED, _APART = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return begin(config_at(tmp_path / "home"))


@pytest.mark.parametrize(("picture", "sidecar"), [(_COMPOSED, _APART), (_APART, _COMPOSED)])
def test_letters_and_their_marks_are_one_name_in_either_form(
    config: Config, tmp_path: Path, picture: str, sidecar: str
) -> None:
    media = tmp_path / "media"
    draw(media / f"{picture}.jpg", "red", "boat", 1)
    (media / f"{sidecar}.txt").write_text("beside it")
    (media / "captions.jsonl").write_text(f'{{"image": "{sidecar}.jpg", "en": ["in a table"]}}')
    index(config, media)
    (item,) = ids(config).values()
    assert said_of(config, f"{picture}.jpg") == ["beside it", "in a table"]
    (media / f"{picture}.jpg").rename(media / f"{sidecar}.jpg")
    assert outcome(index(config, media)) == (1, 0, 0) and ids(config) == {f"{sidecar}.jpg": item}
    assert said_of(config, f"{sidecar}.jpg") == ["beside it", "in a table"] and nothing_to_do(config, media)


def test_names_of_odd_signs_and_renames_of_case_alone(config: Config, tmp_path: Path) -> None:
    media, odd = tmp_path / "media", "a\nb\t;:~ %#?"
    draw(media / odd / f"{odd}.jpg", "red", "boat", 1)
    (media / odd / f"{odd}.txt").write_text("odd")
    draw(media / "Dir" / "Boat.JPG", "blue", "boat", 2)
    (media / "Dir" / "Boat.txt").write_text("a boat")
    index(config, media)
    before = ids(config)
    assert said_of(config, f"{odd}/{odd}.jpg") == ["odd"]
    (media / "Dir" / "Boat.JPG").rename(media / "Dir" / "boat.jpg")
    (media / "Dir").rename(media / "dir")
    (media / odd).rename(media / "\r")
    assert outcome(index(config, media))[0] == 2
    after = ids(config)
    assert after["dir/boat.jpg"] == before["Dir/Boat.JPG"] and after[f"\r/{odd}.jpg"] == before[f"{odd}/{odd}.jpg"]
    assert said_of(config, f"\r/{odd}.jpg") == ["odd"] and nothing_to_do(config, media)


def test_a_folder_may_be_named_with_one_that_holds_it(config: Config, tmp_path: Path) -> None:
    """In any order, also where the inner one is known already."""
    media = tmp_path / "media"
    draw(media / "in" / "a.jpg", "red", "boat", 1)
    draw(media / "b.jpg", "blue", "boat", 2)
    for folders in ([media / "in", media], [media, media / "in"]):
        home = config_at(tmp_path / folders[0].name)
        (scan,) = index_folders(home, folders, silent).scans
        assert scan.added == 2 and set(ids(home)) == {"b.jpg", "in/a.jpg"}
    index(config, media / "in")
    (item,) = ids(config).values()
    (scan,) = index_folders(config, [media / "in", media], silent).scans
    assert scan.added == 1 and ids(config)["in/a.jpg"] == item
