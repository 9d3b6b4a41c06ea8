"""The built wheel works by itself, away from the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import draw_folder

CHECKOUT = Path(__file__).parent.parent
# One process for all three: each would import as much anew.
PROGRAM = """
import sys
import engine, indexer, webui, migrations, rebus
site, home, media, encoder = sys.argv[1:]
assert all(module.__file__.startswith(site) for module in (engine, indexer, webui, migrations, rebus))
rebus.main(["--home", home, "index", media, "--encoder", encoder, "--json"])
print("---")
rebus.main(["--home", home, "search", "a red boat", "--json"])
from engine.config import load_config
from webui import create_app
client = create_app(load_config(home, environ={})).test_client()
page = client.get("/?q=boat")
assert page.status_code == 200 and b"thumbs/" in page.data, page.data
styles = [part.split('"')[0] for part in page.text.split('href="')[1:] if ".css" in part.split('"')[0]]
assert styles and all(client.get(style).status_code == 200 for style in styles)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_what_is_needed_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"engine", "indexer", "webui", "migrations", "rebus.py"}
    for needed in (
        "engine/assets/config.toml",
        "engine/assets/starter/open_clip_model.safetensors",
        "engine/assets/starter/bpe.txt.gz",
        "engine/assets/starter/MODEL_CARD.md",
        "indexer/starter/recipes/starter.toml",
        "migrations/versions/0001_first_schema.py",
        "migrations/script.py.mako",
        "indexer/evaluation/report.html",
    ):
        assert needed in names
    assert any(name.endswith(".css") for name in names) and any(name.endswith(".html") for name in names)


def test_the_wheel_indexes_searches_and_serves(wheel: Path, tmp_path: Path, encoder_folder: Path) -> None:
    site, home, media = tmp_path / "site", tmp_path / "home", draw_folder(tmp_path / "media", 8)
    zipfile.ZipFile(wheel).extractall(site)
    command = [sys.executable, "-c", PROGRAM, str(site), str(home), str(media), str(encoder_folder)]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    indexed, found = map(json.loads, done.stdout.split("---"))
    assert indexed["items"]["image"] == 8 and len(found["hits"]) == 8
