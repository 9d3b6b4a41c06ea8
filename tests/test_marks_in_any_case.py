"""Marks on words meet the same words in another case, old ones too."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from engine import marks
from engine.catalog import Catalog, Item
from engine.config import Config


@pytest.fixture
def own(changed: Config) -> Iterator[tuple[Catalog, list[int]]]:
    """A library to change, and some of its items."""
    catalog = Catalog(changed)
    with catalog.session() as session:
        items = list(session.scalars(sa.select(Item.id).limit(3)))
    yield catalog, items
    catalog.engine.dispose()


@pytest.mark.parametrize(("said", "asked"), [("A dog", "a dog"), ("a dog", "A DOG"), ("Ein Hügel", "ein HÜGEL")])
def test_marks_meet_words_in_another_case(own: tuple[Catalog, list[int]], said: str, asked: str) -> None:
    catalog, items = own
    marks.put(catalog, marks.Asked(said), items, True)
    assert marks.of_query(catalog, marks.Asked(asked)).good == tuple(reversed(items))
    assert {row.query for row in marks.listed(catalog, asked, limit=9)} == {said}
    assert marks.of_query(catalog, marks.Asked(f"{asked}s")) == marks.Marked()
    marks.put(catalog, marks.Asked(asked), items[:1], False)
    assert marks.of_query(catalog, marks.Asked(said)).bad == (items[0],)
    assert marks.put(catalog, marks.Asked(asked), items[1:2], None) == 1
    assert marks.forget_all(catalog, marks.Asked(asked)) == 2
