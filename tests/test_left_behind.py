"""A sidecar that does not go with its picture: what it says stays with the picture, until something else is said."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, Keyword
from engine.config import Config
from indexer.library import index_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw, silent
from tests.test_followed import nothing_to_do, said_of
from tests.test_moves import captions, ids, index

_XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>harbour</rdf:li></rdf:Bag>
</dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return begin(config_at(tmp_path / "home"))


@pytest.fixture
def media(config: Config, tmp_path: Path) -> Path:
    """old/boat.jpg with a caption, and a tree in new/."""
    folder = tmp_path / "media"
    draw(folder / "old" / "boat.jpg", "red", "boat", 1)
    draw(folder / "new" / "tree.jpg", "green", "tree", 2)
    (folder / "old" / "boat.txt").write_text("of the boat")
    index(config, folder)
    return folder


def move(media: Path, *names: str) -> None:
    for name in names:
        (media / "old" / name).rename(media / "new" / name)


@pytest.mark.parametrize("order", [("boat.jpg", "boat.txt"), ("boat.txt", "boat.jpg")])
@pytest.mark.parametrize("shallow", [False, True])
def test_either_may_go_first(config: Config, media: Path, order: tuple[str, str], shallow: bool) -> None:
    """shallow: as a watch compares, the one folder and the other by themselves."""
    places = [media / "new", media / "old"] if shallow else [media]
    picture, said = ids(config)["old/boat.jpg"], captions(config)
    (caption,) = (one for one, text in said.items() if text == "of the boat")
    for name in order:
        move(media, name)
        index_folders(config, places, silent, shallow=shallow)
    assert ids(config)["new/boat.jpg"] == picture and said_of(config, "new/boat.jpg") == ["of the boat"]
    assert captions(config)[caption] == "of the boat" and nothing_to_do(config, media)


def test_what_was_left_counts_until_it_says_something_else_or_goes(config: Config, media: Path) -> None:
    said = captions(config)
    move(media, "boat.jpg")
    index(config, media)
    assert said_of(config, "new/boat.jpg") == ["of the boat"] and captions(config).items() >= said.items()
    assert nothing_to_do(config, media)
    (media / "old" / "boat.txt").write_text("edited where it was left")
    index(config, media)
    assert said_of(config, "new/boat.jpg") == ["edited where it was left"]
    (media / "old" / "boat.txt").unlink()
    index(config, media)
    assert said_of(config, "new/boat.jpg") == [] and nothing_to_do(config, media)


def test_a_sidecar_at_the_new_place_takes_the_place_of_one_of_its_kind(config: Config, media: Path) -> None:
    (media / "old" / "boat.xmp").write_text(_XMP)
    index(config, media)
    move(media, "boat.jpg")
    (media / "new" / "boat.txt").write_text("written here")
    index(config, media)
    assert said_of(config, "new/boat.jpg") == ["written here"] and nothing_to_do(config, media)
    with Catalog(config).session() as session:
        query = sa.select(Keyword.word).where(Keyword.item_id == ids(config)["new/boat.jpg"])
        assert session.scalars(query).all() == ["harbour"]


def test_another_picture_at_the_old_place_takes_what_was_left(config: Config, media: Path) -> None:
    move(media, "boat.jpg")
    index(config, media)
    draw(media / "old" / "boat.jpg", "blue", "boat", 3)
    index(config, media)
    assert said_of(config, "old/boat.jpg") == ["of the boat"] and said_of(config, "new/boat.jpg") == []
    assert nothing_to_do(config, media)


def test_what_was_left_on_a_drive_that_is_away_stays_as_it_was(config: Config, media: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    draw(other / "more.jpg", "blue", "tree", 5)
    index(config, other)
    (media / "old" / "boat.jpg").rename(other / "boat.jpg")
    index(config, media, other)
    assert said_of(config, "boat.jpg") == ["of the boat"]
    media.rename(tmp_path / "away")
    index(config, other)
    assert said_of(config, "boat.jpg") == ["of the boat"] and nothing_to_do(config, other)
    (tmp_path / "away").rename(media)
    (media / "old" / "boat.txt").unlink()
    index(config, media, other)
    assert said_of(config, "boat.jpg") == []
