"""Shared fixtures: real pictures, a tiny real open_clip model, and a small library that is indexed and published."""

import dataclasses
import gc
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from PIL import Image, ImageDraw

import rebus
from engine.catalog import Catalog
from engine.config import Config, load_config
from engine.decoding import DecoderPool
from engine.encoders import Encoder, load_encoder
from engine.types import Query, Results, Term
from indexer.jobs import writing
from indexer.roots import open_root
from indexer.scan import Scan
from tests.catalogs import new_catalog

# What loads torch, FAISS or the web is imported by the fixtures that need it: not by the process that only tells
# workers what to run, nor by the programs that tests start.
if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from engine.search import Searcher

with suppress(ValueError):  # not the main thread
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell does that to what it starts with &
        signal.signal(signal.SIGINT, signal.default_int_handler)
# Read by torch and FAISS when they are loaded, here and in the programs that tests start: two workers share two cores.
os.environ["OMP_NUM_THREADS"] = "1"
settings.register_profile("rebus", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
settings.load_profile("rebus")

COLORS = {"red": (200, 40, 40), "blue": (40, 70, 200), "green": (40, 150, 60), "yellow": (230, 200, 50)}
SHAPES = ("boat", "tree")


def silent(*_: Any) -> None:
    """Hears progress and says nothing."""


def pytest_collection_finish() -> None:
    """What is loaded stays to the end: the collector of cycles need not look through all of it again and again.

    And it looks at what is made here less often than it would where memory is short.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_unconfigure() -> None:
    """Let what was frozen go before the interpreter ends: extension modules count what is left then."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests reaches them."""
    for name in [name for name in os.environ if name.startswith("REBUS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def codes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where rows cannot be read in place: a small library is asked by its codes too."""
    monkeypatch.setattr("engine.mapped.mapped_files", lambda *_: None)


def draw(path: Path, color: str, shape: str, offset: int, size: tuple[int, int] = (96, 72)) -> None:
    """A simple picture: a boat or a tree of one colour."""
    image = Image.new("RGB", size, (235, 235, 225))
    pen = ImageDraw.Draw(image)
    left = 8 + offset % 40
    if shape == "boat":
        pen.polygon([(left, 44), (left + 40, 44), (left + 32, 60), (left + 8, 60)], fill=COLORS[color])
        pen.polygon([(left + 20, 12), (left + 20, 40), (left + 36, 40)], fill=(250, 250, 250), outline=(90, 90, 90))
    else:
        pen.rectangle([left + 14, 40, left + 20, 68], fill=(110, 80, 50))
        pen.ellipse([left, 8, left + 34, 46], fill=COLORS[color])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=92)


def draw_folder(folder: Path, count: int = 40) -> Path:
    """`count` pictures in boats/ and trees/ with a captions.jsonl; every fifth is held out."""
    lines = []
    for number in range(count):
        color, shape = list(COLORS)[number % 4], SHAPES[number // 4 % 2]
        path = folder / f"{shape}s" / f"{color}-{number:03d}.jpg"
        draw(path, color, shape, number * 7)
        captions = [f"a {color} {shape}", f"the {shape} is {color}, number {number}"]
        split = "val" if number % 5 == 0 else "train"
        lines.append(json.dumps({"image": path.relative_to(folder).as_posix(), "split": split, "en": captions}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def index_unpublished(config: Config, encoder: Encoder, folder: Path) -> None:
    """Index a folder as far as a run goes before it publishes."""
    from indexer.embed import Embedder

    catalog = Catalog(config)
    scan = Scan(catalog, config, *open_root(catalog, folder))
    with writing(catalog, "index", silent) as job, DecoderPool(config.media) as pool:
        embedder = Embedder(catalog, config, encoder, job, pool)
        for compared in scan.run():
            for _ in embedder.embed(compared.touched):
                pass
    catalog.engine.dispose()


def config_at(home: Path, **sections: dict[str, Any]) -> Config:
    """Default settings of a library at `home`, but for one decoder process, and no encoder until a test chooses one.

    And words are searched by their vectors alone: what most tests compare with.
    """
    overrides = {"media.workers": 1, "encoder.model": "", "search.mode": "vector"}
    config = load_config(home, overrides=overrides, environ={})
    changes = {name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(config, **changes)


def found(config: Config) -> set[str]:
    """The paths of the pictures that a search finds now, of the first hundred."""
    from engine.search import Searcher

    catalog = Catalog(config)
    hits = Searcher(config, catalog).search(Query((Term(text="a red boat"),), limit=100, fold=False)).hits
    catalog.engine.dispose()
    return {hit.path for hit in hits}


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny open_clip model with random weights of a fixed seed, as a folder that is an encoder's spec."""
    from tests.models import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> Config:
    """A library of 40 pictures and 80 captions, embedded and published. Read it; do not write to it.

    The tiny encoder finds all its pictures alike: no cosine below 1 counts as near.
    """
    from indexer.library import index_folders

    place = tmp_path_factory.mktemp("library")
    config = config_at(place / "home", encoder={"model": str(encoder_folder)}, index={"near_cosine": 1.0})
    index_folders(config, [draw_folder(place / "media")], silent)
    return config


@pytest.fixture(scope="module")
def catalog(library: Config) -> Iterator[Catalog]:
    """The catalog of the shared library."""
    catalog = Catalog(library)
    yield catalog
    catalog.engine.dispose()


@pytest.fixture(scope="module")
def client(library: Config, catalog: Catalog) -> "FlaskClient":
    """The web over the shared library."""
    from engine.search import Searcher
    from webui import create_app

    return create_app(library, Searcher(library, catalog)).test_client()


@pytest.fixture
def changed(library: Config, tmp_path: Path) -> Config:
    """A copy of the library to change."""
    from tests.web_library import copy_library

    return copy_library(library, tmp_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A library of twelve files of two captions each, made row by row. Read it; do not write to it."""
    from tests.made_library import make_library

    return make_library(tmp_path_factory.mktemp("made"))


@pytest.fixture
def config(made: Config, tmp_path: Path) -> Config:
    """A copy of the made library to change, where a module has no configuration of its own."""
    from tests.web_library import copy_library

    return copy_library(made, tmp_path)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line on the library at a home; its exit code, output and errors."""

    def call(home: Path, *arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            rebus.main(["--home", str(home), *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def empty(tmp_path: Path) -> Iterator["FlaskClient"]:
    """The web over a library in which nothing has been indexed."""
    from engine.search import Searcher
    from webui import create_app

    config = Config(home=tmp_path / "home")
    catalog = new_catalog(config)
    yield create_app(config, Searcher(config, catalog)).test_client()
    catalog.engine.dispose()


@contextmanager
def searching(config: Config) -> Iterator["Searcher"]:
    """A searcher over a library, with its encoder; its catalog is closed at the end."""
    from engine.search import Searcher

    catalog = Catalog(config)
    yield Searcher(config, catalog, load_encoder(config.encoder.model, "cpu"))
    catalog.engine.dispose()


def ask(searcher: "Searcher", *terms: Term, **changes: object) -> Results:
    """Up to a hundred hits, none folded, unless `changes` of the query say otherwise."""
    query = Query(terms, limit=100, fold=False)
    return searcher.search(dataclasses.replace(query, **changes))  # type: ignore[arg-type]
