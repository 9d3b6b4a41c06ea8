"""Marks: kept with their query, used at once, taken back; and what training reads of them."""

from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from engine import marks
from engine.catalog import Catalog, EncoderRow, Item, Mark
from engine.config import Config
from engine.encoders import load_encoder
from engine.errors import InvalidInput, NotFound
from engine.marks import Asked, Marked
from engine.search import Searcher
from engine.types import Mode, Query, Term
from indexer.heads.stored_pairs import load_pairs
from tests.conftest import ask

BOAT = Term(text="a red boat")
PICTURE = Term(image=Image.new("RGB", (64, 64), "blue"))


@pytest.fixture
def searcher(changed: Config) -> Iterator[Searcher]:
    """Over a library to change."""
    catalog = Catalog(changed)
    yield Searcher(changed, catalog, load_encoder(changed.encoder.model, "cpu"))
    catalog.engine.dispose()


def ids(searcher: Searcher, *terms: Term, **changes: object) -> list[int]:
    query = Query(terms, limit=100, fold=False, **changes)  # type: ignore[arg-type]
    return [hit.id for hit in searcher.search(query).hits]


def mark(searcher: Searcher, terms: tuple[Term, ...], items: list[int], good: bool | None) -> int:
    return marks.put(searcher.catalog, searcher.known_as(terms), items, good)


@pytest.mark.parametrize("terms", [(BOAT,), (PICTURE,), (BOAT, Term(text="night", weight=-0.5))])
def test_a_bad_mark_leaves_an_item_out_of_that_query_alone(searcher: Searcher, terms: tuple[Term, ...]) -> None:
    before, other = ids(searcher, *terms), ids(searcher, Term(text="a green tree"))
    mark(searcher, terms, before[:2], False)
    assert ids(searcher, *terms) == before[2:]
    assert ids(searcher, *terms, marks=False) == before
    assert ids(searcher, Term(text="a green tree")) == other
    mark(searcher, terms, before[:2], None)
    assert ids(searcher, *terms) == before


@pytest.mark.parametrize("terms", [(BOAT,), (PICTURE,)])
def test_good_marks_draw_the_query_to_them(searcher: Searcher, terms: tuple[Term, ...]) -> None:
    before = searcher.search(Query(terms, limit=100, fold=False))
    last = before.hits[-1].id
    mark(searcher, terms, [last], True)
    after = searcher.search(Query(terms, limit=100, fold=False))
    scores = [{hit.id: hit.score or 0.0 for hit in results.hits} for results in (before, after)]
    assert scores[1][last] > scores[0][last] + 0.01 and (before.marks, after.marks) == (0, 1)


def test_moving_is_rocchio_s_sum() -> None:
    rows = np.eye(4, dtype=np.float32)
    for count in (1, 2, 3):
        moved, weight = marks.moved(rows[:1], rows[1 : 1 + count])
        total = rows[0] + count / (count + 3) * rows[1 : 1 + count].mean(axis=0)
        np.testing.assert_allclose(moved[0], total / np.linalg.norm(total), atol=1e-6)
        assert weight == count / (count + 3)


def test_the_last_word_counts_and_spaces_do_not(searcher: Searcher) -> None:
    item = ids(searcher, BOAT)[0]
    mark(searcher, (BOAT,), [item, item], True)
    mark(searcher, (Term(text=" a  red boat\n"),), [item], False)
    assert marks.of_query(searcher.catalog, Asked("a red boat")) == Marked(bad=(item,))
    assert marks.learned(searcher.catalog) == 1
    assert mark(searcher, (BOAT,), [item], None) == 1 and marks.learned(searcher.catalog) == 0


def test_marks_of_removed_items_wait_for_them(searcher: Searcher) -> None:
    item = ids(searcher, BOAT)[0]
    mark(searcher, (BOAT,), [item], False)
    for removed_at, known in ((1.0, ()), (None, (item,))):
        with searcher.catalog.session() as session:
            session.execute(sa.update(Item).where(Item.id == item).values(removed_at=removed_at))
        assert marks.of_query(searcher.catalog, Asked("a red boat")).bad == known
        assert len(marks.listed(searcher.catalog, limit=10)) == len(known)


def test_a_query_that_is_more_than_words_is_known_in_its_own_space_alone(searcher: Searcher) -> None:
    known = searcher.known_as((PICTURE,))
    assert known.words == "" and known.vector is not None
    item = ids(searcher, PICTURE)[0]
    marks.put(searcher.catalog, known, [item], True)
    assert marks.of_query(searcher.catalog, known).good == (item,)
    for other in (
        Asked(vector=known.vector, space="other"),
        searcher.known_as((Term(item=item),)),
        Asked("a red boat"),
    ):
        assert not len(marks.of_query(searcher.catalog, other))
    narrow = Asked(vector=known.vector[:8], space=known.space)
    assert not len(marks.of_query(searcher.catalog, narrow))


def test_training_reads_marks_on_words_and_no_others(searcher: Searcher, changed: Config) -> None:
    items = ids(searcher, BOAT)
    learned = [i for i in items if searcher.catalog.item(i).item.split == "train"]
    for terms in ((PICTURE,), (BOAT, Term(text="night", weight=-0.5))):
        mark(searcher, terms, learned[:2], False)
    with searcher.catalog.session() as session:
        encoder, encode = session.get_one(EncoderRow, 1), load_encoder(changed.encoder.model, "cpu").encode_text
    assert load_pairs(searcher.catalog, changed, encoder, ["en"], encode).marks == 0
    mark(searcher, (BOAT,), learned[:2], True)
    assert load_pairs(searcher.catalog, changed, encoder, ["en"], encode).marks == 2


def test_marks_of_a_query_change_the_state_that_its_cursors_go_by(searcher: Searcher) -> None:
    item, before = ids(searcher, BOAT)[0], ask(searcher, BOAT).state
    mark(searcher, (PICTURE,), [item], True)
    assert ask(searcher, BOAT).state == before
    states = [before]
    for good in (True, False):
        mark(searcher, (BOAT,), [item], good)
        states.append(ask(searcher, BOAT).state)
    mark(searcher, (BOAT,), [item], None)
    assert len(set(states)) == 3 and ask(searcher, BOAT).state == before


def test_marks_hold_in_every_mode(searcher: Searcher) -> None:
    for mode in Mode:
        before = ids(searcher, BOAT, mode=mode)
        mark(searcher, (BOAT,), before[:1], False)
        assert before[0] not in ids(searcher, BOAT, mode=mode)
        assert before[0] in ids(searcher, BOAT, mode=mode, marks=False)
        mark(searcher, (BOAT,), before[:1], None)


def test_what_cannot_be_marked_says_why(searcher: Searcher) -> None:
    with pytest.raises(NotFound, match="no item 999999"):
        mark(searcher, (BOAT,), [999_999], True)
    with pytest.raises(InvalidInput, match="empty"):
        mark(searcher, (), [1], True)
    with pytest.raises(InvalidInput, match="query"):
        marks.put(searcher.catalog, Asked(), [1], True)
    with searcher.catalog.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Mark)) == 0


def test_forgetting_by_number(searcher: Searcher) -> None:
    mark(searcher, (BOAT,), ids(searcher, BOAT)[:3], True)
    rows = marks.listed(searcher.catalog, "a red  boat", limit=10)
    assert len(rows) == 3 and [row.id for row in rows] == sorted((row.id for row in rows), reverse=True)
    assert marks.forget(searcher.catalog, [rows[0].id, 10**9]) == 1
    assert len(marks.listed(searcher.catalog, limit=10)) == 2
