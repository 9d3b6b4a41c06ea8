"""The encoder that comes with Rebus beside larger ones: `make bench-encoder`. Development data lie in ../shared/data.

What it finds, from pixels: Flickr8k's val (1,000 photos, 5,000 captions), compositions of the sample library and icons
by their tags that its recipe held out. What it costs: photos a second through the whole of `rebus index`, milliseconds
for a query, megabytes. The larger ones have random weights, which cost what trained ones do, and find nothing.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file

from engine.config import MediaSettings
from engine.encoders import STARTER, WEIGHTS_FILE, Encoder, folder_of, load_encoder
from engine.errors import InvalidInput
from engine.media import read_media
from indexer.library import index_folders
from indexer.metrics import pair_ranks
from indexer.starter.recipe import load_recipe
from indexer.starter.sources import Example, examples
from tests.bench.index import photos
from tests.bench.report import write
from tests.bench.support import Cores, library, say

DATA = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "data"
LARGER = ("ViT-B-32", "MobileCLIP2-S0", "ViT-S-32-alt")
_QUERIES, _BLOCK = 200, 64

Row = dict[str, Any]


def held_out(data: Path, place: Path) -> dict[str, tuple[Example, ...]]:
    """What the recipe keeps from training, by its source; a source that is not here is left out."""
    found = {}
    for source in load_recipe(STARTER).sources:
        try:
            found[source.name] = examples(source, data, place, lambda *_: None).held_out
        except InvalidInput as error:
            say(f"{source.name} is not measured: {error}")
    return found


def figures(encoder: Encoder, held: Sequence[Example]) -> dict[str, float]:
    """Recall both ways; pictures are read and fitted as indexing does."""
    at_least, rows = max(384, encoder.image_input.shorter_side), []
    for start in range(0, len(held), _BLOCK):
        some = [read_media(one.path, MediaSettings(), at_least).frames[0].image for one in held[start : start + _BLOCK]]
        rows.append(encoder.encode_images(some))
    texts = encoder.encode_text([text for one in held for text in one.texts])
    owner = np.repeat(np.arange(len(held)), [len(one.texts) for one in held])
    found = pair_ranks(np.concatenate(rows), texts, owner).figures()
    return {**{name: round(value, 4) for name, value in found.items()}, "pictures": len(held), "texts": len(owner)}


def indexed(encoder: Encoder, media: Path, count: int, place: Path) -> Row:
    """A run of `rebus index` over `count` photos: how many a second, and what the cores did meanwhile, a photo."""
    with library(place) as config:
        started = time.perf_counter()
        with Cores() as cores:
            report = index_folders(config, [media], lambda *_: None, encoder=encoder)
        seconds = time.perf_counter() - started
        assert report.embedded == count and report.failures == 0
    return {"photos": count, "images_per_s": round(count / seconds, 1), **cores.row(count)}


def costs(encoder: Encoder, spec: str, media: Path, count: int, queries: Sequence[str], place: Path) -> Row:
    """A run of indexing, and queries one at a time, as a search asks them."""
    run, times = indexed(encoder, media, count, place), []
    for query in queries:
        started = time.perf_counter()
        encoder.encode_text([query])
        times.append(time.perf_counter() - started)
    bare, pixels = 0.0, np.zeros((_BLOCK, encoder.image_input.height, encoder.image_input.width, 3), np.uint8)
    for _ in range(3):
        started = time.perf_counter()
        encoder.encode_pixels(pixels)
        bare = max(bare, _BLOCK / (time.perf_counter() - started))
    return {
        **run,
        "forward_images_per_s": round(bare, 1),
        "ms_per_query": round(1e3 * statistics.median(times), 2),
        "megabytes": round(_bytes(spec) / 1e6, 1),
    }


def _bytes(spec: str) -> int:
    """Of a folder's files that the encoder is loaded from, or of a checkpoint."""
    if spec.startswith("open_clip:"):
        return Path(spec.partition("/")[2]).stat().st_size
    folder = folder_of(spec)
    assert (folder / WEIGHTS_FILE).is_file()
    wanted = (".safetensors", ".json", ".gz")
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in wanted)


def random_model(name: str, place: Path) -> str:
    """An open_clip model with random weights, as a checkpoint."""
    torch.manual_seed(0)
    path = place / f"{name}.safetensors"
    weights = open_clip.create_model(name).state_dict()
    save_file({key: tensor.contiguous().clone() for key, tensor in weights.items()}, path)
    return f"open_clip:{name}/{path}"


def headline(row: Mapping[str, Any]) -> dict[str, float]:
    """The names that every release is compared by."""
    found = {name: row[name] for name in ("images_per_s", "ms_per_query", "megabytes")}
    flickr = row["found"].get("flickr8k", {})
    return {**({"flickr8k_val_t2i_r10": flickr["t2i_r10"]} if flickr else {}), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the development data")
    parser.add_argument("--work", type=Path, help="the work of a recipe, whose drawn pictures need not be drawn again")
    parser.add_argument("--photos", type=int, default=1000, help="photos that are indexed, of the small encoders")
    parser.add_argument(
        "--more-photos", type=int, default=5000, help="and once more of the first, where starting counts for little"
    )
    parser.add_argument("--large-photos", type=int, default=200, help="and of the larger ones")
    parser.add_argument("--also", nargs="*", default=[], metavar="NAME=FOLDER", help="other encoders of a recipe")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rebus-bench-") as folder:
        place = Path(folder)
        sets = held_out(given.data, given.work or place)
        counts = {"many": given.photos, "more": given.more_photos, "few": given.large_photos}
        media = {name: (place / name, len(photos(given.data, place / name, count))) for name, count in counts.items()}
        queries = [text for held in sets.values() for one in held[:_QUERIES] for text in one.texts][:_QUERIES]
        rows: list[Row] = []
        for name, spec in [("starter", STARTER), *(also.split("=", 1) for also in given.also)]:
            encoder = load_encoder(spec, "cpu")
            row: Row = {"encoder": name, "found": {of: figures(encoder, held) for of, held in sets.items()}}
            rows.append(row | costs(encoder, spec, *media["many"], queries, place))
            if spec == STARTER:
                rows[-1]["longer"] = indexed(encoder, *media["more"], place)
            say(json.dumps(rows[-1]))
        for name in LARGER:
            spec = random_model(name, place)
            encoder = load_encoder(spec, "cpu")
            row = {"encoder": f"{name}, random weights"}
            rows.append(row | costs(encoder, spec, *media["few"], queries, place))
            say(json.dumps(rows[-1]))
    for row in rows:
        row["threads"] = len(os.sched_getaffinity(0))
    say(f"{write('encoder', rows, headline(rows[0]))}: {json.dumps(headline(rows[0]))}")


if __name__ == "__main__":
    main()
