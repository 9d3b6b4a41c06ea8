"""A library of before libraries kept the encoder that came with Rebus, under a Rebus that comes with another."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from engine.catalog import Catalog, EncoderRow
from engine.config import Config
from engine.encoders import HOME_FOLDER, STARTER, STARTER_FOLDER, WEIGHTS_FILE, load_encoder
from engine.encoders.matching import MatchingEncoder
from engine.errors import EncoderUnavailable, OtherStarter
from engine.search import Searcher
from engine.types import Mode, Term
from indexer.care.doctor import examine
from indexer.library import index_folders
from tests.conftest import ask, config_at, draw_folder, found, searching, silent
from tests.upgraded import write_other_starter
from webui import create_app

Command = Callable[..., tuple[int, str, str]]
BOAT = Term(text="boat")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a library of eight pictures in home/ that keeps no copy, and another encoder in newer/."""
    place = tmp_path_factory.mktemp("old")
    config = config_at(place / "home", encoder={"model": STARTER})
    index_folders(config, [draw_folder(place / "media", 8)], silent)
    catalog = Catalog(config)
    with catalog.session() as session:
        session.execute(sa.update(EncoderRow).values(spec=STARTER))
    catalog.engine.dispose()
    shutil.rmtree(config.home / HOME_FOLDER)
    write_other_starter(place / "newer")
    return place


@pytest.fixture
def config(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A copy of the library, after the upgrade."""
    shutil.copytree(made / "home", tmp_path / "home")
    monkeypatch.setattr("engine.encoders.STARTER_FOLDER", made / "newer")
    return config_at(tmp_path / "home", encoder={"model": STARTER}, search={"mode": "hybrid"})


@pytest.fixture
def searcher(config: Config) -> Iterator[Searcher]:
    with searching(config) as searcher:
        yield searcher


@pytest.fixture
def client(config: Config) -> Iterator[FlaskClient]:
    app = create_app(config)
    app.extensions["rebus"].warm().join(60)
    yield app.test_client()
    app.extensions["rebus"].catalog.engine.dispose()


def test_words_are_looked_up_as_they_are_written_and_it_is_said_why(searcher: Searcher) -> None:
    by_text, by_both = (ask(searcher, BOAT, mode=mode) for mode in (Mode.TEXT, Mode.HYBRID))
    assert {hit.id for hit in by_both.hits} == {hit.id for hit in by_text.hits} != set()
    assert isinstance(by_both.notice, OtherStarter) and "`rebus index`" in str(by_both.notice)
    assert by_text.notice is None and by_both.mode is Mode.HYBRID
    with pytest.raises(OtherStarter):
        ask(searcher, BOAT, mode=Mode.VECTOR)
    with pytest.raises(OtherStarter):  # in no caption: there is nothing to fall back on
        ask(searcher, Term(text="submarine"), mode=Mode.HYBRID)
    with pytest.raises(OtherStarter):  # words that are only looked up have no confidence to cut by
        ask(searcher, BOAT, mode=Mode.HYBRID, least=0.3)


def test_the_command_line_says_it_too(config: Config, command: Command) -> None:
    code, out, _ = command(config.home, "search", "boat")
    assert code == 0 and out.startswith("Only words as they are written were looked up: Rebus comes with another")
    assert "`rebus index`" in out and out.count("\n") > 1


def test_the_server_is_not_ready_and_the_page_and_its_answers_say_what_to_do(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503 and "`rebus index`" in answer.get_json()["detail"]
    answered = client.post("/api/v1/search", json={"text": "boat"}).get_json()
    assert answered["hits"] and "`rebus index`" in answered["notice"]
    page = client.get("/?q=boat")
    assert page.status_code == 200 and "Only words as they are written were looked up" in page.text


def test_doctor_names_the_repair(config: Config) -> None:
    (finding,) = (finding for finding in examine(config) if finding.what.startswith("the encoder"))
    assert "comes with another small encoder" in finding.what and "altered" not in finding.what
    assert "`rebus index`" in finding.repair


def test_embedding_anew_mends_it_and_going_back_warns(config: Config, command: Command) -> None:
    notes: list[str] = []
    report = index_folders(config, [], silent, note=notes.append)
    assert report.embedded == 24 and len(found(config)) == 8
    assert any("words are only looked up as they are written" in note for note in notes)
    assert not any("answers until" in note for note in notes)
    code, out, err = command(config.home, "versions", "rollback")
    assert code == 0 and "is served now" in out and "comes with another small encoder" in err
    code, out, err = command(config.home, "versions", "use", str(report.version.id if report.version else 0))
    assert code == 0 and err == "" and len(found(config)) == 8


def test_a_refused_encoder_is_read_again_when_its_files_are_others(tmp_path: Path) -> None:
    known = load_encoder(STARTER, "cpu").fingerprint
    folder = shutil.copytree(STARTER_FOLDER, tmp_path / "model")
    held, matching = folder / WEIGHTS_FILE, MatchingEncoder("cpu")
    held.rename(tmp_path / "away")
    assert matching.refusal(str(folder), known) is None
    for _ in range(2):
        with pytest.raises(EncoderUnavailable, match=WEIGHTS_FILE):
            matching.load(str(folder), known)
    assert matching.refusal(str(folder), known) is not None
    (tmp_path / "away").rename(held)
    assert matching.refusal(str(folder), known) is None
    assert matching.load(str(folder), known).fingerprint == known
