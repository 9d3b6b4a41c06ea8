"""The searcher over a real library: the cascade, its filters and terms, and what changes while it serves."""

import json
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from engine.catalog import Catalog, Embedding, EncoderRow, Item
from engine.config import Config
from engine.encoders import Encoder, load_encoder
from engine.errors import ArtifactError, EncoderUnavailable, InvalidInput, NotFound, NotReady
from engine.search import Searcher
from engine.store import EmbeddingStore, store_folder
from engine.types import F32, Hit, Modality, Query, Results, Term, Where
from indexer.library import index_folders
from tests.conftest import config_at, draw, index_unpublished, silent
from tests.models import write_tiny_model
from tests.web_library import copy_library

BOAT, TREE = Term(text="a red boat"), Term(text="a green tree")
PICTURES, CAPTIONS = 40, 80


@pytest.fixture(scope="module")
def encoder(library: Config) -> Encoder:
    return load_encoder(library.encoder.model, "cpu")


@pytest.fixture(scope="module")
def searcher(library: Config, encoder: Encoder) -> Searcher:
    return Searcher(library, Catalog(library), encoder)


@pytest.fixture(scope="module")
def stored(library: Config, encoder: Encoder) -> dict[int, F32]:
    """Every item's embedding, read without the searcher."""
    store = EmbeddingStore(store_folder(library.home, encoder.fingerprint), 64)
    with Catalog(library).session() as session:
        rows = session.execute(sa.select(Embedding.item_id, Embedding.shard, Embedding.row)).all()
    return {row.item_id: store.read(np.array([row.shard]), np.array([row.row]))[0] for row in rows}


@pytest.fixture(scope="module")
def pictures(searcher: Searcher) -> list[int]:
    """Ids of all the pictures, ascending."""
    return sorted(searcher.catalog.ids_matching(Where(), Modality.IMAGE))


def ids(results: Results) -> list[int]:
    return [hit.id for hit in results.hits]


def score(hit: Hit) -> float:
    return float("nan") if hit.score is None else hit.score


def assert_ranked(results: Results, vector: F32, stored: dict[int, F32], among: list[int]) -> None:
    """The hits are the nearest of `among` to the vector, each with its cosine."""
    vector = vector / np.linalg.norm(vector)
    truth = {i: float(stored[i] @ vector) for i in among}
    scores = [score(hit) for hit in results.hits]
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose(scores, [truth[hit.id] for hit in results.hits], atol=2e-3)
    np.testing.assert_allclose(scores, sorted(truth.values(), reverse=True)[: len(scores)], atol=2e-3)


def assert_same(some: Iterable[Hit], others: Iterable[Hit]) -> None:
    """The same hits with the same scores; equal pictures tie, and rounding decides which comes first."""
    a, b = ({hit.id: score(hit) for hit in hits} for hits in (some, others))
    assert a == pytest.approx(b, abs=1e-5)
    for scores in (list(a.values()), list(b.values())):
        assert scores == sorted(scores, reverse=True)


# --- what a query finds ---


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.TEXT])
def test_hits_are_the_nearest_by_cosine(
    searcher: Searcher, encoder: Encoder, stored: dict[int, F32], modality: Modality, exact: bool
) -> None:
    everything = searcher.catalog.ids_matching(Where(), modality)
    assert len(everything) == (PICTURES if modality == Modality.IMAGE else CAPTIONS)
    results = searcher.search(Query((BOAT,), modality, limit=100, exact=exact))
    assert sorted(ids(results)) == sorted(everything)
    assert_ranked(results, encoder.encode_text([BOAT.text or ""])[0], stored, everything)


def test_a_cascade_deep_enough_equals_the_exact_scan(searcher: Searcher) -> None:
    for modality in (Modality.IMAGE, Modality.TEXT):
        for path in (None, "boats/*"):
            query = Query((BOAT, replace(TREE, weight=0.3)), modality, Where(path), limit=100)
            assert_same(searcher.search(query).hits, searcher.search(replace(query, exact=True)).hits)


@pytest.mark.usefixtures("codes_alone")
def test_a_shallow_cascade_refines_only_its_candidates(library: Config, encoder: Encoder) -> None:
    config = replace(library, search=replace(library.search, candidates=5))
    shallow = Searcher(config, Catalog(library), encoder)
    found = ids(shallow.search(Query((BOAT,), limit=2)))
    index = shallow.version.indexes[Modality.IMAGE]
    candidates, _ = index.recall(encoder.encode_text([BOAT.text or ""]), 5, None)
    assert len(found) == 2 and set(found) <= set(candidates[0].tolist())


def test_a_hit_says_what_the_catalog_knows(searcher: Searcher, library: Config) -> None:
    results = searcher.search(Query((BOAT,), limit=PICTURES))
    for hit in results.hits:
        assert hit.root == str(library.home.parent / "media")
        assert (Path(hit.root) / hit.path).is_file()
        assert (hit.modality, hit.item, hit.width, hit.height) == (Modality.IMAGE, hit.id, 96, 72)
        color, shape = Path(hit.path).stem.split("-")[0], Path(hit.path).parent.name.removesuffix("s")
        assert hit.caption == f"a {color} {shape}"
    (hit, *_) = searcher.search(Query((Term(text="a red boat"),), Modality.TEXT, limit=1)).hits
    assert (hit.caption, hit.modality) == ("a red boat", Modality.TEXT)
    assert hit.item not in (None, hit.id) and searcher.catalog.item(hit.item or 0).item.path == hit.path


def test_every_stage_is_timed(searcher: Searcher) -> None:
    for exact in (False, True):  # so few are all compared, either way
        took = searcher.search(Query((BOAT,), exact=exact)).took_ms
        assert set(took) == {"encode", "exact", "catalog", "total"}
        assert all(ms >= 0 for ms in took.values())
        assert took["total"] >= sum(ms for stage, ms in took.items() if stage != "total") - 0.1


def test_a_modality_that_is_not_indexed_has_no_hits(searcher: Searcher) -> None:
    results = searcher.search(Query((BOAT,), Modality.AUDIO))
    assert (results.hits, results.more) == ((), False)


# --- filters ---


@pytest.mark.parametrize(
    ("path", "count"),
    [("boats/*", 20), ("**/red-*", 10), ("trees/red-00?.jpg", 1), ("*", 40), ("Boats/*", 0), ("%", 0), ("_*", 0)],
)
@pytest.mark.parametrize("exact", [False, True])
def test_a_path_filters_before_anything_is_ranked(searcher: Searcher, path: str, count: int, exact: bool) -> None:
    everything = searcher.search(Query((BOAT,), limit=100, exact=exact))
    results = searcher.search(Query((BOAT,), where=Where(path), limit=100, exact=exact))
    matching = set(searcher.catalog.ids_matching(Where(path), Modality.IMAGE))
    assert len(results.hits) == len(matching) == count
    assert_same(results.hits, (hit for hit in everything.hits if hit.id in matching))


def test_a_filter_reaches_what_a_shallow_first_stage_would_not(library: Config, encoder: Encoder) -> None:
    config = replace(library, search=replace(library.search, candidates=1))
    shallow = Searcher(config, Catalog(library), encoder)
    last = shallow.search(Query((BOAT,), limit=100, exact=True)).hits[-1]
    assert ids(shallow.search(Query((BOAT,), where=Where(last.path), limit=1))) == [last.id]


# --- terms ---


def test_terms_add_up_with_their_weights(searcher: Searcher, encoder: Encoder, stored: dict[int, F32]) -> None:
    picture = Image.new("RGB", (64, 64), "blue")
    item = min(stored)
    terms = (BOAT, replace(TREE, weight=-0.7), Term(image=picture, weight=2.0), Term(item=item, weight=0.5))
    boat, tree = encoder.encode_text([BOAT.text or "", TREE.text or ""])
    vector = boat - 0.7 * tree + 2.0 * encoder.encode_images([picture])[0] + 0.5 * stored[item]
    everything = searcher.catalog.ids_matching(Where(), Modality.IMAGE)
    assert_ranked(searcher.search(Query(terms, limit=100)), vector, stored, everything)


def test_a_minus_term_pushes_away(searcher: Searcher) -> None:
    first = searcher.search(Query((BOAT,), limit=100)).hits
    pushed = searcher.search(Query((BOAT, Term(item=first[0].id, weight=-1.0)), limit=100)).hits
    assert score(first[0]) > 0
    assert {hit.id: score(hit) for hit in pushed}[first[0].id] < 0
    turned = searcher.search(Query((replace(BOAT, weight=-1.0),), limit=100)).hits
    assert [-score(hit) for hit in reversed(turned)] == pytest.approx([score(hit) for hit in first], abs=1e-5)


def test_an_item_finds_itself(searcher: Searcher, pictures: list[int]) -> None:
    for item in pictures[:5]:
        scores = {hit.id: score(hit) for hit in searcher.search(Query((Term(item=item),), limit=100)).hits}
        assert scores[item] == pytest.approx(1, abs=2e-3)
        assert max(scores.values()) <= scores[item] + 2e-3  # a lookalike may win by rounding


def test_a_caption_can_be_a_term(searcher: Searcher, stored: dict[int, F32]) -> None:
    caption = searcher.catalog.ids_matching(Where(), Modality.TEXT)[3]
    everything = searcher.catalog.ids_matching(Where(), Modality.IMAGE)
    assert_ranked(searcher.search(Query((Term(item=caption),), limit=100)), stored[caption], stored, everything)


def test_a_weight_alone_changes_no_score(searcher: Searcher) -> None:
    one, heavy = (searcher.search(Query((replace(BOAT, weight=w),), limit=10)).hits for w in (1.0, 30.0))
    assert [hit.id for hit in one] == [hit.id for hit in heavy]
    assert [score(hit) for hit in one] == pytest.approx([score(hit) for hit in heavy], abs=1e-5)


# --- pages ---


@pytest.mark.parametrize("exact", [False, True])
def test_pages_put_together_are_the_whole_list(searcher: Searcher, exact: bool) -> None:
    whole = searcher.search(Query((BOAT,), limit=100, exact=exact))
    assert not whole.more and len(whole.hits) == PICTURES
    for size in (1, 7, 20, 39, 40):
        pages = [
            searcher.search(Query((BOAT,), limit=size, offset=start, exact=exact)) for start in range(0, PICTURES, size)
        ]
        assert tuple(hit for page in pages for hit in page.hits) == whole.hits
        assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]


@pytest.mark.parametrize("offset", [PICTURES, 9999])
def test_a_page_past_the_end_is_empty(searcher: Searcher, offset: int) -> None:
    results = searcher.search(Query((BOAT,), limit=1, offset=offset))
    assert (results.hits, results.more) == ((), False)


# --- queries that cannot be asked ---

IMPOSSIBLE: dict[str, tuple[Query, str]] = {
    "nothing": (Query(()), "empty"),
    "blank words": (Query((Term(text=" \n"),)), "empty"),
    "no part": (Query((Term(),)), "exactly one"),
    "two parts": (Query((Term(text="a", item=1),)), "exactly one"),
    "nan": (Query((replace(BOAT, weight=float("nan")),)), "weight nan"),
    "infinite": (Query((replace(BOAT, weight=float("-inf")),)), "weight -inf"),
    "huge weight": (Query((replace(BOAT, weight=1001.0),)), "1001"),
    "cancelling": (Query((BOAT, replace(BOAT, weight=-1.0))), "cancel"),
    "weightless": (Query((replace(BOAT, weight=0.0),)), "cancel"),
    "no limit": (Query((BOAT,), limit=0), "limit"),
    "negative offset": (Query((BOAT,), offset=-1), "offset"),
    "too deep": (Query((BOAT,), limit=1, offset=10_000), "10,000"),
    "words that are no text": (Query((Term(text="boat \ud800"),)), "not valid text"),
    "a path that is no text": (Query((BOAT,), where=Where("\udcff/*")), "not valid text"),
}


@pytest.mark.parametrize(("query", "says"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_query_that_cannot_be_asked_says_why(searcher: Searcher, query: Query, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        searcher.search(query)


@pytest.mark.parametrize("item", [0, -1, 10**9, 2**63, 2**80])
def test_an_unknown_item_is_not_found(searcher: Searcher, item: int) -> None:
    with pytest.raises(NotFound, match=str(item)):
        searcher.search(Query((Term(item=item),)))


def test_a_library_without_a_version_is_not_ready(tmp_path: Path) -> None:
    config = config_at(tmp_path / "home")
    searcher = Searcher(config, Catalog(config, create=True))
    assert not searcher.refresh()
    with pytest.raises(NotReady, match="no index yet: run `rebus index FOLDER`"):
        searcher.search(Query((BOAT,)))


# --- what changes while it serves ---


@pytest.fixture
def live(library: Config, tmp_path: Path) -> Iterator[Config]:
    """A copy of the library that a test may change."""
    yield copy_library(library, tmp_path)


@pytest.fixture
def serving(live: Config, encoder: Encoder) -> Iterator[Searcher]:
    """A searcher that has begun to serve it."""
    searcher = Searcher(live, Catalog(live), encoder)
    searcher.search(Query((Term(text="warm"),), limit=1))
    yield searcher
    searcher.catalog.engine.dispose()


def media(config: Config) -> Path:
    return config.home.parent / "media1"


def update(config: Config, encoder: Encoder) -> None:
    """Another process indexes what changed, but publishes no version."""
    index_unpublished(config, encoder, media(config))


def paths(searcher: Searcher, **changes: object) -> dict[str, float]:
    """Every picture that is found, with its score."""
    query = replace(Query((BOAT,), limit=200), **changes)  # type: ignore[arg-type]
    exact, cascade = searcher.search(replace(query, exact=True)), searcher.search(query)
    assert_same(exact.hits, cascade.hits)
    return {hit.path: score(hit) for hit in cascade.hits}


def test_without_changes_there_is_nothing_to_refresh(serving: Searcher) -> None:
    assert [serving.refresh(), serving.refresh()] == [False, False]


def test_added_pictures_and_captions_appear_after_a_refresh(serving: Searcher, live: Config, encoder: Encoder) -> None:
    before, version = paths(serving), serving.version.id
    draw(media(live) / "boats" / "new.jpg", "yellow", "boat", 3, (50, 50))
    with (media(live) / "captions.jsonl").open("a") as file:
        file.write(json.dumps({"image": "boats/new.jpg", "en": ["a brand new boat"]}) + "\n")
    update(live, encoder)
    assert paths(serving) == before
    assert serving.refresh() and not serving.refresh()
    after = paths(serving)
    assert {path: score for path, score in after.items() if path != "boats/new.jpg"} == pytest.approx(before, abs=1e-5)
    assert "boats/new.jpg" in after
    assert set(paths(serving, where=Where("boats/new*"))) == {"boats/new.jpg"}
    words = serving.search(Query((Term(text="a brand new boat"),), Modality.TEXT, limit=1))
    assert words.hits[0].caption == "a brand new boat"
    assert words.index_version == version


def test_removed_pictures_are_gone_after_a_refresh_and_their_captions_too(
    serving: Searcher, live: Config, encoder: Encoder
) -> None:
    before = paths(serving)
    gone = next(iter(before))
    item = serving.catalog.ids_matching(Where(gone), Modality.IMAGE)[0]
    (media(live) / gone).unlink()
    update(live, encoder)
    # A hit whose file is known to be gone is left out even before the index hears of it.
    assert gone not in {hit.path for hit in serving.search(Query((BOAT,), limit=200)).hits}
    assert serving.refresh() and not serving.refresh()
    assert set(paths(serving)) == set(before) - {gone}
    captions = serving.search(Query((BOAT,), Modality.TEXT, limit=200))
    assert len(captions.hits) == CAPTIONS - 2 and gone not in {hit.path for hit in captions.hits}
    with pytest.raises(NotFound):
        serving.search(Query((Term(item=item),)))


def test_a_picture_that_was_added_and_removed_again_leaves_no_row(
    serving: Searcher, live: Config, encoder: Encoder
) -> None:
    draw(media(live) / "boats" / "new.jpg", "yellow", "boat", 3, (50, 50))
    update(live, encoder)
    assert serving.refresh() and len(serving.version.indexes[Modality.IMAGE]) == PICTURES + 1
    (media(live) / "boats" / "new.jpg").unlink()
    update(live, encoder)
    assert serving.refresh() and len(serving.version.indexes[Modality.IMAGE]) == PICTURES


def test_an_edited_picture_is_found_by_its_new_content(serving: Searcher, live: Config, encoder: Encoder) -> None:
    before = paths(serving)
    path = next(iter(before))
    item = serving.catalog.ids_matching(Where(path), Modality.IMAGE)[0]
    draw(media(live) / path, "green", "tree", 11, (70, 90))
    update(live, encoder)
    assert serving.refresh() and not serving.refresh()
    after = paths(serving)
    assert set(after) == set(before) and after[path] != before[path]
    edited = encoder.encode_images([Image.open(media(live) / path).convert("RGB")])[0]
    boat = encoder.encode_text([BOAT.text or ""])[0]
    assert after[path] == pytest.approx(float(edited @ boat), abs=0.02)
    hit = serving.search(Query((Term(item=item),), limit=1)).hits[0]
    assert (hit.id, hit.width, hit.height) == (item, 70, 90)


def test_a_picture_that_goes_and_comes_back_keeps_its_id(serving: Searcher, live: Config, encoder: Encoder) -> None:
    before = serving.search(Query((BOAT,), limit=200)).hits
    path = media(live) / before[0].path
    data = path.read_bytes()
    path.unlink()
    update(live, encoder)
    assert serving.refresh()
    path.write_bytes(data)
    update(live, encoder)
    assert serving.refresh()
    assert_same(serving.search(Query((BOAT,), limit=200)).hits, before)
    assert len(serving.search(Query((BOAT,), Modality.TEXT, limit=200)).hits) == CAPTIONS


def test_a_renamed_picture_keeps_its_id_and_score(serving: Searcher, live: Config, encoder: Encoder) -> None:
    first = serving.search(Query((BOAT,), limit=1)).hits[0]
    (media(live) / first.path).rename(media(live) / "renamed.jpg")
    update(live, encoder)
    serving.refresh()
    again = serving.search(Query((BOAT,), limit=1)).hits[0]
    assert (again.id, again.path) == (first.id, "renamed.jpg")
    assert score(again) == pytest.approx(score(first), abs=1e-5)


def test_a_newer_version_is_swapped_in(serving: Searcher, live: Config) -> None:
    before, old = paths(serving), serving.version.id
    draw(media(live) / "boats" / "new.jpg", "yellow", "boat", 3, (50, 50))
    (media(live) / next(iter(before))).unlink()
    report = index_folders(live, [media(live)], silent)
    assert report.version is not None and report.version.id > old
    assert serving.version.id == old
    assert serving.refresh() and not serving.refresh()
    assert serving.version.id == serving.search(Query((BOAT,))).index_version == report.version.id
    assert set(paths(serving)) == {*before, "boats/new.jpg"} - {next(iter(before))}
    assert len(serving.version.indexes[Modality.IMAGE].delta) == 0


def test_a_new_searcher_takes_in_what_was_embedded_after_the_version(
    live: Config, encoder: Encoder, serving: Searcher
) -> None:
    draw(media(live) / "boats" / "new.jpg", "yellow", "boat", 3, (50, 50))
    update(live, encoder)
    fresh = Searcher(live, Catalog(live), encoder)
    serving.refresh()
    assert "boats/new.jpg" in paths(fresh)
    assert paths(fresh) == pytest.approx(paths(serving), abs=1e-5)
    fresh.catalog.engine.dispose()


def test_queries_go_on_while_the_library_changes(serving: Searcher, live: Config, encoder: Encoder) -> None:
    kept = set(paths(serving))
    ended, wrong, asked = threading.Event(), list[str](), [0]

    def ask() -> None:
        try:
            while not ended.is_set() or not asked[0]:
                found = [hit.path for hit in serving.search(Query((BOAT,), limit=200)).hits]
                asked[0] += 1
                if len(set(found)) != len(found) or not kept <= set(found):
                    wrong.append(f"{len(found)} found")
        except Exception as error:
            wrong.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    for number in range(3):
        draw(media(live) / "boats" / f"new{number}.jpg", "yellow", "boat", 9 * number, (50, 50))
        update(live, encoder)
        serving.refresh()
    ended.set()
    thread.join()
    assert wrong == []
    assert len(paths(serving)) == PICTURES + 3


def test_a_damaged_version_is_refused_by_name(live: Config, encoder: Encoder) -> None:
    for codes in (live.home / "versions").glob("*/image.codes.npy"):
        codes.write_bytes(codes.read_bytes()[:-8])
    with pytest.raises(ArtifactError, match="altered"):
        Searcher(live, Catalog(live), encoder).search(Query((BOAT,)))


# --- the encoder a version needs ---


@pytest.fixture
def moved(live: Config, encoder_folder: Path, tmp_path: Path) -> Path:
    """The live library's encoder, as a folder that a test may change."""
    folder = Path(shutil.copytree(encoder_folder, tmp_path / "encoder"))
    catalog = Catalog(live)
    with catalog.session() as session:
        session.execute(sa.update(EncoderRow).values(spec=str(folder)))
    catalog.engine.dispose()
    return folder


def test_the_encoder_is_loaded_from_where_the_version_says(live: Config, moved: Path, searcher: Searcher) -> None:
    alone = Searcher(live, Catalog(live))
    assert paths(alone) == pytest.approx(paths(searcher), abs=1e-5)
    assert alone.encoder(alone.version) is alone.encoder(alone.version)
    assert alone.encoder(alone.version).spec == str(moved)


def test_an_encoder_whose_weights_changed_does_not_answer(live: Config, moved: Path) -> None:
    write_tiny_model(moved, seed=1)
    searcher = Searcher(live, Catalog(live))
    with pytest.raises(EncoderUnavailable, match=f"weights of {moved} changed since.*rebus index"):
        searcher.search(Query((BOAT,)))
    write_tiny_model(moved, seed=0)
    assert len(searcher.search(Query((BOAT,))).hits) == 24


def test_an_encoder_that_is_gone_is_named_and_items_still_find(live: Config, moved: Path) -> None:
    shutil.rmtree(moved)
    searcher = Searcher(live, Catalog(live))
    with pytest.raises(EncoderUnavailable, match=str(moved)):
        searcher.search(Query((BOAT,)))
    item = searcher.catalog.ids_matching(Where(), Modality.IMAGE)[0]
    assert len(searcher.search(Query((Term(item=item),))).hits) == 24


def test_an_encoder_of_another_library_is_not_used(live: Config, tmp_path: Path, searcher: Searcher) -> None:
    (tmp_path / "other").mkdir()
    other = load_encoder(str(write_tiny_model(tmp_path / "other", seed=1)), "cpu")
    assert paths(Searcher(live, Catalog(live), other)) == pytest.approx(paths(searcher), abs=1e-5)


def test_an_item_that_is_in_the_catalog_but_not_embedded_is_not_found(live: Config) -> None:
    catalog = Catalog(live)
    with catalog.session() as session:
        item = Item(root_id=1, modality="image", path="late.jpg", size=1, mtime_ns=1)
        session.add(item)
    with pytest.raises(NotFound, match=f"no indexed item {item.id}"):
        Searcher(live, catalog).search(Query((Term(item=item.id),)))
