"""What a scan asks of the catalog is found by the few rows that it is about, however many others there are."""

import pytest
import sqlalchemy as sa

from engine.catalog import Item
from engine.config import Config
from tests.catalogs import new_catalog
from tests.conftest import config_at

_IS_FILE = sa.and_(Item.parent_id.is_(None), Item.removed_at.is_(None))


@pytest.fixture
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return config_at(tmp_path_factory.mktemp("library") / "home")


@pytest.mark.parametrize(
    ("index", "which"),
    [
        ("ix_items_content_hash", sa.and_(Item.content_hash.in_(map(str, range(256))), _IS_FILE)),
        ("ix_items_folder", sa.and_(Item.root_id == 1, Item.folder.in_(["a", "b", "c"]), Item.parent_id.is_(None))),
        ("ix_items_parent_id", sa.and_(Item.parent_id.in_(range(500)), Item.removed_at.is_(None))),
        ("ix_items_removed_at", Item.removed_at > 1.0),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_files_are_looked_up_by_what_is_known_of_them(
    config: Config, index: str, which: sa.ColumnElement[bool]
) -> None:
    catalog = new_catalog(config)
    query = sa.select(Item.path).where(which).compile(catalog.engine, compile_kwargs={"literal_binds": True})
    with catalog.engine.connect() as connection:
        plan = connection.execute(sa.text(f"EXPLAIN QUERY PLAN {query}")).all()
    assert [index in row[3] for row in plan if " items" in row[3]] == [True]


def test_files_that_are_marked_removed_are_no_search_of_all(config: Config) -> None:
    """With what belongs to them."""
    catalog = new_catalog(config)
    which = sa.or_(Item.id.in_(range(500)), Item.parent_id.in_(range(500)))
    query = sa.update(Item).where(which, Item.removed_at.is_(None)).values(removed_at=1.0)
    with catalog.engine.connect() as connection:
        text = query.compile(catalog.engine, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in connection.execute(sa.text(f"EXPLAIN QUERY PLAN {text}"))]
    assert plan[0] == "MULTI-INDEX OR" and not any("SCAN items" in step for step in plan)
