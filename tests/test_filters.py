"""Filters: what their words mean, which rows they keep on both databases, and how they are asked for."""

import html
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from hypothesis import assume, given
from hypothesis import strategies as st

import rebus
from engine.catalog import Caption, Catalog, FactsRow, Item, Keyword, Root
from engine.config import Config
from engine.database import migrate
from engine.errors import InvalidInput
from engine.filters import MOST_KEYWORDS, Filters, is_near, keyword_form, latitudes, parse_near, parse_taken
from engine.types import Modality, Where
from tests.conftest import config_at
from tests.databases import postgres
from tests.web_library import copy_library
from webui import create_app
from webui.query_box import filter_for, parse

DAY_S = 86_400.0
DATES = st.dates(date(1, 1, 1), date(9999, 12, 31))


def at(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


# --- dates ---


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2023", (at(2023, 1, 1), at(2024, 1, 1))),
        ("2023-06", (at(2023, 6, 1), at(2023, 7, 1))),
        ("2024-02", (at(2024, 2, 1), at(2024, 3, 1))),
        ("2023-12", (at(2023, 12, 1), at(2024, 1, 1))),
        ("2023-06-30", (at(2023, 6, 30), at(2023, 7, 1))),
        ("2023-06..2023-08", (at(2023, 6, 1), at(2023, 9, 1))),
        ("2022..2023-08-15", (at(2022, 1, 1), at(2023, 8, 16))),
        ("2023-06-01..", (at(2023, 6, 1), None)),
        ("..1969", (None, 0.0)),
        (" 2023 ", (at(2023, 1, 1), at(2024, 1, 1))),
        ("9999", (at(9999, 1, 1), at(9999, 12, 31) + DAY_S)),
    ],
)
def test_dates_and_ranges(text: str, span: tuple[float | None, float | None]) -> None:
    assert parse_taken(text) == span


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "needs a date"), ("..", "needs a date"), (None, "needs a date"), ("last summer", "2023-06..2023-08"),
     ("2023-6", "cannot be read"), ("23", "cannot be read"), ("2023-13", "no day of the calendar"),
     ("2023-02-29", "no day"), ("0000", "no day"), ("2023..2022", "ends before it begins"), ("٢٠٢٣", "cannot be read"),
     ("2023...2024", "cannot be read"), ("2023-06-01T10:00", "cannot be read"), ("2023..x", "taken x cannot")],
)  # fmt: skip
def test_dates_that_cannot_be_read_say_why(text: str | None, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        parse_taken(text)


@given(DATES)
def test_a_day_lies_in_its_month_and_its_year(day: date) -> None:
    spans = [parse_taken(day.isoformat()[:length]) for length in (10, 7, 4)]
    noon = (datetime(day.year, day.month, day.day, 12) - datetime(1970, 1, 1)) / timedelta(seconds=1)
    assert all(start is not None and end is not None and start <= noon < end for start, end in spans)
    lengths = [(end or 0) - (start or 0) for start, end in spans]
    assert lengths[0] == DAY_S and 28 <= lengths[1] / DAY_S <= 31 and lengths[2] / DAY_S in (365, 366)


@given(DATES, DATES)
def test_a_range_reaches_from_the_first_day_through_the_last(one: date, other: date) -> None:
    first, last = sorted((one, other))
    span = parse_taken(f"{first}..{last}")
    assert span == (parse_taken(f"{first}")[0], parse_taken(f"{last}")[1])
    if first != last:
        with pytest.raises(InvalidInput):
            parse_taken(f"{last}..{first}")


@given(st.text() | st.lists(st.sampled_from(["2023", "-", "06", "..", "31", " "])).map("".join))
def test_any_text_is_a_date_or_refused(text: str) -> None:
    try:
        start, end = parse_taken(text)
    except InvalidInput as error:
        assert str(error)
        return
    assert start is not None or end is not None
    assert start is None or end is None or start < end


# --- distances, keywords, text ---


@pytest.mark.parametrize(
    ("here", "there", "km"),
    [
        ((38.7223, -9.1393), (41.1579, -8.6291), 274),  # Lisbon, Porto
        ((52.52, 13.405), (48.8566, 2.3522), 878),  # Berlin, Paris
        ((-17.8, 179.5), (-17.8, -179.5), 106),  # over the line of dates
        ((90.0, 0.0), (-90.0, 0.0), 20015),
    ],
)
def test_distances_run_along_great_circles(here: tuple[float, float], there: tuple[float, float], km: float) -> None:
    assert is_near((*here, km * 1.01), *there) and not is_near((*here, km * 0.99), *there)


ANGLES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(ANGLES, ANGLES, st.floats(0.01, 20_000))
def test_what_is_near_lies_between_the_latitudes(here: Any, there: Any, km: float) -> None:
    least, most = latitudes((*here, km))
    assert is_near((*here, km), *here)
    if is_near((*here, km), *there):
        assert least - 1e-6 <= there[0] <= most + 1e-6
        assert is_near((*there, km * (1 + 1e-9) + 1e-6), *here)


def test_places_as_they_are_written() -> None:
    assert parse_near("38.72, -9.14, 5") == parse_near("38.72,-9.14,5km") == (38.72, -9.14, 5.0)


@pytest.mark.parametrize(
    "text", ["", "1,2", "1,2,3,4", "a,b,c", "91,0,1", "0,181,1", "0,0,0", "0,0,-1", "nan,0,1", "0,0,inf"]
)
def test_places_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="near"):
        parse_near(text)


@given(st.text())
def test_a_keyword_has_one_form(word: str) -> None:
    form = keyword_form(word)
    assert keyword_form(form) == form == " ".join(form.split())
    assert keyword_form(f" {word}\t") == form


def test_filters_mean_nothing_when_they_are_blank() -> None:
    assert Filters("", " ", "", (" ",), "", "", " ").where() == Filters().where() == Where()


@pytest.mark.parametrize(
    "filters",
    [Filters(taken="soon"), Filters(near="here"), Filters(camera="\ud800"), Filters(place="a\0b"),
     Filters(path="\udcff"), Filters(keyword=("\0",)), Filters(keyword=tuple(map(str, range(MOST_KEYWORDS + 1))))],
)  # fmt: skip
def test_filters_that_cannot_be_asked_for(filters: Filters) -> None:
    with pytest.raises(InvalidInput):
        filters.where()


# --- rows ---


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def catalog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """Pictures, frames, captions and a document, with what they say of themselves. Read it; do not write to it."""
    home = tmp_path_factory.mktemp("filters")
    with ExitStack() as stack:
        if request.param == "postgresql":
            pytest.importorskip("psycopg")
            config = config_at(home, catalog={"url": stack.enter_context(postgres())})
            migrate(config.catalog.url)
        else:
            config = config_at(home)
        catalog = Catalog(config, create=True)
        with catalog.session() as session:
            fill(session)
        yield catalog
        catalog.engine.dispose()


def fill(session: Any) -> None:
    root = Root(path="/media")
    session.add(root)
    session.flush()

    def add(path: str, modality: str = "image", parent: Item | None = None, **values: Any) -> Item:
        item = Item(root_id=root.id, path=path, modality=modality, size=1, mtime_ns=1, **values)
        item.parent_id = parent.id if parent else None
        session.add(item)
        session.flush()
        return item

    def say(item: Item, *keywords: str, **facts: Any) -> None:
        session.add_all([FactsRow(item_id=item.id, **facts), *(Keyword(item_id=item.id, word=w) for w in keywords)])

    def tell(item: Item, owner: Item, source: str) -> None:
        session.add(Caption(id=item.id, owner_id=owner.id, text="words", lang="en", source=source))

    boat = add("trips/boat.jpg")
    say(boat, "harbour", "night", "new york", taken_at=at(2023, 6, 10, 12), camera="Leica M6", place="Lisbon, Portugal",
        latitude=38.72, longitude=-9.14)  # fmt: skip
    tell(add("trips/boat.jpg", "text", boat), boat, "exif")
    film = add("trips/waves.gif")
    say(film, "harbour", taken_at=at(2023, 7, 1), camera="NIKON D90", place="Århus_50%, Danmark", latitude=56.15,
        longitude=10.2, pages=2)  # fmt: skip
    frame = add("trips/waves.gif", parent=film, position=1)
    tell(add("trips/waves.gif", "text", film, position=1), frame, "ocr")
    bare = add("home/bare.jpg")
    tell(add("home/bare.jpg", "text", bare), bare, "home/captions.jsonl")
    tell(add("home/bare.jpg", "text", bare, removed_at=1.0), bare, "home/bare.txt")
    gone = add("trips/gone.jpg", removed_at=1.0)
    say(gone, "harbour", taken_at=at(2023, 6, 11), camera="Leica M6", place="Lisbon", latitude=38.72, longitude=-9.14)
    notes = add("notes.md", "text")
    say(notes, "night", taken_at=at(1961, 4, 12))
    tell(notes, notes, "text")


BOAT, WAVES, BARE, NOTES = "trips/boat.jpg", "trips/waves.gif", "home/bare.jpg", "notes.md"


@pytest.mark.parametrize(
    ("filters", "pictures", "words"),
    [
        (Filters(), [BARE, BOAT, WAVES, WAVES], [BARE, NOTES, BOAT, WAVES]),
        (Filters(path="trips/*"), [BOAT, WAVES, WAVES], [BOAT, WAVES]),
        (Filters(taken="2023-06"), [BOAT], [BOAT]),
        (Filters(taken="2023-07-01"), [WAVES, WAVES], [WAVES]),
        (Filters(taken="2023-06..2023-07"), [BOAT, WAVES, WAVES], [BOAT, WAVES]),
        (Filters(taken="..1969"), [], [NOTES]),
        (Filters(taken="2024.."), [], []),
        (Filters(camera="leica"), [BOAT], [BOAT]),
        (Filters(camera="nikon  d"), [WAVES, WAVES], [WAVES]),
        (Filters(camera="d9_"), [], []),
        (Filters(keyword=("Harbour",)), [BOAT, WAVES, WAVES], [BOAT, WAVES]),
        (Filters(keyword=("harbour", "NIGHT")), [BOAT], [BOAT]),
        (Filters(keyword=("night",)), [BOAT], [NOTES, BOAT]),
        (Filters(keyword=("New  York",)), [BOAT], [BOAT]),
        (Filters(keyword=("harb",)), [], []),
        (Filters(place="PORTUGAL"), [BOAT], [BOAT]),
        (Filters(place="_50%,"), [WAVES, WAVES], [WAVES]),
        (Filters(place="%"), [WAVES, WAVES], [WAVES]),
        (Filters(near="38.7,-9.1,10"), [BOAT], [BOAT]),
        (Filters(near="38.7,-9.1,3"), [], []),
        (Filters(near="50,0,2000"), [BOAT, WAVES, WAVES], [BOAT, WAVES]),
        (Filters(source="exif"), [BOAT], [BOAT]),
        (Filters(source="ocr"), [WAVES, WAVES], [WAVES]),
        (Filters(source="captions.jsonl"), [BARE], [BARE]),
        (Filters(source="*.txt"), [], []),
        (Filters(source="text"), [], [NOTES]),
        (Filters(source="*"), [BARE, BOAT, WAVES, WAVES], [BARE, NOTES, BOAT, WAVES]),
        (Filters("trips/*", "2023", "m6", ("night",), "lisbon", "38.7,-9.1,10", "exif"), [BOAT], [BOAT]),
        (Filters("home/*", "2023", "m6", ("night",), "lisbon"), [], []),
    ],
)  # fmt: skip
def test_a_filter_keeps_files_with_their_frames_and_words(
    catalog: Catalog, filters: Filters, pictures: list[str], words: list[str]
) -> None:
    for modality, expected in ((Modality.IMAGE, pictures), (Modality.TEXT, words)):
        found = catalog.items(catalog.ids_matching(filters.where(), modality))
        assert sorted(view.item.path for view in found) == sorted(expected)
        assert all(view.item.removed_at is None and view.item.modality == modality for view in found)


def test_letters_beyond_ascii_match_in_any_case(catalog: Catalog) -> None:
    found = catalog.ids_matching(Filters(place="århus").where(), Modality.IMAGE)
    if catalog.engine.dialect.name == "postgresql":  # its own lower() follows the database's locale
        assert len(found) in (0, 2)
    else:
        assert len(found) == 2


def test_facts_of_a_file_are_those_of_its_frames_and_words(catalog: Catalog) -> None:
    with catalog.session() as session:
        waves = list(session.scalars(sa.select(Item.id).where(Item.path == WAVES)))
        [bare, *_] = session.scalars(sa.select(Item.id).where(Item.path == BARE))
    for item in waves:
        row, keywords = catalog.facts_of(item)
        assert row is not None and (row.camera, row.pages, keywords) == ("NIKON D90", 2, ["harbour"])
    assert catalog.facts_of(bare) == catalog.facts_of(10**9) == (None, [])


@pytest.mark.parametrize("catalog", ["sqlite"], indirect=True)
def test_dates_and_keywords_are_found_by_an_index(catalog: Catalog) -> None:
    asked: list[tuple[str, Any]] = []
    sa.event.listen(catalog.engine, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
    catalog.ids_matching(Filters(taken="2023-06", keyword=("harbour",)).where(), Modality.IMAGE)
    (statement, values) = asked[-1]
    with catalog.engine.connect() as connection:
        plan = "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values))
    assert "ix_facts_taken_at" in plan and "ix_keywords_word" in plan and "ix_items_parent_id" in plan
    assert "SCAN items" not in plan and "SCAN facts" not in plan and "SCAN keywords" not in plan


# --- asking ---


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("taken:2023-06..2023-08 sea", Filters(taken="2023-06..2023-08")),
        ('camera:"Leica M6"', Filters(camera="Leica M6")),
        ('keyword:harbour Keyword:"new york"', Filters(keyword=("harbour", "new york"))),
        ("place:lisbon near:38.7,-9.1,5 source:ocr", Filters(place="lisbon", near="38.7,-9.1,5", source="ocr")),
        ("taken: 2023", None), ("taken:soon", None), ("taken:2023 taken:2024", None), ("-camera:leica", None),
        ("keyword:", None), ("near:here", None), ("-keyword:boat", None),
    ],
)  # fmt: skip
def test_the_box_takes_filters(text: str, filters: Filters | None) -> None:
    if filters is None:
        with pytest.raises(InvalidInput):
            parse(text)
    else:
        assert parse(text).filters == filters


@given(st.text(st.characters(codec="utf-8", exclude_characters='"\0'), min_size=1))
def test_a_filter_is_quoted_so_that_its_value_comes_back(value: str) -> None:
    assume(value.split())
    assert parse(filter_for("camera", value)).filters == Filters(camera=" ".join(value.split()))


@pytest.fixture(scope="module")
def known(library: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A copy of the library in which the red boats say something of themselves."""
    config = copy_library(library, tmp_path_factory.mktemp("known"))
    catalog = Catalog(config)
    with catalog.session() as session:
        for item in catalog.ids_matching(Where("boats/red-*"), Modality.IMAGE):
            session.add(FactsRow(item_id=item, taken_at=at(2023, 6, 10, 12, 30), camera="Leica <M6>", pages=3,
                                 place="Lisbon, Portugal", latitude=38.72345, longitude=-9.14567))  # fmt: skip
            session.add_all([Keyword(item_id=item, word="harbour"), Keyword(item_id=item, word='"night" & day')])
    catalog.engine.dispose()
    return config


@pytest.fixture(scope="module")
def client(known: Config) -> Iterator[FlaskClient]:
    app = create_app(known)
    yield app.test_client()
    app.extensions["rebus"].catalog.engine.dispose()


ASKED = [
    {"taken": "2023-06"}, {"camera": "leica"}, {"keyword": "Harbour"}, {"place": "lisbon"}, {"near": "38.7,-9.1,10"},
    {"taken": "2023", "camera": "m6", "keyword": ["harbour", '"night" & day'], "place": "port", "path": "boats/**"},
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("modality", ["image", "text"])
def test_the_endpoint_filters(client: FlaskClient, asked: dict[str, Any], modality: str) -> None:
    body = {"text": "a green tree", "modality": modality, "limit": 100}
    by_post = client.post("/api/v1/search", json={**body, **asked}).get_json()["hits"]
    by_get = client.get("/api/v1/search", query_string={"q": body["text"], **body, **asked} | {"text": []}).get_json()
    assert by_get["hits"] == by_post
    assert len(by_post) == (5 if modality == "image" else 10)
    assert all(hit["path"].startswith("boats/red-") for hit in by_post)


@pytest.mark.parametrize(
    "asked",
    [{"taken": "soon"}, {"near": "1,2"}, {"keyword": [3]}, {"keyword": ["a"] * 33}, {"place": 3}, {"taken": ".."}],
)
def test_filters_that_cannot_be_read_are_explained(client: FlaskClient, asked: dict[str, Any]) -> None:
    response = client.post("/api/v1/search", json={"text": "boat", **asked})
    assert response.status_code == 400 and next(iter(asked)) in response.get_json()["detail"]


def test_the_page_filters_searches_and_what_is_newest(client: FlaskClient) -> None:
    searched = client.get("/", query_string={"q": "tree taken:2023-06 camera:leica"}).text
    browsed = client.get("/", query_string={"q": "keyword:harbour"}).text
    assert searched.count("data-item=") == browsed.count("data-item=") == 5
    nothing = client.get("/", query_string={"q": "tree place:nowhere"})
    assert nothing.status_code == 200 and "with those filters" in nothing.text
    refused = client.get("/", query_string={"q": "tree taken:soon"})
    assert refused.status_code == 400 and "taken soon cannot be read" in refused.text


def test_what_follows_a_page_is_asked_for_with_the_same_filters(known: Config) -> None:
    app = create_app(config_at(known.home, encoder={"model": known.encoder.model}, search={"limit": 2}))
    client = app.test_client()
    text = client.get("/", query_string={"q": 'tree taken:2023 keyword:harbour camera:"leica <m6>"'}).text
    following = html.unescape(text.partition('id="more" rel="next" href="')[2].partition('"')[0])
    shown, more = (set(re.findall(r'data-item="(\d+)"', page)) for page in (text, client.get(following).text))
    asked = {"text": "tree", "taken": "2023", "keyword": "harbour", "camera": "leica <m6>", "limit": 100}
    hits = [str(hit["item"]) for hit in client.post("/api/v1/search", json=asked).get_json()["hits"]]
    assert (shown, more) == (set(hits[:2]), set(hits[2:4])) and len(hits) == 5
    app.extensions["rebus"].catalog.engine.dispose()


def test_facts_of_an_item_are_shown(client: FlaskClient) -> None:
    hit = client.post("/api/v1/search", json={"text": "boat", "taken": "2023", "limit": 1}).get_json()["hits"][0]
    facts = client.get(f"/api/v1/items/{hit['id']}").get_json()["facts"]
    assert facts == {
        "taken": "2023-06-10T12:30:00Z", "camera": "Leica <M6>", "place": "Lisbon, Portugal", "latitude": 38.72,
        "longitude": -9.15, "title": None, "keywords": ['"night" & day', "harbour"], "duration_ms": None, "pages": 3,
    }  # fmt: skip
    page = client.get(f"/items/{hit['id']}").text
    for words in ("2023-06-10 12:30", "Leica &lt;M6&gt;", "Lisbon, Portugal", "38.72,-9.15", "3 pages", "harbour"):
        assert words in page
    assert "38.723" not in page and "9.145" not in page
    assert 'title="Search this keyword">harbour</a></p>' in page, "nothing follows the last fact"
    other = client.post("/api/v1/search", json={"text": "tree", "path": "trees/*", "limit": 1}).get_json()["hits"][0]
    silent = client.get(f"/api/v1/items/{other['id']}").get_json()["facts"]
    assert silent.pop("keywords") == [] and set(silent.values()) == {None}
    assert 'id="known"' not in client.get(f"/items/{other['id']}").text


def test_the_command_line_filters(known: Config, capsys: pytest.CaptureFixture[str]) -> None:
    def search(*flags: str) -> list[str]:
        rebus.main(["--home", str(known.home), "search", "tree", "-t", "100", "-f", *flags])
        return [Path(line).name for line in capsys.readouterr().out.splitlines()]

    for flags in (["--taken", "2023-06"], ["--camera", "leica"], ["--keyword", "Harbour", "--keyword", '"NIGHT" & day'],
                  ["--place", "lisbon"], ["--near", "38.7,-9.1,10"], ["--source", "exif"]):  # fmt: skip
        found = search(*flags)
        assert len(found) == (0 if "--source" in flags else 5) and all(name.startswith("red-") for name in found)
    with pytest.raises(SystemExit) as stop:
        search("--taken", "soon")
    assert stop.value.code == 2 and "2023-06..2023-08" in capsys.readouterr().err
