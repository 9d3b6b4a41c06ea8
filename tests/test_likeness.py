"""Items as parts of a query: how they are written, and that a part of a picture is what is compared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.catalog import Catalog
from engine.config import Config
from engine.errors import InvalidInput, NotFound
from engine.likeness import Likeness
from engine.regions import region_of
from engine.search import Searcher
from engine.types import Modality, Query, Term, Where

sides = st.tuples(st.integers(0, 99), st.integers(1, 100)).filter(lambda side: sum(side) <= 100)


@given(st.integers(1, 10**18 - 1), st.sampled_from([1.0, 2.0, 0.5, -0.5]), sides, sides)
def test_what_is_written_is_read(item: int, weight: float, across: tuple[int, int], down: tuple[int, int]) -> None:
    region = (across[0], down[0], across[1], down[1])
    for one in (Likeness(item, weight), Likeness(item, weight, None if region == (0, 0, 100, 100) else region)):
        assert Likeness.read(str(one)) == one
        assert (one.term.item, one.term.weight) == (item, weight)
        assert (one.term.region is None) == (one.region is None)


@pytest.mark.parametrize(
    "text", ["", "0", "abc", "-1", "12@", "12@1,2,3", "12@0,0,0,5", "12@60,0,50,10", "x:12", "2:", "12345:6", "१२"]
)
def test_what_is_no_item_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="like:"):
        Likeness.read(text)


@pytest.fixture
def boat(catalog: Catalog) -> int:
    return catalog.ids_matching(Where("boats/**"), Modality.IMAGE)[0]


def test_a_region_is_cut_from_the_original(library: Config, catalog: Catalog, boat: int) -> None:
    view = catalog.item(boat)
    with Image.open(view.file) as image:
        whole = np.asarray(image.convert("RGB"), np.int16)
    part = np.asarray(region_of(view, (0.25, 0.5, 0.5, 0.25), library, 32), np.int16)
    assert part.shape == (18, 48, 3) and np.abs(part - whole[36:54, 24:72]).max() <= 2
    assert region_of(view, (0.995, 0.995, 0.005, 0.005), library, 32).size == (1, 1)


def test_without_the_original_the_thumbnail_serves(changed: Config) -> None:
    catalog = Catalog(changed)
    item = catalog.ids_matching(Where(), Modality.IMAGE)[0]
    view = catalog.item(item)
    original = region_of(view, (0, 0, 0.5, 0.5), changed, 32)
    view.file.unlink()
    assert region_of(view, (0, 0, 0.5, 0.5), changed, 32).size == original.size
    for thumb in (changed.home / "thumbs").rglob("*.jpg"):
        thumb.unlink()
    with pytest.raises(NotFound):
        region_of(view, (0, 0, 0.5, 0.5), changed, 32)
    catalog.engine.dispose()


def test_a_file_in_the_place_of_an_indexed_one_is_not_decoded(changed: Config) -> None:
    catalog = Catalog(changed)
    view = catalog.item(catalog.ids_matching(Where(), Modality.IMAGE)[0])
    before = np.asarray(region_of(view, (0, 0, 1, 1), changed, 96), np.int16)
    Image.new("RGB", (96, 72), "red").save(view.file)
    after = np.asarray(region_of(view, (0, 0, 1, 1), changed, 96), np.int16)
    assert after.shape == before.shape and np.abs(after - before).mean() < 5, "the thumbnail of what was indexed"
    catalog.engine.dispose()


def test_a_part_finds_what_a_picture_of_it_finds(library: Config, catalog: Catalog, boat: int) -> None:
    searcher = Searcher(library, catalog)
    part = region_of(catalog.item(boat), (0, 0, 0.5, 1), library, 32)
    asked = [Term(item=boat, region=(0, 0, 0.5, 1)), Term(image=part), Term(item=boat)]
    by_region, by_picture, by_item = (searcher.search(Query((term,), limit=40)).hits for term in asked)
    assert [hit.id for hit in by_region] == [hit.id for hit in by_picture]
    assert [hit.score for hit in by_region] != [hit.score for hit in by_item]


@pytest.mark.parametrize("region", [(0, 0, 0, 1), (0.5, 0, 0.6, 1), (-0.1, 0, 0.5, 0.5), (0, 0, float("nan"), 1)])
def test_an_impossible_region_is_refused(
    library: Config, catalog: Catalog, boat: int, region: tuple[float, float, float, float]
) -> None:
    with pytest.raises(InvalidInput, match="region"):
        Searcher(library, catalog).search(Query((Term(item=boat, region=region),)))
    with pytest.raises(InvalidInput, match="region"):
        Searcher(library, catalog).search(Query((Term(text="a boat", region=(0, 0, 0.5, 0.5)),)))


@pytest.mark.parametrize("text", ["1001:12", "-2000:12"])
def test_what_weighs_too_much_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="weighs too much"):
        Likeness.read(text)


def test_an_item_as_a_term_is_written_as_it_was_read() -> None:
    for text in ("12", "12@10,20,50,40", "12@29,57,58,43"):
        assert str(Likeness.of(Likeness.read(text).term)) == text
