"""`rebus demo`: from nothing, or from a folder of one's own, to a library that can be searched."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_data_path

from engine.catalog import Catalog
from engine.config import Config
from indexer.jobs import Tell
from indexer.library import IndexReport, chosen_encoder, index_folders, train_and_publish
from indexer.samples import draw_library
from indexer.splits import captioned

_ENOUGH = 500  # captioned pictures from which an encoder is trained on the user's own
_PICTURES_SEEN = 36_000  # what a demo's training looks at, all epochs together: about two minutes on two cores
_MINUTES = 2.5

Hear = Callable[[dict[str, float], int, int], None]


def demo_home(home: Path | None) -> Path:
    """A library of the demo's own, so that no sample is mixed into the user's."""
    return home or Path(os.environ.get("REBUS_HOME") or user_data_path("rebus-demo", appauthor=False))


def prepare_demo(config: Config, media: Path | None, tell: Tell, hear: Hear) -> IndexReport:
    """Index the sample library, or `media`; train where no encoder is chosen yet. Running it again redoes nothing.

    `media` with enough captions trains on them, otherwise the encoder comes from the sample library.
    """
    if media is None:
        media = draw_library(config.home / "samples", progress=lambda done, total: tell("drawing", done, total))
    report = index_folders(config, [media], tell)
    if report.version is not None or report.encoder is not None:
        return report
    known = len(captioned(Catalog(config), config.captions.languages[0]))
    if known >= _ENOUGH:
        return train_and_publish(_briefly(config, known), tell, hear)[1]
    samples = dataclasses.replace(config, home=config.home / "sample-library")
    prepare_demo(samples, None, tell, hear)
    spec = chosen_encoder(Catalog(samples), samples) or ""
    encoder = dataclasses.replace(config.encoder, model=spec)
    return index_folders(dataclasses.replace(config, encoder=encoder), [media], tell)


def _briefly(config: Config, pictures: int) -> Config:
    epochs = max(2, min(config.train.epochs, _PICTURES_SEEN // pictures))
    return dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, epochs=epochs, max_minutes=min(_MINUTES, config.train.max_minutes)),
    )
