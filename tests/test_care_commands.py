"""The commands that care for a library, as a person or a script meets them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from tests.made_library import remove_files
from tests.test_gpu import no_gpu


@pytest.fixture
def run(config: Config, command: Any) -> Any:
    """Runs a command on a library that may be changed; its exit code, output and errors."""
    return partial(command, config.home)


def test_gc_says_what_went_and_what_would_go(run: Any, config: Config) -> None:
    assert run("gc")[:2] == (0, "0.0 MiB freed: there is nothing to free.\n")
    remove_files(config, ["0/000.jpg", "1/001.jpg", "2/002.jpg"])
    foretold = "would be freed: 9 removed items, 9 embeddings, 3 thumbnails."
    assert foretold in run("gc", "--dry-run")[1]
    assert "there is nothing" in run("gc", "--older-than", "1")[1]
    said = json.loads(run("gc", "--json")[1])
    assert (said["items"], said["rows"], said["thumbnails"], said["dry_run"]) == (9, 9, 3, False)
    remove_files(config, ["0/003.jpg"])
    assert "3 rows of embeddings are dead, too few yet" in run("gc")[1]


def test_a_library_goes_into_a_file_and_comes_out_of_it(run: Any, tmp_path: Path) -> None:
    file, home = str(tmp_path / "library.tar"), str(tmp_path / "other" / "home")
    said = json.loads(run("backup", file, "--no-thumbs", "--json")[1])
    assert said["file"] == file and said["files"] == 17 and said["bytes"] == Path(file).stat().st_size
    assert run("backup", file)[0::2] == (1, f"rebus: {file} is there already: name another file, or delete that one "
                                            "first\n")  # fmt: skip
    code, out, _ = run("restore", file, "--to", home)
    assert code == 0 and f"are at {home}." in out and str(tmp_path / "media1") in out
    assert json.loads(run("restore", file, "--to", f"{home}2", "--json")[1])["files"] == 17
    assert "not empty" in run("restore", file, "--to", home)[2]
    (tmp_path / "noise.tar").write_bytes(b"noise")
    assert run("restore", str(tmp_path / "noise.tar"), "--to", f"{home}3")[0] == 1
    assert run("restore", str(tmp_path / "none.tar"), "--to", f"{home}3")[2].startswith("rebus: No such file")
    assert sorted(path.name for path in Path(home).parent.iterdir()) == ["home", "home2"]


def test_a_folder_is_said_to_have_moved(run: Any, tmp_path: Path) -> None:
    old, new = tmp_path / "media1", tmp_path / "media2"
    old.rename(new)
    assert run("relocate", str(old), str(new))[1] == (
        f"12 files are at {new} now: 12 of 12 files that were looked for are there.\n"
    )
    assert run("relocate", str(old), str(new))[0] == 2
    new.rename(old)
    assert json.loads(run("relocate", str(new), str(old), "--json")[1])["root"] == str(old)


@no_gpu
def test_a_gpu_that_searches_ask_for_in_vain_is_a_problem(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REBUS_SEARCH_DEVICE", "cuda")
    code, out, _ = run("doctor")
    assert code == 1 and "search.device is cuda, and no driver of a GPU is here" in out
