"""Every real method through `rebus train` itself, on a small library; what is refused, and what a query makes of it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from engine.catalog import Caption, Catalog, Item
from engine.config import HeadSettings
from engine.errors import InvalidInput
from engine.search import Searcher
from engine.types import Modality, Query, Term
from indexer.heads.judging import Ranked, lost_elsewhere
from indexer.heads.methods import METHODS
from indexer.heads.run import Trained, train_heads, use_head
from indexer.metrics import PairRanks
from indexer.progress import Progress
from tests.conftest import silent
from tests.learned_library import Made, add_caption, make_learnable
from tests.web_library import copy_library

QUICK = HeadSettings(dim=32, width=32, epochs=2, batch_size=64, vocabulary=300, learning_rate=0.01)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Pictures with categories alone have vectors."""
    made = make_learnable(tmp_path_factory.mktemp("library"), categories=True)
    return dataclasses.replace(made, config=dataclasses.replace(made.config, head=QUICK))


@pytest.fixture
def made(library: Made, tmp_path: Path) -> Made:
    return dataclasses.replace(library, config=copy_library(library.config, tmp_path))


@pytest.fixture
def catalog(made: Made) -> Iterator[Catalog]:
    catalog = Catalog(made.config)
    yield catalog
    catalog.engine.dispose()


def train(made: Made, *names: str, languages: tuple[str, ...] = (), **changes: Any) -> Trained:
    config = dataclasses.replace(made.config, head=dataclasses.replace(made.config.head, **changes))
    with Progress() as progress:
        return train_heads(config, names, languages, progress.tell, progress.hear, progress.note)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_learns_from_a_library_and_is_kept(name: str, made: Made) -> None:
    (row,) = train(made, name).heads
    assert row.method == name and 0 < row.report["held_out"]["r10"] <= 1
    assert (made.config.home / row.folder / "manifest.json").is_file()


def test_a_head_that_ends_in_no_numbers_is_not_kept(made: Made, catalog: Catalog) -> None:
    before = catalog.current_version()
    with pytest.raises(InvalidInput, match="ended in numbers that are none.*lower head.learning_rate"):
        train(made, "infonce", learning_rate=1e30)
    after = catalog.current_version()
    assert before and after and before.id == after.id and list((made.config.home / "heads").glob("*")) == []


def test_terms_of_equal_weight_are_read_together_by_a_head_that_fuses(made: Made, catalog: Catalog) -> None:
    (row,) = train(made, "fusion").heads
    use_head(made.config, row.id, silent)
    searcher = Searcher(made.config, catalog)
    head, picture = searcher.version.head, min(made.said)
    words = Term(text=made.said[picture])
    both = searcher._vector(searcher.version, Query((words, Term(item=picture)), Modality.IMAGE)).vector
    added = searcher._vector(
        searcher.version, Query((words, dataclasses.replace(Term(item=picture), weight=0.999)), Modality.IMAGE)
    ).vector
    stored = searcher._stored(searcher.version, picture)[1]
    np.testing.assert_allclose(both, head.fuse({Modality.IMAGE: stored}, [made.said[picture]]), atol=1e-5)
    assert head.fuses and float(np.linalg.norm(both)) == pytest.approx(1, abs=1e-4)
    assert not np.allclose(both, added, atol=1e-3)
    assert searcher.search(Query((words, Term(item=picture)), Modality.IMAGE)).hits


def test_words_that_no_caption_has_are_refused_by_token_heads_too(made: Made, catalog: Catalog) -> None:
    (row,) = train(made, "infonce").heads
    use_head(made.config, row.id, silent)
    with pytest.raises(InvalidInput, match="no word of '猫狗'"):
        Searcher(made.config, catalog).search(Query((Term(text="猫狗"),)))


def test_a_library_whose_captions_name_no_val_is_divided_by_hash(made: Made, catalog: Catalog) -> None:
    with catalog.session() as session:
        session.execute(sa.update(Item).values(split="train"))
    (row,) = train(made, "cca").heads
    assert 0 < row.report["held_out_pictures"] < 60


def test_what_another_language_would_lose_is_seen(made: Made, catalog: Catalog) -> None:
    good, poor = (Ranked(PairRanks(r, r, np.arange(100)), {}) for r in (np.zeros(100, int), np.full(100, 50)))
    assert lost_elsewhere({"zh": good, "en": poor}, {"zh": poor, "en": good}).startswith("it finds less in en")
    assert lost_elsewhere({"zh": good, "en": good}, {"zh": poor, "en": good}) == ""
    with catalog.session() as session:
        for item in session.scalars(sa.select(Item).where(Item.modality == "image")):
            add_caption(session, item, f"x{made.said[item.id]}", lang="zh")
        assert session.scalar(sa.select(sa.func.count()).select_from(Caption).where(Caption.lang == "zh"))
    languages = dataclasses.replace(made.config.captions, languages=("en", "zh"))
    both = dataclasses.replace(made, config=dataclasses.replace(made.config, captions=languages))
    (row,) = train(both, "cca", languages=("zh",)).heads
    assert list(row.report["languages"]) == ["zh", "en"]
