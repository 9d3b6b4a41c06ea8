"""Stored pairs as training gets them: captions, languages, categories, marks; and the judging of what was learned."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog import Catalog, Embedding, EncoderRow, Item
from engine.config import Config
from engine.errors import EncoderUnavailable, InvalidInput
from engine.store import store_folder
from engine.types import F32
from indexer.heads.judging import Ranked, chance, judge
from indexer.heads.stored_pairs import Sides, StoredPairs, load_pairs
from indexer.metrics import PairRanks
from tests.learned_library import IMAGE_DIM, TEXT_DIM, Made, add_marks, make_learnable
from tests.web_library import copy_library


def pairs_of(count: int) -> StoredPairs:
    """One caption of each picture."""
    rows = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    ones, none = np.ones(count, np.float32), np.empty((0, 2), np.int64)
    return StoredPairs(rows, rows, tuple(map(str, range(count))), np.arange(count), None, ones, none)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_learnable(tmp_path_factory.mktemp("embedded"), 60, texts=True, categories=True)


@pytest.fixture
def made(embedded: Made, tmp_path: Path) -> Made:
    return dataclasses.replace(embedded, config=copy_library(embedded.config, tmp_path))


def load(config: Config, *languages: str, reads_words: bool = False) -> Sides:
    catalog = Catalog(config)
    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, 1)
    try:
        return load_pairs(catalog, config, encoder, languages or ("en",), None if reads_words else encode)
    finally:
        catalog.engine.dispose()


def encode(words: Sequence[str]) -> F32:
    """One vector for each text."""
    return np.ones((len(words), TEXT_DIM), np.float32)


def test_pairs_have_the_widths_words_and_owners_of_the_catalog(embedded: Made) -> None:
    sides = load(embedded.config)
    train, held_out = sides.train, sides.held_out["en"]
    assert train.images.shape == (45, IMAGE_DIM) and held_out.images.shape == (15, IMAGE_DIM)
    assert train.texts is not None and train.texts.shape == (90, TEXT_DIM) and len(train.words) == 90
    assert (np.bincount(train.owner) == 2).all() and train.weights.tolist() == [1.0] * 90 and not len(train.negatives)
    learned = [words for n, words in enumerate(embedded.said.values()) if n % 4]
    assert all(set(train.words[m].split()) == set(learned[row].split()) for m, row in enumerate(train.owner))
    assert train.categories is not None and set(train.categories.tolist()) <= {0, 1, 2}
    assert load(embedded.config, reads_words=True).train.texts is None


def test_marks_become_weighted_pairs_and_negatives_outside_the_held_out(made: Made) -> None:
    held, first, second = (list(made.said)[n] for n in (0, 1, 2))
    add_marks(
        made.config, [(first, "boat", False), (first, "boat", True), (second, "boat", False), (held, "boat", True)]
    )
    sides = load(made.config)
    train = sides.train
    assert sides.marks == 2 and train.words[-2:] == ("boat", "boat")
    assert train.owner[-2:].tolist() == [0, 1] and train.weights[-2:].tolist() == [made.config.head.mark_weight, 0.0]
    assert train.negatives.tolist() == [[len(train.words) - 1, 1]]
    assert train.texts is not None and np.array_equal(train.texts[-1], np.ones(TEXT_DIM))
    assert "boat" not in sides.held_out["en"].words


def test_marks_that_the_encoder_cannot_read_are_left_out(made: Made) -> None:
    def cannot(words: Sequence[str]) -> F32:
        raise EncoderUnavailable("imported")

    add_marks(made.config, [(list(made.said)[1], "boat", True)])
    catalog = Catalog(made.config)
    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, 1)
    sides = load_pairs(catalog, made.config, encoder, ("en",), cannot)
    assert sides.marks == 0 and len(sides.train.words) == 90
    assert load_pairs(catalog, made.config, encoder, ("en",), None).marks == 1
    catalog.engine.dispose()


def test_a_stored_vector_that_is_no_number_is_refused(made: Made) -> None:
    shard = store_folder(made.config.home, "fedcba9876543210fedcba9876543210") / "000000.f16"
    rows = np.fromfile(shard, "<f2").reshape(-1, IMAGE_DIM)
    rows[3] = np.nan  # the second picture's, which is trained on
    rows.tofile(shard)
    with pytest.raises(InvalidInput, match=r"1 stored image vectors .* no numbers: `rebus doctor"):
        load(made.config)


def test_captions_without_a_vector_take_no_part(made: Made) -> None:
    catalog = Catalog(made.config)
    with catalog.session() as session:
        texts = sa.select(Item.id).where(Item.modality == "text")
        session.execute(sa.delete(Embedding).where(Embedding.item_id.in_(texts)))
    catalog.engine.dispose()
    with pytest.raises(InvalidInput, match="run `rebus index` to embed"):
        load(made.config)


# --- judging ---


def ranked(to_images: list[int], to_texts: list[int]) -> Ranked:
    return Ranked(PairRanks(np.array(to_images), np.array(to_texts), np.arange(len(to_texts))), {})


def test_a_better_head_is_told_from_an_equal_and_a_worse_one() -> None:
    rng = np.random.default_rng(0)
    good, poor = (ranked(*rng.integers(0, most, (2, 200)).tolist()) for most in (15, 60))
    assert judge(good, {"head 1": poor}, 1000).better and judge(good, {}, 1000).better
    assert not judge(poor, {"head 1": good}, 1000).better and not judge(good, {"head 1": good}, 1000).better
    verdict = judge(good, {"head 1": poor, "the identity": good}, 1000)
    assert not verdict.better and "the identity" in verdict.why and "head 1" not in verdict.why


def test_too_few_pairs_promote_nothing_however_good() -> None:
    perfect, poor = ranked([0] * 30, [0] * 30), ranked([20] * 30, [20] * 30)
    assert judge(perfect, {"head 1": poor}, 100).better
    assert "too few" in judge(perfect, {"head 1": poor}, 10).why
    assert "too few" in judge(ranked([0] * 12, [0] * 12), {}, 100).why


@given(st.integers(20, 60), st.integers(0, 10**6))
def test_chance_is_what_a_random_order_gives(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n), 2)
    orders = [rng.permutation(n) for _ in range(2 * n)]
    to_images = np.array([int(np.flatnonzero(order == i)[0]) for order, i in zip(orders, owner, strict=True)])
    to_texts = np.array([int(np.flatnonzero(owner[rng.permutation(2 * n)] == i)[0]) for i in range(n)])
    one = Ranked(PairRanks(to_images, to_texts, owner), {})
    assert abs(chance(one.ranks) - one.figures["r10"]) < 6 * np.sqrt(0.25 / n)
