"""The encoder that comes with Rebus: it is small, finds what it never saw, and gives way to what a library has."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.catalog import Catalog
from engine.config import load_config
from engine.encoders import (
    CONFIG_FILE,
    MERGES_FILE,
    STARTER,
    STARTER_FOLDER,
    WEIGHTS_FILE,
    Encoder,
    load_encoder,
    portable_spec,
    resolved_spec,
    weights_file,
)
from engine.errors import InvalidInput
from indexer.choice import chosen_encoder, is_starter
from indexer.encoder_training import train_encoder
from indexer.library import index_folders
from indexer.metrics import pair_ranks
from indexer.samples import draw_picture, plan_library
from tests.conftest import config_at, draw_folder, silent


@pytest.fixture(scope="module")
def starter() -> Encoder:
    return load_encoder(STARTER, "cpu")


def test_it_is_at_most_twenty_megabytes_and_says_what_it_is() -> None:
    files = {path.name: path for path in STARTER_FOLDER.iterdir()}
    assert {CONFIG_FILE, WEIGHTS_FILE, MERGES_FILE, "MODEL_CARD.md", "LICENSE"} <= set(files)
    assert sum(files[name].stat().st_size for name in (CONFIG_FILE, WEIGHTS_FILE, MERGES_FILE)) <= 20_000_000
    card = files["MODEL_CARD.md"].read_text(encoding="utf-8")
    for said in ("research", "Flickr8k", "English", "Lucide", "R@10"):
        assert said in card
    assert "![" in card and all((STARTER_FOLDER / f"{stage}.svg").is_file() for stage in ("text", "image", "both"))
    log = json.loads((STARTER_FOLDER / "training.json").read_text(encoding="utf-8"))
    for name, stage in log["stages"].items():
        assert len(stage["curve"]) == log["recipe"][name]["epochs"] > 0


def test_it_finds_compositions_that_it_never_saw(starter: Encoder) -> None:
    held = [picture for picture in plan_library(1200, 7) if picture.split == "val"][:40]
    rows = starter.encode_images([draw_picture(one.index, 7, 1200) for one in held])
    texts = starter.encode_text([text for one in held for text in one.captions])
    figures = pair_ranks(rows, texts, np.repeat(np.arange(len(held)), 2)).figures()
    assert figures["t2i_r10"] >= 0.9 and figures["i2t_r10"] >= 0.9  # chance is 0.25


def test_its_spec_is_a_name_wherever_rebus_is_installed(starter: Encoder, tmp_path: Path) -> None:
    assert starter.spec == STARTER == load_config(tmp_path, environ={}).encoder.model
    assert portable_spec(tmp_path, str(STARTER_FOLDER)) == STARTER == resolved_spec(tmp_path, STARTER)
    assert weights_file(STARTER) == STARTER_FOLDER / WEIGHTS_FILE
    assert is_starter(STARTER) and is_starter(str(STARTER_FOLDER)) and not is_starter("open_clip:ViT-B-32/x")
    by_folder = load_encoder(str(STARTER_FOLDER), "cpu")
    assert by_folder.fingerprint == starter.fingerprint


def test_a_library_begins_with_it_and_is_told_of_a_larger_one_once(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    media, home = draw_folder(tmp_path / "media", 8), tmp_path / "home"
    code, out, _ = command(home, "index", str(media))
    assert code == 0 and "is published with 8 image, 16 text items." in out
    assert out.count("rebus index --encoder open_clip:") == 1
    code, out, _ = command(home, "index")
    assert code == 0 and "open_clip:" not in out
    code, out, _ = command(home, "search", "a red boat", "--filepath-only")
    assert code == 0 and out.splitlines()[0].endswith(".jpg")


def test_it_gives_way_to_what_the_library_uses_unless_it_is_asked_for(
    command: Callable[..., tuple[int, str, str]], encoder_folder: Path, tmp_path: Path
) -> None:
    media, home = draw_folder(tmp_path / "media", 6), tmp_path / "home"
    index_folders(config_at(home, encoder={"model": str(encoder_folder)}), [media], silent)
    default = config_at(home, encoder={"model": STARTER})
    catalog = Catalog(default)
    assert chosen_encoder(catalog, default) == str(encoder_folder)
    catalog.engine.dispose()
    code, out, _ = command(home, "index", "--encoder", STARTER)
    assert code == 0 and "is published with 6 image, 12 text items." in out
    catalog = Catalog(default)
    assert chosen_encoder(catalog, default) == STARTER
    catalog.engine.dispose()


@pytest.mark.parametrize("rate", [1e-9, 1e-2])
def test_training_begins_with_the_weights_it_is_given(encoder_folder: Path, tmp_path: Path, rate: float) -> None:
    train = {"start": str(encoder_folder), "epochs": 1, "batch_size": 16, "learning_rate": rate}
    config = config_at(tmp_path / "home", train=train)
    index_folders(config, [draw_folder(tmp_path / "media", 60)], silent)
    catalog = Catalog(config)
    trained = train_encoder(catalog, config, silent, silent)[0]
    words = ["a red boat", "a green tree"]
    begun = load_encoder(str(encoder_folder), "cpu")
    near = (begun.encode_text(words) * trained.encode_text(words)).sum(axis=1)  # rows are unit: their cosines
    assert trained.dims == begun.dims and (near.min() > 0.999) == (rate < 1e-3)
    hub = dataclasses.replace(config, train=dataclasses.replace(config.train, start="open_clip:ViT-B-32/openai"))
    with pytest.raises(InvalidInput, match="train.start"):
        train_encoder(catalog, hub, silent, silent)
    catalog.engine.dispose()
