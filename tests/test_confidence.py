"""Confidence: fitted to what a library's own captions come near to, kept with its version, and cut by."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog import Catalog, EncoderRow, IndexVersion
from engine.confidence import LIKELY, UNLIKELY, Calibration, band
from engine.config import Config
from engine.encoders import load_encoder
from engine.encoders.features import FeatureEncoder
from engine.errors import InvalidInput
from engine.lists import ListBackend
from engine.search import Searcher
from engine.types import F32, Modality, Mode, Query, Term
from engine.versions import Version
from indexer import calibration
from indexer.build import build
from indexer.calibration import calibrate
from tests.conftest import ask, searching, silent
from tests.models import write_tiny_model
from tests.web_library import copy_library

BOAT = Term(text="a red boat")
MADE = Calibration(cosine=12.0, log_words=-0.7, bias=-1.0, queries=1200, pictures=40, auc=0.8)


@pytest.fixture(scope="module")
def calibrated(library: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A library whose version has a calibration of known numbers."""
    config = copy_library(library, tmp_path_factory.mktemp("calibrated"))
    catalog = Catalog(config)
    with catalog.session() as session:
        session.execute(sa.update(IndexVersion).values(calibration=MADE.facts()))
    catalog.engine.dispose()
    return config


@pytest.fixture(scope="module")
def searcher(calibrated: Config) -> Iterator[Searcher]:
    with searching(calibrated) as searcher:
        yield searcher


# --- what is said ---


@given(st.floats(-1, 1), st.integers(1, 100))
def test_it_is_a_probability_that_grows_with_the_cosine(cosine: float, words: int) -> None:
    low, high = MADE.confidences(np.array([cosine, cosine + 0.05], np.float32), words)
    assert 0 <= low <= high <= 1
    assert np.isnan(MADE.confidences(np.array([np.nan], np.float32), words))


def test_what_the_encoder_can_only_spell_is_not_likely(searcher: Searcher, tmp_path: Path) -> None:
    encoder = load_encoder(str(write_tiny_model(tmp_path, merges=None)), "cpu")
    sure = np.array([0.9, -0.9], np.float32)
    for words in (["xqzvbn"], ["wkjq", "zzxqvp"], ["tgbyhn", "ujm"]):
        low, lowest = MADE.for_words(words, encoder).confidences(sure, 1)
        assert UNLIKELY < low < LIKELY < MADE.confidences(sure, 1)[0] and lowest == MADE.confidences(sure, 1)[1]
    for words in ([], ["boat"], ["tv"], ["fur"], ["4711"], ["船舶航行"], ["xqzvbn", "boat"], ["nietzsche", "portrait"]):
        assert MADE.for_words(words, encoder) == MADE, words
    asked = [searcher.search(Query((Term(text=text),), mode=Mode.VECTOR)).confidence for text in ("xqzvbn", "boat")]
    assert asked[0] is not None and asked[0] <= 0.5
    assert encoder.pieces("boat") == 1 and FeatureEncoder("f", {}).pieces("boat") == 0


def test_bands_are_words_for_numbers() -> None:
    assert [band(value) for value in (None, 0.0, UNLIKELY, LIKELY, 1.0)] == [
        None,
        "unlikely",
        "unsure",
        "likely",
        "likely",
    ]


def test_numbers_are_read_as_they_were_written_and_foreign_ones_are_none() -> None:
    assert Calibration.read(MADE.facts()) == MADE
    for facts in (None, {}, {**MADE.facts(), "more": 1}):
        assert Calibration.read(facts) is None


def test_each_hit_has_that_of_its_own_cosine_and_the_query_that_of_the_best(searcher: Searcher) -> None:
    results = ask(searcher, BOAT)
    cosines = np.array([hit.score for hit in results.hits], np.float32)
    assert [hit.confidence for hit in results.hits] == pytest.approx(MADE.confidences(cosines, 3).tolist(), abs=1e-3)
    assert results.confidence == pytest.approx(results.hits[0].confidence or 0, abs=1e-4)
    assert ask(searcher, BOAT, offset=20, limit=5).confidence == results.confidence


def test_words_that_stand_there_are_certain(searcher: Searcher) -> None:
    results = ask(searcher, BOAT, mode=Mode.HYBRID)
    certain = {hit.id for hit in results.hits if hit.confidence == 1.0}
    assert results.confidence == 1.0
    assert certain == {hit.id for hit in results.hits if hit.caption == "a red boat"}
    assert ask(searcher, BOAT, mode=Mode.TEXT, limit=1).hits[0].confidence == 1.0


def test_only_words_looking_for_pictures_have_any(searcher: Searcher) -> None:
    item = Term(item=ask(searcher, BOAT).hits[0].id)
    for terms in ((item,), (BOAT, item), (BOAT, Term(text="a tree"))):
        assert ask(searcher, *terms).confidence is None
        with pytest.raises(InvalidInput, match="min cuts by confidence"):
            ask(searcher, *terms, least=0.5)


def test_words_with_a_minus_leave_the_confidence_to_those_without(searcher: Searcher) -> None:
    alone = {hit.id: hit.confidence for hit in ask(searcher, BOAT).hits}
    for less in (Term(text="night", weight=-0.5), Term(item=min(alone), weight=-0.5)):
        results = ask(searcher, BOAT, less)
        assert [hit.id for hit in results.hits] != list(alone), "the order is another"
        assert {hit.id: hit.confidence for hit in results.hits} == pytest.approx(alone, abs=1e-3)
        assert results.confidence == pytest.approx(max(filter(None, alone.values())), abs=1e-3)
        kept = [hit.id for hit in ask(searcher, BOAT, less, least=0.5).hits]
        assert kept == [hit.id for hit in results.hits if (hit.confidence or 0) >= 0.5]


@pytest.mark.parametrize("mode", Mode)
def test_min_leaves_out_what_is_less_sure(searcher: Searcher, mode: Mode) -> None:
    everything = ask(searcher, BOAT, mode=mode).hits
    for least in (0.2, 0.5, 1.0):
        kept = [hit.id for hit in everything if (hit.confidence or 0) >= least]
        results = ask(searcher, BOAT, mode=mode, least=least)
        assert [hit.id for hit in results.hits] == kept and not results.more
        assert [hit.id for hit in ask(searcher, BOAT, mode=mode, least=least, limit=3).hits] == kept[:3]


@pytest.mark.parametrize("least", [-0.1, 1.1, float("nan")])
def test_an_impossible_min_is_refused(searcher: Searcher, least: float) -> None:
    with pytest.raises(InvalidInput, match="no confidence"):
        ask(searcher, BOAT, least=least)


def test_a_version_without_a_calibration_has_none(library: Config, searcher: Searcher) -> None:
    catalog = Catalog(library)
    plain = Searcher(library, catalog, load_encoder(library.encoder.model, "cpu"))
    results = ask(plain, BOAT, mode=Mode.HYBRID)
    assert results.confidence is None and all(hit.confidence is None for hit in results.hits)
    with pytest.raises(InvalidInput, match="rebus index"):
        ask(plain, BOAT, least=0.5)
    catalog.engine.dispose()


# --- how it is fitted ---


def points(seed: int, count: int = 120, width: int = 16) -> tuple[F32, F32]:
    """Pictures in ten heaps, and questions near to some of them."""
    rng = np.random.default_rng(seed)
    heaps = rng.normal(size=(10, width))
    pictures = heaps[np.arange(count) % 10] + 0.3 * rng.normal(size=(count, width))
    rows = pictures + 0.3 * rng.normal(size=(count, width))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (pictures, rows)]
    return unit[0].astype(np.float32), unit[1].astype(np.float32)


def test_the_nearest_without_the_like_half_is_reckoned_by_hand() -> None:
    pictures, rows = points(0)
    own = np.arange(len(rows))
    here, gone = calibration._nearest(rows, pictures, own)
    for n in range(0, 120, 17):
        alike = pictures @ pictures[n]
        far = [m for m in range(120) if alike[m] < np.median(alike)]
        assert len(far) == 60
        assert here[n] == pytest.approx(float((pictures @ rows[n]).max()), abs=1e-6)
        assert gone[n] == pytest.approx(float((pictures[far] @ rows[n]).max()), abs=1e-6)


def test_what_can_be_told_apart_is_calibrated_and_holds_for_others() -> None:
    own, words = np.arange(120), np.full(120, 4)
    fitted = calibration._fitted(*calibration._nearest(points(0)[1], points(0)[0], own), words, own, 120)
    assert fitted is not None and fitted.auc > 0.8 and fitted.cosine > 0 and fitted.pictures == 120
    here, gone = calibration._nearest(points(1)[1], points(1)[0], own)
    assert float(fitted.confidences(here, 4).mean()) > 0.7 > 0.3 > float(fitted.confidences(gone, 4).mean())


def test_what_cannot_be_told_apart_is_not() -> None:
    noise = np.random.default_rng(0).uniform(0, 1, (2, 120)).astype(np.float32)
    assert calibration._fitted(noise[0], noise[1], np.full(120, 4), np.arange(120), 120) is None


@pytest.mark.parametrize("listed", [False, True])
def test_indexing_calibrates_where_there_are_enough_pictures(
    changed: Config, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    catalog, encoder = Catalog(changed), load_encoder(changed.encoder.model, "cpu")
    if listed:
        config = replace(changed, codec=replace(changed.codec, lists_from=20, parts=8))
        with catalog.session() as session:
            build(catalog, config, session.scalars(sa.select(EncoderRow)).one(), silent)
    row = catalog.versions()[0]
    assert isinstance(Version.load(catalog, row).indexes[Modality.IMAGE].base, ListBackend) == listed
    assert calibrate(catalog, changed, row, silent, encoder) is None  # forty are too few
    monkeypatch.setattr(calibration, "LEAST", 5)
    monkeypatch.setattr(calibration, "_TOLD", 0.0)  # random weights tell nothing
    found = calibrate(catalog, changed, row, silent, encoder)
    assert found is not None and found.pictures == 40 and found.queries > 0
    assert Calibration.read(catalog.versions()[0].calibration) == found
    assert calibrate(catalog, changed, catalog.versions()[0], silent, None) == found  # it is kept: nothing is loaded
    assert Searcher(changed, catalog, encoder).search(Query((BOAT,))).confidence is not None
    catalog.engine.dispose()
