"""Every migration goes down and up again over rows, on SQLite and on PostgreSQL, and leaves the schema it found."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from engine.catalog import Catalog, Mark, Root
from engine.config import Config
from engine.database import catalog_url, migrate
from tests.conftest import config_at
from tests.databases import postgres
from tests.test_catalog import alembic, fill

Rows = dict[str, list[dict[str, Any]]]
# What the inspector says nothing of, by dialect.
_BESIDE = {
    "sqlite": ["SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view', 'index')"],
    "postgresql": [
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        "SELECT cfgname FROM pg_ts_config WHERE cfgnamespace = 'public'::regnamespace",
        "SELECT dictname, dictinitoption FROM pg_ts_dict WHERE dictnamespace = 'public'::regnamespace",
    ],
}


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    """Settings of a library whose database is there and empty."""
    (tmp_path / "home").mkdir()
    if request.param == "sqlite":
        yield config_at(tmp_path / "home")
        return
    pytest.importorskip("psycopg")
    with postgres() as url:
        yield config_at(tmp_path / "home", catalog={"url": url})


def schema(config: Config) -> dict[str, Any]:
    """All that a database holds but rows: columns, keys, indexes, triggers, views and functions."""
    engine = sa.create_engine(catalog_url(config))
    seen = sa.inspect(engine)
    found: dict[str, Any] = {}
    for table in sorted(seen.get_table_names()):
        found[table] = {
            "columns": {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in seen.get_columns(table)},
            "key": seen.get_pk_constraint(table)["constrained_columns"],
            "foreign": sorted((f["constrained_columns"], f["referred_table"]) for f in seen.get_foreign_keys(table)),
            "unique": sorted(u["column_names"] for u in seen.get_unique_constraints(table)),
            "indexes": sorted((i["name"] or "", i["column_names"], i["unique"]) for i in seen.get_indexes(table)),
        }
    with engine.connect() as connection:
        for query in _BESIDE[engine.dialect.name]:
            found[query] = sorted(map(tuple, connection.execute(sa.text(query))))
    engine.dispose()
    return found


def rows(config: Config) -> Rows:
    """Every row of every table of the catalog, in the columns that there are now."""
    engine = sa.create_engine(catalog_url(config))
    names = [name for name in sa.inspect(engine).get_table_names() if not name.startswith(("words_fts", "alembic"))]
    with engine.connect() as connection:
        found = {
            name: [dict(row) for row in connection.execute(sa.text(f"SELECT * FROM {name} ORDER BY 1")).mappings()]
            for name in names
        }
    engine.dispose()
    return found


def kept(before: Rows, after: Rows) -> bool:
    """Whether the rows are the same in the tables and columns that both have."""
    for name in before.keys() & after.keys():
        for old, new in zip(before[name], after[name], strict=True):
            if any(old[column] != new[column] for column in old.keys() & new.keys()):
                return False
    return True


def test_every_migration_goes_down_and_up_again_on_rows(config: Config) -> None:
    scripts = [script.revision for script in ScriptDirectory.from_config(alembic(config)).walk_revisions()]
    schemas = {}
    for revision in reversed(scripts):
        command.upgrade(alembic(config), revision)
        schemas[revision] = schema(config)
    catalog = Catalog(config)
    fill(catalog)
    catalog.engine.dispose()
    held = rows(config)
    for revision in scripts[1:]:
        command.downgrade(alembic(config), "-1")
        before, held = held, rows(config)
        assert schema(config) == schemas[revision] and held["items"] and kept(before, held)
    for revision in reversed(scripts[:-1]):
        command.upgrade(alembic(config), revision)
        before, held = held, rows(config)
        assert schema(config) == schemas[revision] and kept(before, held)
    catalog = Catalog(config)
    with catalog.session() as session:
        assert session.scalars(sa.select(Mark.query)).all() == ["boat"]
    catalog.engine.dispose()


def test_what_a_root_is_told_of_its_scans_goes_with_the_columns(config: Config) -> None:
    migrate(catalog_url(config))
    catalog = Catalog(config)
    with catalog.session() as session:
        session.add(Root(path="/media", unfinished=True, mounts=["boats"]))
    command.downgrade(alembic(config), "0004")
    assert [set(row) for row in rows(config)["roots"]] == [{"id", "path", "kind", "added_at"}]
    migrate(catalog_url(config))
    with catalog.session() as session:
        root = session.scalars(sa.select(Root)).one()
        assert (root.path, root.unfinished, root.mounts) == ("/media", False, None)
        root.unfinished, root.mounts = True, ["boats", "déjà/vu"]
    with catalog.session() as session:
        assert session.scalars(sa.select(Root.mounts)).one() == ["boats", "déjà/vu"]
        assert session.scalars(sa.select(Root.path).where(Root.unfinished)).all() == ["/media"]
    catalog.engine.dispose()
