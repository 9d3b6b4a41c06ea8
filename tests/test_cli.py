"""The command line, as a person or a script meets it."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from engine.catalog import Catalog
from engine.config import Config
from indexer.care.doctor import being_written
from indexer.jobs import writing
from rebus import serving_lines
from tests.conftest import config_at, draw_folder, silent


@pytest.fixture
def run(library: Config, command: Any) -> Any:
    """Runs a command on the shared library, or at another home; its exit code, output and errors."""
    return lambda *arguments, home=library.home: command(home, *arguments)


FACTS = ("hits", "took_ms", "depths", "index_version", "confidence", "band", "mode", "marks", "notice")


def test_search_prints_the_documented_json(run: Any) -> None:
    code, out, _ = run("search", "a red boat", "--top", "5", "--mode", "vector", "--json")
    facts = json.loads(out)
    assert code == 0 and set(facts) == {*FACTS} and len(facts["hits"]) == 5
    keys = {"id", "score", "modality", "path", "caption", "position", "alike", "confidence"}
    assert all(set(hit) == keys for hit in facts["hits"])
    scores = [hit["score"] for hit in facts["hits"]]
    assert scores == sorted(scores, reverse=True) and Path(facts["hits"][0]["path"]).is_file()


def test_a_picture_finds_itself_and_captions(run: Any, library: Config) -> None:
    picture = str(library.home.parent / "media" / "boats" / "red-000.jpg")
    hits = json.loads(run("search", picture, "--json")[1])["hits"]
    assert hits[0]["path"] == picture and hits[0]["score"] > 0.99
    words = json.loads(run("search", picture, "--for", "text", "--json")[1])["hits"]
    assert {hit["modality"] for hit in words} == {"text"} and all(hit["caption"] for hit in words)


def test_terms_combine_with_weights_and_minus(run: Any, library: Config) -> None:
    picture = str(library.home.parent / "media" / "trees" / "green-006.jpg")
    plain, weighted, minus = (
        json.loads(run("search", *terms, "-t", "40", "--json")[1])["hits"]
        for terms in (["boat", "+", picture], ["boat", "+", f"9:{picture}"], ["boat", "-", picture])
    )
    place = [[hit["path"] for hit in hits].index(picture) for hits in (plain, weighted, minus)]
    assert place[1] == 0 and place[2] > place[0] >= place[1]


def test_paths_alone_and_below_a_folder(run: Any) -> None:
    _, out, _ = run("search", "red", "--path", "trees/**", "--filepath-only", "-t", "100")
    assert len(out.splitlines()) == 20 and all("/trees/" in line for line in out.splitlines())


def test_status_tells_what_is_held(run: Any, library: Config) -> None:
    facts = json.loads(run("status", "--json")[1])
    assert facts["items"] == {"image": 40, "text": 80} and facts["failures"] == facts["pending"] == 0
    assert f"Version   {facts['version']['id']}, encoder" in run("status")[1]
    assert json.loads(run("status", "--failures", "--json")[1]) == {"failures": []}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["search", ""], 2, "empty"),
        (["search", "./missing.jpg"], 2, "no picture at"),
        (["search", "boat", "--top", "0"], 2, "--top"),
        (["search", "boat", "--for", "smell"], 2, "smell"),
        (["index", "/no/such/folder"], 2, "cannot be indexed"),
        (["serve", "--port", "99999"], 2, "serve.port"),
        (["train", "--method", "magic"], 2, "no method 'magic'"),
        (["train", "--recipe", "magic"], 2, "no recipe 'magic'"),
        (["train", "--recipe", "starter", "--epochs", "3"], 2, "leave out all but --data"),
        (["train", "--recipe", "starter", "--seed", "0"], 2, "leave out all but --data"),
        (["train", "--recipe", ""], 2, "there is no recipe ''"),
        (["train", "--recipe", "."], 2, "there is no recipe '.'"),
        (["train", "--recipe", "~no-such-user/x.toml"], 2, "there is no recipe '~no-such-user/x.toml'"),
        (["train", "--data", "."], 2, "--data and --out are a recipe's"),
        (["train", "--encoder", "--out", "x"], 2, "--data and --out are a recipe's"),
        (["train", "--encoder", "--dim", "0"], 2, "leave out --method"),
        (["fly"], 2, "fly"),
    ],
)
def test_bad_input_gets_a_clear_line_and_its_exit_code(
    run: Any, arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    home = {"home": tmp_path} if arguments[0] == "index" else {}
    got, _, err = run(*arguments, **home)
    assert got == code and words in err and "Traceback" not in err


def test_a_search_that_finds_nothing_says_why(run: Any, encoder_folder: Path, tmp_path: Path) -> None:
    media, home = draw_folder(tmp_path / "media", 8), tmp_path / "home"
    (media / "captions.jsonl").unlink()
    assert run("index", str(media), "--encoder", str(encoder_folder), home=home)[0] == 0
    picture = str(next(media.rglob("*.jpg")))
    code, out, err = run("search", picture, "--for", "text", home=home)
    assert (code, out) == (0, "") and "has no words. Write captions, in NAME.txt" in err and "`rebus index`" in err
    code, out, err = run("search", picture, "--for", "video", home=home)
    assert (code, out) == (0, "") and "this library has no video" in err
    code, out, err = run("search", picture, "--path", "nowhere/**", "--filepath-only", home=home)
    assert (code, out) == (0, "") and "no item passes the filters" in err
    code, out, err = run("search", picture, "--for", "text", "--json", home=home)
    assert code == 0 and json.loads(out)["hits"] == [] and err == ""


def test_no_library_says_how_to_make_one(run: Any, tmp_path: Path) -> None:
    code, _, err = run("search", "boat", home=tmp_path / "none")
    assert code == 1 and "rebus index FOLDER" in err and not (tmp_path / "none").exists()


def test_without_an_encoder_index_says_what_to_run(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REBUS_ENCODER_MODEL", "")
    code, out, _ = run("index", str(draw_folder(tmp_path / "media", 8)), home=tmp_path / "home")
    assert code == 0 and "rebus train --encoder" in out
    code, _, err = run("search", "boat", home=tmp_path / "home")
    assert code == 1 and "rebus train --encoder" in err


def test_two_writers_never_meet(run: Any, tmp_path: Path) -> None:
    home, media = tmp_path / "home", draw_folder(tmp_path / "media", 8)
    assert run("index", str(media), home=home)[0] == 0
    with FileLock(home / "write.lock"):
        code, _, err = run("index", str(media), home=home)
    assert code == 1 and "another process is writing" in err


def test_who_only_looks_whether_anybody_writes_turns_no_writer_away(
    library: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.jobs._MOMENT_S", 60.0)  # of a busy machine
    catalog = Catalog(config_at(tmp_path / "home"), create=True)
    look = FileLock(catalog.home / "write.lock", thread_local=False)
    look.acquire()
    threading.Timer(0.1, look.release).start()
    with writing(catalog, "index", silent):
        assert being_written(catalog)
    assert not being_written(catalog)
    catalog.engine.dispose()


def test_help_and_status_import_nothing_heavy(library: Config) -> None:
    program = (
        "import sys, rebus\n"
        "try: rebus.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'faiss', 'open_clip', 'numpy', 'flask'} & set(sys.modules)\n"
        "assert not heavy and ('--help' not in sys.argv or 'sqlalchemy' not in sys.modules), heavy\n"
    )
    for arguments in (["--help"], ["--home", str(library.home), "status"]):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_server_says_where_it_is_and_when_nothing_can_be_searched_yet(library: Config, tmp_path: Path) -> None:
    empty = config_at(tmp_path / "home")
    Catalog(empty, create=True)
    assert [*serving_lines(library, "http://x/")] == ["Rebus is at http://x/  (Ctrl-C ends it)"]
    assert "run `rebus index FOLDER`" in [*serving_lines(empty, "http://x/")][1]
