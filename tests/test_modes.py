"""Hybrid, vector and text: what each finds, pages of it, and the explanations that add up."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from engine.catalog import Caption, Catalog, Embedding
from engine.config import Config, SearchSettings, load_config
from engine.encoders import load_encoder
from engine.errors import InvalidInput, NotReady
from engine.fusing import reciprocal_ranks
from engine.search import Searcher
from engine.types import Hit, Modality, Mode, Results, Term, Where
from indexer.library import index_folders
from tests.conftest import ask, config_at, draw_folder, searching, silent

BOAT = Term(text="a red boat")
NAME = Term(text="yellow-007")  # of a file, and in no caption


@pytest.fixture(scope="module")
def searcher(library: Config) -> Iterator[Searcher]:
    with searching(library) as searcher:
        yield searcher


def ids(results: Results) -> list[int]:
    return [hit.id for hit in results.hits]


def test_hybrid_is_the_default() -> None:
    assert SearchSettings().mode == "hybrid" and load_config("/nowhere", environ={}).search.mode == "hybrid"


def test_hybrid_is_both_lists_by_reciprocal_rank(searcher: Searcher) -> None:
    text, vector = (ask(searcher, BOAT, mode=mode) for mode in (Mode.TEXT, Mode.VECTOR))
    whole = [hit.id for hit in text.hits if hit.confidence == 1.0]
    truth, sums = reciprocal_ranks([np.array(part, np.int64) for part in (ids(text), ids(vector), whole)])
    results = ask(searcher, BOAT, mode=Mode.HYBRID)
    assert ids(results) == truth[:100].tolist()
    assert [hit.order for hit in results.hits] == pytest.approx(sums[:100].tolist(), abs=1e-5)
    assert results.mode is Mode.HYBRID and {"text", "exact"} <= set(results.took_ms)


def test_a_file_s_name_is_found_where_words_are(searcher: Searcher) -> None:
    for mode in (Mode.TEXT, Mode.HYBRID):
        best = ask(searcher, NAME, mode=mode).hits[0]
        assert Path(best.path).stem == "yellow-007"


def test_scores_are_cosines_whatever_orders_them(searcher: Searcher) -> None:
    by_vector = {hit.id: hit.score for hit in ask(searcher, BOAT, mode=Mode.VECTOR).hits}
    hybrid = ask(searcher, BOAT, mode=Mode.HYBRID).hits
    assert {hit.id: hit.score for hit in hybrid} == pytest.approx(by_vector, abs=1e-5)
    assert all(hit.score is None for hit in ask(searcher, BOAT, mode=Mode.TEXT).hits)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.TEXT])
def test_filters_hold_in_every_mode(searcher: Searcher, mode: Mode, modality: Modality) -> None:
    found = ask(searcher, BOAT, mode=mode, modality=modality, where=Where("boats/*")).hits
    assert found and all(hit.path.startswith("boats/") and hit.modality is modality for hit in found)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("fold", [False, True])
def test_pages_put_together_are_the_whole_list(searcher: Searcher, mode: Mode, fold: bool) -> None:
    whole = ids(ask(searcher, BOAT, mode=mode, fold=fold))
    paged, offset = list[int](), 0
    while True:
        page = ask(searcher, BOAT, mode=mode, fold=fold, limit=7, offset=offset)
        paged, offset = paged + ids(page), offset + 7
        if not page.more:
            break
    assert paged == whole and len(set(whole)) == len(whole)


def test_pictures_are_asked_by_vectors(searcher: Searcher) -> None:
    picture = Term(image=Image.new("RGB", (64, 64), "blue"))
    for terms in ((picture,), (BOAT, picture), (Term(item=ids(ask(searcher, BOAT))[0]),)):
        assert ask(searcher, *terms, mode=Mode.HYBRID).mode is Mode.VECTOR
        with pytest.raises(InvalidInput, match="mode text looks words up"):
            ask(searcher, *terms, mode=Mode.TEXT)


def test_a_minus_word_leaves_out_in_text_and_pushes_away_in_hybrid(searcher: Searcher) -> None:
    red = Term(text="red", weight=-0.5)
    boats = ask(searcher, Term(text="boat"), mode=Mode.TEXT)
    rest = ask(searcher, Term(text="boat"), red, mode=Mode.TEXT)
    assert ids(rest) == [hit.id for hit in boats.hits if "red" not in hit.path]
    assert ask(searcher, Term(text="boat"), red, mode=Mode.HYBRID).mode is Mode.HYBRID


def test_the_words_half_of_hybrid_leaves_out_what_holds_a_minus_word(searcher: Searcher) -> None:
    terms = Term(text="boat"), Term(text="red", weight=-1.0)
    kept = set(ids(ask(searcher, *terms, mode=Mode.TEXT)))
    hits = ask(searcher, *terms, mode=Mode.HYBRID, explain=True).hits
    assert {hit.id for hit in hits if hit.explanation and hit.explanation.text_rank} == kept
    assert any("red" in hit.path for hit in hits), "by meaning they are only further down"


def test_text_needs_no_encoder_and_no_version(tmp_path: Path) -> None:
    config = config_at(tmp_path / "home")
    index_folders(config, [draw_folder(tmp_path / "media", 8)], silent)
    catalog = Catalog(config)
    searcher = Searcher(config, catalog)
    results = ask(searcher, Term(text="number 3"), mode=Mode.TEXT)
    assert [Path(hit.path).stem for hit in results.hits][:1] == ["yellow-003"] and results.index_version == 0
    for mode in (Mode.HYBRID, Mode.VECTOR):
        with pytest.raises(NotReady):
            ask(searcher, BOAT, mode=mode)
    catalog.engine.dispose()


def test_what_has_no_vector_is_found_by_its_words(changed: Config) -> None:
    catalog = Catalog(changed)
    with catalog.session() as session:
        item = session.scalars(sa.select(Caption.owner_id).where(Caption.text.endswith(", number 3"))).first()
        assert item is not None
        session.execute(sa.delete(Embedding).where(Embedding.item_id == item))
    searcher = Searcher(changed, catalog, load_encoder(changed.encoder.model, "cpu"))
    searcher.version.indexes[Modality.IMAGE].delete(np.array([item]))
    hit = ask(searcher, Term(text="number 3"), mode=Mode.HYBRID, explain=True).hits[0]
    assert (hit.id, hit.score) == (item, None) and hit.explanation is not None
    assert hit.explanation.parts == () and hit.explanation.stages == ("text",)
    catalog.engine.dispose()


# --- explanations ---


def shares(hit: Hit) -> float:
    assert hit.explanation is not None
    return sum(part.share for part in hit.explanation.parts)


def test_what_terms_gave_adds_up_to_the_score(searcher: Searcher) -> None:
    picture = Term(image=Image.new("RGB", (64, 64), "blue"), weight=2.0)
    terms = (BOAT, Term(text="a green tree", weight=-0.7), picture, Term(item=ids(ask(searcher, BOAT))[3]))
    for asked in ((BOAT,), terms):
        for mode in (Mode.VECTOR, Mode.HYBRID):
            for hit in ask(searcher, *asked, mode=mode, explain=True).hits:
                assert hit.score == pytest.approx(shares(hit), abs=1e-4)
                assert len(hit.explanation.parts) == len(asked)  # type: ignore[union-attr]


def test_good_marks_are_a_part_of_the_score(changed: Config) -> None:
    from engine import marks

    catalog = Catalog(changed)
    searcher = Searcher(changed, catalog, load_encoder(changed.encoder.model, "cpu"))
    marks.put(catalog, searcher.known_as((BOAT,)), ids(ask(searcher, BOAT))[-2:], True)
    for hit in ask(searcher, BOAT, explain=True).hits:
        assert hit.explanation is not None and hit.score == pytest.approx(shares(hit), abs=1e-4)
        assert [part.term for part in hit.explanation.parts] == ["a red boat", "good marks"]
    catalog.engine.dispose()


def test_ranks_and_stages_are_those_of_the_lists(searcher: Searcher) -> None:
    texts, vectors = (ids(ask(searcher, BOAT, mode=mode)) for mode in (Mode.TEXT, Mode.VECTOR))
    for hit in ask(searcher, BOAT, mode=Mode.HYBRID, explain=True).hits:
        why = hit.explanation
        assert why is not None and why.fused == pytest.approx(hit.order, abs=1e-5)
        assert why.vector_rank == (vectors.index(hit.id) + 1 if hit.id in vectors else None)
        assert why.text_rank == (texts.index(hit.id) + 1 if hit.id in texts else None)
        assert ("text" in why.stages) == (hit.id in texts) and "exact" in why.stages
    (first, *_) = ask(searcher, NAME, mode=Mode.TEXT, explain=True).hits
    assert first.explanation is not None
    assert (first.explanation.stages, first.explanation.text_of, first.explanation.parts) == (("text",), "path", ())
    (exact, *_) = ask(searcher, BOAT, exact=True, explain=True).hits
    assert exact.explanation is not None and exact.explanation.stages == ("exact",)


def test_nothing_is_explained_unasked(searcher: Searcher) -> None:
    assert all(hit.explanation is None for hit in ask(searcher, BOAT, mode=Mode.HYBRID).hits)
