"""Facts from sidecars go when their sidecar says otherwise, and what the file says itself comes back."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from PIL import Image

from engine.catalog import Caption, Catalog, FactsRow, Item, Keyword
from engine.config import Config
from indexer.library import index_folders
from tests.catalogs import begin
from tests.conftest import config_at, silent
from tests.folders import table

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Description><dc:description><rdf:Alt>
<rdf:li xml:lang="x-default">A boat</rdf:li><rdf:li xml:lang="en-GB">A boat</rdf:li>
<rdf:li xml:lang="de-AT">Ein Boot</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def config(tmp_path: Path, encoder_folder: Path) -> Config:
    return begin(config_at(tmp_path / "home", encoder={"model": str(encoder_folder)}))


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A picture that names its camera, and another one."""
    (tmp_path / "media").mkdir()
    exif = Image.Exif()
    exif[272] = "Box"
    for number, name in enumerate(("a.jpg", "b.jpg")):
        Image.new("RGB", (64, 48), (200, 60 * number, 40)).save(tmp_path / "media" / name, exif=exif)
    return tmp_path / "media"


def told(config: Config, media: Path) -> tuple[int, dict[str, tuple[str | None, str | None, list[str]]]]:
    """Index; how many items were embedded, and by file its camera, place and keywords."""
    embedded = index_folders(config, [media], silent).embedded
    catalog = Catalog(config)
    said = {}
    with catalog.session() as session:
        for item in session.scalars(sa.select(Item).where(Item.parent_id.is_(None), Item.removed_at.is_(None))):
            row = session.get(FactsRow, item.id)
            words = session.scalars(sa.select(Keyword.word).where(Keyword.item_id == item.id).order_by(Keyword.word))
            said[item.path] = (row.camera if row else None, row.place if row else None, list(words))
    catalog.engine.dispose()
    return embedded, said


def test_facts_go_with_the_sidecar_that_gave_them(config: Config, media: Path) -> None:
    sidecar = media / "a.json"
    sidecar.write_text(json.dumps({"camera": "Other", "place": "Lisbon", "keywords": ["tide", "boat"]}))
    assert told(config, media)[1]["a.jpg"] == ("Other", "Lisbon", ["boat", "tide"])
    sidecar.write_text(json.dumps({"keywords": ["boat"], "caption": "a boat at low tide"}))
    assert told(config, media)[1]["a.jpg"] == ("Box", None, ["boat"])
    sidecar.unlink()
    assert told(config, media)[1]["a.jpg"] == ("Box", None, [])
    assert told(config, media)[0] == 0


def test_only_files_whose_facts_changed_are_read_again(config: Config, media: Path) -> None:
    rows = {name: {"image": name, "place": "Lisbon", "en": ["a boat"]} for name in ("a.jpg", "b.jpg")}
    table(media, *rows.values())
    assert told(config, media) == (4, {name: ("Box", "Lisbon", []) for name in rows})
    rows["a.jpg"]["place"] = "Porto"
    table(media, *rows.values())
    assert told(config, media) == (1, {"a.jpg": ("Box", "Porto", []), "b.jpg": ("Box", "Lisbon", [])})


def test_words_inside_a_picture_keep_their_language(config: Config, media: Path) -> None:
    Image.new("RGB", (64, 48), "teal").save(media / "a.jpg", xmp=XMP.encode())
    index_folders(config, [media], silent)
    catalog = Catalog(config)
    with catalog.session() as session:
        assert set(session.execute(sa.select(Caption.text, Caption.lang)).tuples()) == {
            ("A boat", "en"),
            ("Ein Boot", "de-at"),
        }
    catalog.engine.dispose()
