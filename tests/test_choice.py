"""The encoder that was chosen for a library is remembered, also when the first run was interrupted as it loaded."""

import os
from pathlib import Path

import pytest

from engine.catalog import Catalog
from engine.config import Config
from engine.errors import EncoderUnavailable
from indexer.choice import chosen_encoder, remembered
from indexer.library import index_folders
from tests.conftest import config_at, draw_folder, silent


def choice(config: Config) -> str | None:
    catalog = Catalog(config, create=True)
    try:
        return chosen_encoder(catalog, config)
    finally:
        catalog.engine.dispose()


def interrupt(*_: object) -> None:
    """At the first word of a run: that the encoder is being loaded or, where that was quick, of the first pictures."""
    raise KeyboardInterrupt


def test_a_first_run_that_is_interrupted_at_its_start_is_gone_on_with(tmp_path: Path, encoder_folder: Path) -> None:
    media, plain = draw_folder(tmp_path / "media", 8), config_at(tmp_path / "home")
    asked = config_at(tmp_path / "home", encoder={"model": os.path.relpath(encoder_folder)})
    assert choice(plain) is None
    with pytest.raises(KeyboardInterrupt):
        index_folders(asked, [media], interrupt)
    assert choice(plain) == str(encoder_folder)
    report = index_folders(plain, [media], silent)
    assert report.version is not None and report.version.counts["image"] == 8
    assert choice(plain) == str(encoder_folder) and not list(plain.home.glob("*.txt"))


def test_an_encoder_that_cannot_be_loaded_is_forgotten(tmp_path: Path) -> None:
    media, plain = draw_folder(tmp_path / "media", 2), config_at(tmp_path / "home")
    with pytest.raises(EncoderUnavailable):
        index_folders(config_at(plain.home, encoder={"model": "/no/such/encoder"}), [media], silent)
    assert choice(plain) is None


def test_a_choice_is_no_match_for_what_the_library_is_served_by(library: Config) -> None:
    catalog = Catalog(library)
    with remembered(catalog, "open_clip:ViT-B-32/another"):
        assert not list(library.home.glob("*.txt"))
    catalog.engine.dispose()
