"""`rebus demo`: from nothing, or from a folder of one's own, to a library that can be searched."""

import dataclasses
import os
from pathlib import Path

import xxhash
from platformdirs import user_data_path

from engine.config import Config
from indexer.jobs import Tell
from indexer.library import IndexReport, index_folders
from indexer.samples import draw_library


def demo_home(home: Path | None) -> Path:
    """A place of the demo's own, so that no sample is mixed into the user's library."""
    return home or Path(os.environ.get("REBUS_HOME") or user_data_path("rebus-demo", appauthor=False))


def prepare_demo(config: Config, media: Path | None, tell: Tell) -> tuple[Config, IndexReport]:
    """Index the sample library at `config.home`, or `media` in a library of its own below it.

    Running it again redoes nothing. Returns the settings of the library to serve, and what was done.
    """
    if media is None:
        folder = draw_library(config.home / "samples", progress=lambda done, total: tell("drawing", done, total))
        return config, index_folders(config, [folder], tell)
    own = dataclasses.replace(config, home=config.home / f"own-{xxhash.xxh3_64_hexdigest(str(media.resolve()))}")
    return own, index_folders(own, [media], tell)
