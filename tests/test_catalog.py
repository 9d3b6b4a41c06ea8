"""The catalog on SQLite and on PostgreSQL: its schema, its migrations, and the reads a query makes."""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st

import migrations
from engine.catalog import (
    HEAD,
    Base,
    Caption,
    Catalog,
    Embedding,
    EncoderRow,
    FactsRow,
    Failure,
    HeadRow,
    IndexVersion,
    Item,
    Job,
    Keyword,
    Mark,
    Root,
    chunks,
)
from engine.config import Config
from engine.database import catalog_url, migrate
from engine.errors import CatalogError, NotFound
from engine.types import Modality, Where
from tests.conftest import config_at
from tests.databases import postgres

LARGEST = 2**63 - 1


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("psycopg")
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """Settings of a library whose database is there and empty."""
    if request.param == "sqlite":
        (tmp_path / "home").mkdir()
        return config_at(tmp_path / "home")
    server = request.getfixturevalue("server")
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"test_{abs(hash(request.node.nodeid))}"
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return config_at(tmp_path / "home", catalog={"url": server.replace("/postgres?", f"/{name}?")})


@pytest.fixture
def catalog(config: Config) -> Iterator[Catalog]:
    migrate(catalog_url(config))
    catalog = Catalog(config, create=True)
    yield catalog
    catalog.engine.dispose()


def add_root(catalog: Catalog, path: str = "/media") -> int:
    with catalog.session() as session:
        root = Root(path=path)
        session.add(root)
    return root.id


def add_items(catalog: Catalog, root: int, *paths: str, modality: Modality = Modality.IMAGE) -> list[int]:
    with catalog.session() as session:
        items = [Item(root_id=root, modality=modality, path=path, size=1, mtime_ns=LARGEST) for path in paths]
        session.add_all(items)
    return [item.id for item in items]


def add_caption(catalog: Catalog, picture: int, text: str, removed_at: float | None = None) -> int:
    with catalog.session() as session:
        owner = session.get_one(Item, picture)
        item = Item(root_id=owner.root_id, parent_id=picture, modality=Modality.TEXT, path=owner.path)
        item.size, item.mtime_ns, item.removed_at = len(text), 0, removed_at
        session.add(item)
        session.flush()
        session.add(Caption(id=item.id, owner_id=picture, text=text, lang="en", source="captions.jsonl"))
    return item.id


def fill(catalog: Catalog) -> None:
    """At least one row in every table, each column given."""
    root = add_root(catalog)
    (picture,) = add_items(catalog, root, "boats/déjà vu 船.jpg")
    add_caption(catalog, picture, "a red boat")
    with catalog.session() as session:
        encoder = EncoderRow(fingerprint="f" * 32, spec="/models/x", dim=64, rows=2, report={"best": {"r10": 0.5}})
        session.add_all([encoder, Failure(root_id=root, item_id=picture, path="x", stage="read", reason="r", hint="h")])
        session.flush()
        session.add_all(
            [
                HeadRow(encoder_id=encoder.id, method="cca", folder="heads/x", report={"seconds": 1.5}),
                Embedding(item_id=picture, encoder_id=encoder.id, shard=0, row=0),
                IndexVersion(encoder_id=encoder.id, folder="versions/000001", watermark=1, counts={"image": 1}),
                Job(kind="index", state="done", pid=LARGEST, finished_at=1.5),
                Mark(item_id=picture, query="boat", good=True),
                FactsRow(item_id=picture, taken_at=1.7e9, camera="Leica M6", latitude=-33.9, longitude=18.4, pages=1),
                Keyword(item_id=picture, word="harbour"),
            ]
        )


def rows(catalog: Catalog) -> dict[str, list[tuple[object, ...]]]:
    with catalog.engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(sa.select(table))]
            for name, table in Base.metadata.tables.items()
        }


def alembic(config: Config) -> AlembicConfig:
    found = AlembicConfig()
    found.set_main_option("script_location", str(Path(migrations.__file__).parent))
    found.attributes.update(url=catalog_url(config), metadata=Base.metadata)
    return found


# --- the schema ---


def test_the_newest_migration_is_the_one_the_code_expects(tmp_path: Path) -> None:
    assert ScriptDirectory.from_config(alembic(config_at(tmp_path))).get_current_head() == HEAD


def is_modelled(name: str | None, *_: object) -> bool:
    """All but the full-text index, of which SQLAlchemy knows nothing."""
    return not (name or "").startswith("words_fts") and not (name or "").endswith("_words")


def test_models_equal_the_migrated_schema(catalog: Catalog) -> None:
    with catalog.engine.connect() as connection:
        opts = {"compare_type": True, "compare_server_default": True, "include_name": is_modelled}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, Base.metadata) == []


def test_comparing_models_notices_a_missing_column(catalog: Catalog) -> None:
    with catalog.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE jobs DROP COLUMN message"))
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) != []


def test_migrations_go_down_and_up_again_on_real_rows(config: Config, catalog: Catalog) -> None:
    fill(catalog)
    assert [name for name, found in rows(catalog).items() if not found] == []
    command.downgrade(alembic(config), "base")
    assert set(sa.inspect(catalog.engine).get_table_names()) == {"alembic_version"}
    migrate(catalog_url(config))
    assert [name for name, found in rows(catalog).items() if found] == []
    fill(catalog)


def test_migrating_what_is_up_to_date_keeps_every_row(config: Config, catalog: Catalog) -> None:
    fill(catalog)
    before = rows(catalog)
    migrate(catalog_url(config))
    assert rows(catalog) == before


def test_every_migration_undoes_itself(config: Config) -> None:
    scripts = ScriptDirectory.from_config(alembic(config))
    for script in reversed(list(scripts.walk_revisions())):
        command.upgrade(alembic(config), script.revision)
        command.downgrade(alembic(config), "-1")
        command.upgrade(alembic(config), script.revision)


def test_foreign_keys_are_held(catalog: Catalog) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        add_items(catalog, 999, "a.jpg")


def test_a_present_path_is_there_once_and_a_removed_one_may_repeat(catalog: Catalog) -> None:
    root = add_root(catalog)
    (first,) = add_items(catalog, root, "a.jpg")
    with pytest.raises(sa.exc.IntegrityError):
        add_items(catalog, root, "a.jpg")
    with catalog.session() as session:
        session.get_one(Item, first).removed_at = 1.0
    assert add_items(catalog, root, "a.jpg") != [first]


@pytest.mark.parametrize("config", ["sqlite"], indirect=True)
def test_sqlite_writes_ahead_and_waits_for_other_writers(catalog: Catalog) -> None:
    pragmas = {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 15000}
    with catalog.engine.connect() as connection:
        assert {name: connection.scalar(sa.text(f"PRAGMA {name}")) for name in pragmas} == pragmas


def test_ids_are_never_used_again(catalog: Catalog) -> None:
    root = add_root(catalog)
    ids = add_items(catalog, root, "a.jpg", "b.jpg")
    with catalog.session() as session:
        session.execute(sa.delete(Item))
    assert min(add_items(catalog, root, "a.jpg", "b.jpg")) > max(ids)


@pytest.mark.parametrize("config", ["sqlite"], indirect=True)
def test_no_table_of_sqlite_uses_an_id_again(catalog: Catalog) -> None:
    with catalog.engine.connect() as connection:
        found = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        made = {row.name: row.sql for row in found}
    numbered = set(Base.metadata.tables) - {"captions", "facts", "keywords"}  # these have their item's id
    assert {name for name in Base.metadata.tables if "AUTOINCREMENT" in made[name]} == numbered


def test_an_error_rolls_the_whole_session_back(catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.session() as session:
        session.add(Root(path="/media"))
        session.flush()
        raise ZeroDivisionError
    assert rows(catalog)["roots"] == []


# --- what a query reads ---


def test_items_come_in_the_order_asked_for(catalog: Catalog) -> None:
    ids = add_items(catalog, add_root(catalog), *(f"{number}.jpg" for number in range(1200)))
    asked = [*reversed(ids), ids[0], 10**9, LARGEST + 1, -1, 0]
    views = catalog.items(asked)
    assert [view.item.id for view in views] == [*reversed(ids), ids[0]]
    assert (views[0].item.path, str(views[0].file), views[0].root) == ("1199.jpg", "/media/1199.jpg", "/media")


def test_no_items_are_asked_for(catalog: Catalog) -> None:
    assert catalog.items([]) == []


def test_a_picture_shows_its_first_present_caption_and_a_caption_its_own(catalog: Catalog) -> None:
    bare, picture = add_items(catalog, add_root(catalog), "bare.jpg", "boat.jpg")
    gone = add_caption(catalog, picture, "an old boat", removed_at=1.0)
    first, second = (add_caption(catalog, picture, text) for text in ("a red boat", "a boat at sea"))
    views = catalog.items([bare, picture, second, gone])
    assert [view.caption for view in views] == [None, "a red boat", "a boat at sea", "an old boat"]
    assert [view.picture_id for view in views] == [bare, picture, picture, picture]
    assert [caption.id for caption in catalog.captions_of(picture)] == [first, second]
    assert catalog.captions_of(bare) == []


def test_one_item_is_found_unless_it_is_removed_or_was_never_there(catalog: Catalog) -> None:
    present, removed = add_items(catalog, add_root(catalog), "a.jpg", "b.jpg")
    with catalog.session() as session:
        session.get_one(Item, removed).removed_at = 1.0
    assert catalog.item(present).item.path == "a.jpg"
    for missing in (removed, 10**9, 0, -1, LARGEST + 1):
        with pytest.raises(NotFound, match=str(missing)):
            catalog.item(missing)


def test_the_newest_version_is_the_current_one(catalog: Catalog) -> None:
    assert catalog.current_version() is None
    fill(catalog)
    with catalog.session() as session:
        session.add(IndexVersion(encoder_id=1, folder="versions/000002", watermark=0, counts={}))
    current = catalog.current_version()
    assert current is not None and current.folder == "versions/000002"


def test_a_glob_finds_present_paths_of_its_modality(catalog: Catalog) -> None:
    paths = ("a.jpg", "trips/b.jpg", "trips/2020/c.jpg", "100%.jpg", "x_y.jpg", "xzy.jpg", "Trips/d.jpg", "b\\c.jpg")
    ids = dict(zip(paths, add_items(catalog, add_root(catalog), *paths), strict=True))
    with catalog.session() as session:
        session.get_one(Item, ids["a.jpg"]).removed_at = 1.0
    add_caption(catalog, ids["trips/b.jpg"], "words")
    expected = {
        "*": set(paths) - {"a.jpg"},
        "trips/**": {"trips/b.jpg", "trips/2020/c.jpg"},
        "**/c.jpg": {"trips/2020/c.jpg"},
        "trips/?.jpg": {"trips/b.jpg"},
        "100%*": {"100%.jpg"},
        "x_y*": {"x_y.jpg"},
        "b\\c.jpg": {"b\\c.jpg"},
        "trips": set(),
        "": set(),
    }
    found = {pattern: set(catalog.ids_matching(Where(pattern), Modality.IMAGE)) for pattern in expected}
    assert found == {pattern: {ids[path] for path in matched} for pattern, matched in expected.items()}
    assert len(catalog.ids_matching(Where("trips/**"), Modality.TEXT)) == 1


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    catalog = Catalog(config_at(tmp_path_factory.mktemp("globs")), create=True)
    add_root(catalog)
    yield catalog
    catalog.engine.dispose()


# Few characters, so that patterns match: both cases, and all that LIKE, GLOB or a regular expression would take.
LETTERS = "aAé/%_\\*?[]. \n"
NAMES = st.text(LETTERS, min_size=1, max_size=6)


@st.composite
def globs(draw: st.DrawFn) -> tuple[set[str], str]:
    """Paths, and a glob that is one of them with some characters changed."""
    paths = draw(st.sets(NAMES, min_size=1, max_size=12))
    start = draw(st.sampled_from(sorted(paths)))
    return paths, "".join(draw(st.sampled_from((c, c, c.swapcase(), "?", "*", "**"))) for c in start)


@settings(max_examples=100, deadline=None)
@given(globs())
def test_globs_equal_a_regular_expression(sqlite: Catalog, drawn: tuple[set[str], str]) -> None:
    paths, glob = drawn
    ids = dict(zip(sorted(paths), add_items(sqlite, 1, *sorted(paths)), strict=True))
    pattern = re.compile("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in glob), re.DOTALL)
    try:
        found = sqlite.ids_matching(Where(glob), Modality.IMAGE)
        assert sorted(found) == sorted(ids[path] for path in paths if pattern.fullmatch(path))
    finally:
        with sqlite.session() as session:
            session.execute(sa.delete(Item))


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
def test_chunks_are_the_list_in_runs(items: list[int], size: int) -> None:
    runs = list(chunks(items, size))
    assert [item for run in runs for item in run] == items
    assert all(len(run) == size for run in runs[:-1]) and all(0 < len(run) <= size for run in runs[-1:])


# --- opening ---


def test_a_missing_library_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no library at .*nowhere.*rebus index FOLDER"):
        Catalog(config_at(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CatalogError, match="file/home cannot be made"):
        Catalog(config_at(tmp_path / "file" / "home"), create=True)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE items (name TEXT)")
    connection.close()


def _from_the_future(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("these are words, not a database\n" * 50), "not a database"),
    "foreign": (_foreign, "already exists"),
    "newer": (_from_the_future, "9999"),
}


@pytest.mark.parametrize(("make", "cause"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_database_that_is_not_a_catalog_is_refused(
    tmp_path: Path, make: Callable[[Path], object], cause: str
) -> None:
    make(tmp_path / "catalog.db")
    with pytest.raises(CatalogError, match=cause) as error:
        Catalog(config_at(tmp_path))
    assert str(tmp_path) in str(error.value)


def test_a_cut_database_is_refused(tmp_path: Path) -> None:
    catalog = Catalog(config_at(tmp_path), create=True)
    fill(catalog)
    with catalog.engine.connect() as connection:
        connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    catalog.engine.dispose()
    data = (tmp_path / "catalog.db").read_bytes()
    (tmp_path / "catalog.db").write_bytes(data[:5000])
    with pytest.raises(CatalogError, match="cannot be opened"):
        Catalog(config_at(tmp_path))


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "oracle://x/y",
        "postgresql+psycopg://x:port/y",
        "sqlite:////nowhere/at/all/x.db",
        "postgresql+psycopg:///x?host=/no",
    ],
)
def test_an_address_that_cannot_be_used_is_a_catalog_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(CatalogError, match="cannot be opened"):
        Catalog(config_at(tmp_path, catalog={"url": url}))
    with pytest.raises(CatalogError, match="cannot be opened"):
        migrate(url)


def test_a_newer_catalog_is_not_migrated(tmp_path: Path) -> None:
    _from_the_future(tmp_path / "catalog.db")
    with pytest.raises(CatalogError, match="9999.*Upgrade Rebus"):
        migrate(f"sqlite:///{tmp_path / 'catalog.db'}")


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    url = "postgresql+psycopg://rebus:sesame@localhost:1/x?host=/no"
    with pytest.raises(CatalogError) as error:
        Catalog(config_at(tmp_path, catalog={"url": url}))
    assert "sesame" not in str(error.value)


@pytest.mark.parametrize("config", ["postgresql"], indirect=True)
def test_a_server_that_is_not_migrated_says_which_command_does_it(config: Config) -> None:
    with pytest.raises(CatalogError, match="rebus migrate"):
        Catalog(config, create=True)


def test_many_threads_may_open_a_new_library_at_once(tmp_path: Path) -> None:
    barrier, opened = threading.Barrier(4), list[Catalog]()

    def open_it() -> None:
        barrier.wait()
        opened.append(Catalog(config_at(tmp_path / "home"), create=True))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for catalog in opened:
        catalog.engine.dispose()


def test_a_home_is_private_to_its_owner(tmp_path: Path) -> None:
    Catalog(config_at(tmp_path / "home"), create=True).engine.dispose()
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
