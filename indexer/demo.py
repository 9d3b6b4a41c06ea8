"""`rebus demo`: from nothing, or from a folder of one's own, to a library that can be searched."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import xxhash
from platformdirs import user_data_path

from engine.catalog import Catalog
from engine.config import Config
from indexer.choice import chosen_encoder
from indexer.jobs import Tell
from indexer.library import IndexReport, index_folders, train_and_publish
from indexer.samples import draw_library
from indexer.splits import captioned

_ENOUGH = 500  # captioned pictures from which an encoder is trained on the user's own
# What a demo's training looks at, all epochs together, and how long it may take: the page should be there in five
# minutes. Many small steps with a high rate, small pictures and wide crops learn most in that time (measured).
_PICTURES_SEEN, _MINUTES = 44_000, 2.7
_BRIEF = {"image_pixels": 80, "batch_size": 64, "learning_rate": 3e-3, "captions_per_image": 2, "smallest_crop": 0.7}

Hear = Callable[[dict[str, float], int, int], None]


def demo_home(home: Path | None) -> Path:
    """A place of the demo's own, so that no sample is mixed into the user's library."""
    return home or Path(os.environ.get("REBUS_HOME") or user_data_path("rebus-demo", appauthor=False))


def prepare_demo(config: Config, media: Path | None, tell: Tell, hear: Hear) -> tuple[Config, IndexReport]:
    """Index the sample library at `config.home`, or `media` in a library of its own below it; train where needed.

    `media` with enough captions trains on them; otherwise its encoder is the sample library's. Running it again
    redoes nothing. Returns the settings of the library to serve, and what was done.
    """
    if media is None:
        folder = draw_library(config.home / "samples", progress=lambda done, total: tell("drawing", done, total))
        return config, _indexed_and_trained(config, folder, tell, hear)
    own = dataclasses.replace(config, home=config.home / f"own-{xxhash.xxh3_64_hexdigest(str(media.resolve()))}")
    report = index_folders(own, [media], tell)
    if report.encoder is not None:
        return own, report
    if len(captioned(Catalog(own), own.captions.languages[0])) >= _ENOUGH:
        return own, _indexed_and_trained(own, media, tell, hear)
    prepare_demo(config, None, tell, hear)
    spec = chosen_encoder(Catalog(config), config) or ""
    borrowing = dataclasses.replace(own, encoder=dataclasses.replace(own.encoder, model=spec))
    return own, index_folders(borrowing, [media], tell)


def _indexed_and_trained(config: Config, folder: Path, tell: Tell, hear: Hear) -> IndexReport:
    report = index_folders(config, [folder], tell)
    if report.encoder is not None:
        return report
    pictures = len(captioned(Catalog(config), config.captions.languages[0]))
    training = train_and_publish(_briefly(config, pictures), tell, hear)[1]
    training.scans, training.failures = report.scans, report.failures
    return training


def _briefly(config: Config, pictures: int) -> Config:
    epochs = max(2, min(config.train.epochs, _PICTURES_SEEN // pictures))
    minutes = min(_MINUTES, config.train.max_minutes)
    train = dataclasses.replace(config.train, epochs=epochs, max_minutes=minutes, **_BRIEF)  # type: ignore[arg-type]
    return dataclasses.replace(config, train=train)
