"""A library keeps the encoder that came with Rebus: an upgrade is offered, and what is served goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, EncoderRow
from engine.config import Config
from engine.encoders import CONFIG_FILE, HOME_FOLDER, MERGES_FILE, STARTER, STARTER_FOLDER, WEIGHTS_FILE, load_encoder
from engine.errors import EncoderUnavailable
from engine.turns import choose, roll_back
from indexer.bundled import is_older, is_starter, kept
from indexer.care.collect import collect
from indexer.care.doctor import examine
from indexer.encoder_training import _begin
from indexer.history import prune
from indexer.library import index_folders
from tests.conftest import config_at, draw_folder, found, silent
from tests.upgraded import write_other_starter

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a library of eight pictures in home/, embedded by what comes with Rebus."""
    place = tmp_path_factory.mktemp("begun")
    index_folders(config_at(place / "home", encoder={"model": STARTER}), [draw_folder(place / "media", 8)], silent)
    return place


@pytest.fixture
def config(begun: Path, tmp_path: Path) -> Config:
    """A copy of it to change."""
    shutil.copytree(begun / "home", tmp_path / "home")
    return config_at(tmp_path / "home", encoder={"model": STARTER})


@pytest.fixture
def upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Puts a Rebus in place that comes with other weights."""

    def call() -> Path:
        folder = write_other_starter(tmp_path / "newer")
        monkeypatch.setattr("engine.encoders.STARTER_FOLDER", folder)
        return folder

    return call


def encoders(config: Config) -> list[EncoderRow]:
    catalog = Catalog(config)
    with catalog.session() as session:
        rows = list(session.scalars(sa.select(EncoderRow).order_by(EncoderRow.id)))
    catalog.engine.dispose()
    return rows


def copies(config: Config) -> list[str]:
    return sorted(path.name for path in (config.home / HOME_FOLDER).iterdir())


def test_a_library_keeps_what_it_began_with_and_its_licence(config: Config) -> None:
    (row,), (name,) = encoders(config), copies(config)
    assert row.spec == f"{HOME_FOLDER}/{name}" and is_starter(row.spec) and not is_older(row.spec)
    files = {path.name for path in (config.home / row.spec).iterdir()}
    assert files == {CONFIG_FILE, WEIGHTS_FILE, MERGES_FILE, "LICENSE", "manifest.json"}
    assert kept(config.home, str(STARTER_FOLDER)) == kept(config.home, STARTER) == str(config.home / row.spec)
    assert kept(config.home, "open_clip:ViT-B-32/openai") == "open_clip:ViT-B-32/openai"


def test_after_an_upgrade_words_are_found_as_before_and_the_new_one_is_offered(
    config: Config, upgrade: Callable[[], Path], command: Command, tmp_path: Path
) -> None:
    upgrade()
    assert len(found(config)) == 8
    code, out, _ = command(config.home, "index", str(draw_folder(tmp_path / "more", 9)))
    assert code == 0 and "9 image" not in out and "17 image" in out and "rebus index --encoder starter" in out
    assert len(encoders(config)) == 1 and len(copies(config)) == 1
    assert any("comes with another small encoder" in finding.what for finding in examine(config))


def test_the_new_one_is_taken_when_it_is_asked_for_and_the_old_one_is_gone_back_to_until_gc(
    config: Config, upgrade: Callable[[], Path], command: Command
) -> None:
    upgrade()
    code, out, _ = command(config.home, "index", "--encoder", STARTER)
    assert code == 0 and "is published with 8 image, 16 text items." in out and "another small encoder" not in out
    older, newer = encoders(config)
    assert is_older(older.spec) and not is_older(newer.spec) and len(found(config)) == 8
    catalog = Catalog(config)
    served = catalog.versions()[0]
    assert served.encoder_id == newer.id
    assert roll_back(catalog).encoder_id == older.id and len(found(config)) == 8
    choose(catalog, served.id)
    prune(catalog, 1)
    catalog.engine.dispose()
    foreseen = collect(config, silent, encoders=True, dry_run=True)
    assert collect(config, silent, encoders=True).encoders == foreseen.encoders == [older.spec]
    assert copies(config) == [Path(newer.spec).name] and foreseen.bytes > 16_000_000 and len(found(config)) == 8


def test_training_begins_with_the_copy_also_where_what_came_with_rebus_is_damaged(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(STARTER_FOLDER, tmp_path / "installed")
    (folder / "manifest.json").unlink()
    monkeypatch.setattr("engine.encoders.STARTER_FOLDER", folder)
    with pytest.raises(EncoderUnavailable, match="install Rebus again"):
        load_encoder(STARTER, "cpu")
    assert _begin(config).fingerprint == encoders(config)[0].fingerprint


def test_a_damaged_copy_is_made_anew_from_what_comes_with_rebus(config: Config) -> None:
    (row,) = encoders(config)
    weights = config.home / row.spec / WEIGHTS_FILE
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert index_folders(config, [], silent).embedded == 0
    assert weights.read_bytes() == before and encoders(config)[0].spec == row.spec and len(found(config)) == 8


@pytest.mark.parametrize("spec", [STARTER, None])
def test_a_library_that_has_no_copy_any_more_or_never_had_one_gets_it_by_the_next_run(
    config: Config, spec: str | None
) -> None:
    (row,), catalog = encoders(config), Catalog(config)
    if spec is not None:
        with catalog.session() as session:
            session.execute(sa.update(EncoderRow).values(spec=spec))
    catalog.engine.dispose()
    shutil.rmtree(config.home / row.spec)
    assert index_folders(config, [], silent).embedded == 0
    assert encoders(config)[0].spec == row.spec and copies(config) == [Path(row.spec).name]
    assert len(encoders(config)) == 1 and len(found(config)) == 8
