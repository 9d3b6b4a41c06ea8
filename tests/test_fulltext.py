"""Words looked up as they are written, on SQLite and on PostgreSQL, and an index that is right after every change."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import migrations
from engine import fulltext
from engine.catalog import Caption, Catalog, FactsRow, Item, Keyword, Root
from engine.config import Config
from engine.database import catalog_url, migrate
from engine.filters import Filters
from engine.fulltext import KINDS, find, holding, words_in
from engine.types import Modality, Where
from tests.conftest import config_at
from tests.databases import postgres

IMAGE, TEXT = Modality.IMAGE, Modality.TEXT


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    home = tmp_path_factory.mktemp("words") / "home"
    home.mkdir()
    if request.param == "sqlite":
        yield config_at(home)
        return
    pytest.importorskip("psycopg")
    with postgres() as url:
        yield config_at(home, catalog={"url": url})


@pytest.fixture
def catalog(config: Config) -> Iterator[Catalog]:
    """An empty catalog."""
    migrate(catalog_url(config))
    catalog = Catalog(config, create=True)
    with catalog.session() as session:
        for table in (FactsRow, Keyword, Caption):
            session.execute(sa.delete(table))
        session.execute(sa.delete(Item).where(Item.parent_id.is_not(None)))
        session.execute(sa.delete(Item))
        session.execute(sa.delete(Root))
        session.add(Root(path="/media"))
    yield catalog
    catalog.engine.dispose()


def words_counted(catalog: Catalog, words: str) -> tuple[dict[str, int], int]:
    with catalog.reading() as connection:
        return fulltext._engine_of(catalog).counts(connection, words.split())


def put(catalog: Catalog, path: str, *captions: str, keywords: tuple[str, ...] = ()) -> int:
    """A picture with its words; its id."""
    with catalog.session() as session:
        root = session.scalars(sa.select(Root.id)).one()
        item = Item(root_id=root, modality=IMAGE, path=path, size=1, mtime_ns=1)
        session.add(item)
        session.flush()
        session.add_all(Keyword(item_id=item.id, word=word) for word in keywords)
        for text in captions:
            words = Item(root_id=root, parent_id=item.id, modality=TEXT, path=path, size=1, mtime_ns=1)
            session.add(words)
            session.flush()
            session.add(Caption(id=words.id, owner_id=item.id, text=text, lang="en", source="made"))
    return item.id


def asked(catalog: Catalog, words: str, modality: Modality = IMAGE, **filters: str) -> list[int]:
    where = Filters(**filters).where()  # type: ignore[arg-type]
    return [int(item) for item in find(catalog, words, modality, where, 100).ids]


def check(catalog: Catalog) -> None:
    """The index holds what the catalog does, word for word: SQLite compares them itself."""
    if catalog.engine.dialect.name == "sqlite":
        with catalog.engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO words_fts (words_fts, rank) VALUES ('integrity-check', 1)")


# --- what is found ---


def test_names_numbers_signs_and_keywords_are_found(catalog: Catalog) -> None:
    one = put(catalog, "holiday/IMG_4711.jpg", "A boat named Wilhelmina", keywords=("harbour", "golden gate"))
    two = put(catalog, "holiday/IMG_4712.jpg", "PLATFORM 9¾ to Hogwarts")
    for words in ("4711", "img 4711.jpg", "wilhelmina", "Boats", "golden gate bridge", "HARBOURS"):
        assert asked(catalog, words)[0] == one, words
    assert asked(catalog, "platform 9") == [two]
    assert set(asked(catalog, "holiday")) == {one, two}
    assert asked(catalog, "no such thing here") == []


def test_accents_make_no_difference(catalog: Catalog) -> None:
    cafe = put(catalog, "a.jpg", "Café Müller à Genève")
    for words in ("cafe", "CAFÉ", "muller geneve", "Cafe\u0301"):
        assert asked(catalog, words) == [cafe]


def test_rare_words_count_for_more_and_more_words_for_more(catalog: Catalog) -> None:
    dogs = [put(catalog, f"{n}.jpg", f"a dog runs number {n}") for n in range(20)]
    rare = put(catalog, "z.jpg", "a dog and an axolotl")
    assert asked(catalog, "dog axolotl")[0] == rare
    assert asked(catalog, "dog number 7")[0] == dogs[7]


def test_what_holds_every_word_is_told_apart(catalog: Catalog) -> None:
    both, one = put(catalog, "a.jpg", "red car"), put(catalog, "b.jpg", "red house")
    found = find(catalog, "red car", IMAGE, Where(), 10)
    assert set(found.ids.tolist()) == {both, one} and found.whole == {both}
    assert not find(catalog, "red car zeppelin", IMAGE, Where(), 10).whole
    assert found.kinds[both] == "caption" and find(catalog, "b", IMAGE, Where(), 10).kinds[one] == "path"
    assert set(found.kinds.values()) <= set(KINDS)


def test_all_that_hold_a_word_are_known_however_many(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fulltext, "_MOST", 2)  # of documents that are compared
    monkeypatch.setattr(fulltext, "_ENOUGH", 2)
    night = [put(catalog, f"{n}.jpg", "a boat", f"one at night {'again ' * n}") for n in range(6)]
    day = [put(catalog, f"{n}.png", "a boat by day") for n in range(3)]
    ids = np.array(night[1:] + day, np.int64)
    assert sorted(holding(catalog, "nights", IMAGE, ids)) == night[1:]
    assert sorted(holding(catalog, "boat night", IMAGE, ids)) == [], "no one document holds both"
    assert sorted(holding(catalog, "day boat", IMAGE, ids)) == day
    captions = np.array([day[0] + 1, night[0] + 1, night[0] + 2], np.int64)
    assert sorted(holding(catalog, "night", TEXT, captions)) == [night[0] + 2]
    for words, some in (("--", ids), ("night", ids[:0]), ("nowhere", ids)):
        assert len(holding(catalog, words, IMAGE, some)) == 0
    with catalog.session() as session:
        session.get_one(Item, night[1] + 2).removed_at = 1.0
    assert sorted(holding(catalog, "night", IMAGE, ids)) == night[2:]


def test_captions_are_found_themselves_when_text_is_looked_for(catalog: Catalog) -> None:
    picture = put(catalog, "boat.jpg", "a red boat", "a harbour")
    (caption,) = asked(catalog, "red boat", TEXT)
    with catalog.session() as session:
        assert session.get_one(Caption, caption).owner_id == picture
    assert asked(catalog, "boat.jpg", TEXT) == [caption]  # the picture's own name is no text


def test_filters_and_removals_hold(catalog: Catalog) -> None:
    here, there = put(catalog, "a/boat.jpg", "a boat", keywords=("sea",)), put(catalog, "b/boat.jpg", "a boat")
    with catalog.session() as session:
        session.add(FactsRow(item_id=here, latitude=38.7, longitude=-9.1))
    assert set(asked(catalog, "boat")) == {here, there}
    assert asked(catalog, "boat", path="a/**") == asked(catalog, "boat", near="38.7,-9.1,5") == [here]
    with catalog.session() as session:
        session.execute(sa.update(Item).where(Item.parent_id == here).values(removed_at=1.0))
    assert asked(catalog, "boat", path="a/**") == [here]  # by its name
    with catalog.session() as session:
        session.execute(sa.update(Item).where(Item.id == here).values(removed_at=1.0))
    assert asked(catalog, "boat") == [there] and asked(catalog, "boat", path="a/**") == []


def test_common_words_alone_are_looked_for_too(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.fulltext._ENOUGH", 3)
    pictures = [put(catalog, f"{n}.jpg", "a dog in the sea") for n in range(6)]
    rare = put(catalog, "z.jpg", "a walrus in the sea")
    assert set(asked(catalog, "the sea")) == {*pictures, rare}
    assert asked(catalog, "the walrus") == [rare]  # what has the common word alone is passed over


def test_what_most_documents_hold_orders_nothing_beside_rarer_words(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.fulltext._ENOUGH", 3)
    for n in range(20):
        put(catalog, f"{n}.jpg", "the sea" if n % 2 else "the dog by the sea")
    monkeypatch.setattr("engine.fulltext._COMMON", 10**6)
    counts, common = words_counted(catalog, "sea dog walrus")
    assert counts["walrus"] == 0 and counts["dog"] < counts["sea"] + (common > 3)  # PostgreSQL counts to four alone
    alone, both = (find(catalog, words, Modality.IMAGE, Where(), 50) for words in ("dog", "dog sea"))
    assert alone.ids.tolist() == both.ids.tolist() and len(both.whole) == 10
    if catalog.engine.dialect.name == "sqlite":
        assert 8 <= counts["dog"] <= 12 and 18 <= counts["sea"] <= 22 and common == 3
        assert both.scores.tolist() == alone.scores.tolist()


def test_a_word_of_one_folder_is_not_common(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its documents lie close together, as those of a word do that all hold."""
    monkeypatch.setattr("engine.fulltext._ENOUGH", 3)
    other = put(catalog, "berlin/tram.jpg")
    tram, *_ = [put(catalog, f"lisbon/{name}.jpg") for name in ("tram", *range(5))]
    last = [put(catalog, f"berlin/{n}.jpg") for n in range(33)][-1]
    monkeypatch.setattr("engine.fulltext._COMMON", last // 10)
    counts, common = words_counted(catalog, "lisbon berlin")
    assert counts["lisbon"] <= 6 and counts["berlin"] >= 4
    if catalog.engine.dialect.name == "sqlite":
        assert counts["lisbon"] == 6 <= common < counts["berlin"]
    assert asked(catalog, "lisbon tram")[:2] == [tram, other]


# --- hostile questions ---

NASTY = [
    '"',
    "a*",
    "NEAR(a b)",
    "text:x",
    "a AND",
    "OR",
    "^a",
    "-a",
    "{x}:y",
    "'",
    "a' OR '1'='1",
    "\\",
    "%",
    ":*",
    "<->",
]


@pytest.mark.parametrize("words", [*NASTY, " ".join(NASTY), "x " * 5000, "\u0301", "¾ ² Ⅷ ٣", "船" * 3000])
def test_no_query_language_is_reached(catalog: Catalog, words: str) -> None:
    put(catalog, "a.jpg", "and or near text")
    asked(catalog, words)


ANYTHING = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
LATIN = st.text(st.characters(min_codepoint=1, max_codepoint=0x17F), max_size=40)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(ANYTHING, LATIN))
def test_any_words_find_the_caption_that_says_them(catalog: Catalog, words: str) -> None:
    """Latin ones at least: the two databases part other scripts as their own Unicode tables say."""
    picture = put(catalog, "file", f"unlike {words}")
    try:
        found = asked(catalog, words)
        if re.fullmatch("[\0-\x7f]*", words) and words_in(words):
            assert found == [picture]
    finally:
        with catalog.session() as session:
            captions = list(session.scalars(sa.select(Caption.id).where(Caption.owner_id == picture)))
            session.execute(sa.delete(Caption).where(Caption.owner_id == picture))
            session.execute(sa.delete(Item).where(Item.id.in_(captions)))
            session.execute(sa.delete(Item).where(Item.id == picture))
        check(catalog)


def test_words_are_letters_and_digits_alone() -> None:
    assert words_in('Crème-brûlée_2 "x" (OR) don\'t') == ["creme", "brulee", "2", "x", "or", "don", "t"]
    assert len(words_in(" ".join(map(str, range(1000))))) == 32


# --- changes ---


def test_the_index_follows_every_change(catalog: Catalog) -> None:
    item = put(catalog, "old.jpg", "a boat", keywords=("sea", "night"))
    with catalog.session() as session:
        session.execute(sa.update(Item).where(Item.id == item).values(path="new/name.jpg"))
        session.execute(sa.update(Caption).where(Caption.owner_id == item).values(text="a tree"))
        session.execute(sa.delete(Keyword).where(Keyword.item_id == item, Keyword.word == "night"))
        session.add(Keyword(item_id=item, word="forest"))
    for words, found in (("old", []), ("name", [item]), ("boat", []), ("tree", [item]), ("night", []),
                         ("forest", [item]), ("sea", [item])):  # fmt: skip
        assert asked(catalog, words) == found, words
    check(catalog)
    with catalog.session() as session:
        session.execute(sa.delete(Keyword))
        session.execute(sa.delete(Caption))
        session.execute(sa.delete(Item).where(Item.parent_id.is_not(None)))
        session.execute(sa.delete(Item))
    assert all(asked(catalog, words) == [] for words in ("name", "tree", "forest"))
    check(catalog)


def test_what_is_rolled_back_is_not_found(catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.session() as session:
        root = session.scalars(sa.select(Root.id)).one()
        session.add(Item(root_id=root, modality=IMAGE, path="ghost.jpg", size=1, mtime_ns=1))
        session.flush()
        raise ZeroDivisionError
    assert asked(catalog, "ghost") == []
    check(catalog)


def test_a_library_of_before_is_indexed_when_it_is_opened(config: Config, catalog: Catalog) -> None:
    item = put(catalog, "boats/regatta.jpg", "two sails", keywords=("kiel",))
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent))
    settings.attributes.update(url=catalog_url(config))
    command.downgrade(settings, "0005")
    migrate(catalog_url(config))
    assert all(asked(catalog, words) == [item] for words in ("regatta", "sails", "kiel"))
    check(catalog)
