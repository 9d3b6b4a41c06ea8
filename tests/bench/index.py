"""Bulk indexing, measured: end to end against the bare model, memory, and scans of 200,000 files. `make bench-index`.

In one run, each part in a process of its own. Photos (of the development data, else drawn): the rate of a whole run
with ViT-B-32 and with a small model, beside its parts over the same pictures. Many: 100,000 small generated pictures
with the small model, and how memory goes. Files: 200,000 tiny ones, scanned. First results: `rebus index` started anew.
`make bench-index PARTS="small first"` measures some parts alone, and keeps the last rows of the others.

The parts, in milliseconds a picture, are measured before each whole run and after the last, as machines drift: a run is
compared with the means of those beside it, and a row has the median run's ratios. decode: from a file to pixels as the
encoder takes them, on one core while the others do the same, as decoders work (a core whose neighbours rest is quicker
by a third on some machines, and no run has such a core). thumbnail: making it from the decoded picture, and storing it
as it must be, likewise. forward: pixels to unit vectors on all cores. The whole adds to these: content hash, perceptual
hash, facts, rows, versions, the start of the decoders and the end.

Nothing is deleted before the last measurement: for a while after files were, ext4 makes new ones up to six times as
slowly, since it gives none of them the place of one that has just gone.
"""

import argparse
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from PIL import Image

from engine.config import Config
from engine.decoding import usable_cores
from engine.encoders import Encoder, load_encoder
from engine.media import read_media
from engine.media.fitting import ImageInput
from engine.media.pictures import thumbnail
from engine.thumbnails import save_thumbnail, thumbnail_file
from indexer.library import index_folders
from tests.bench.report import last, revision, write
from tests.bench.scanning import scans
from tests.bench.support import Cores, Memory, library, say

# torch takes 400 MB: only the parts that encode import it.

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "flickr8k"
SMALL = {
    "embed_dim": 256,
    "vision_cfg": {
        "image_size": 96,
        "timm_model_name": "regnetx_004",
        "timm_pool": "avg",
        "timm_proj": "linear",
        "timm_model_pretrained": False,
    },
    "text_cfg": {"context_length": 28, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
}
_SAMPLE, _BATCH, _ROUNDS = 256, 64, 3


# --- what is measured ---


def photos(source: Path, place: Path, count: int) -> list[Path]:
    """Photographs without captions in a folder of their own, else drawn ones."""
    place.mkdir(parents=True)
    found = sorted(source.rglob("*.jpg"))[:count]
    for path in found:
        shutil.copyfile(path, place / path.name)
    return sorted(place.iterdir()) if found else draw_many(place, count, 224)


def draw_many(place: Path, count: int, pixels: int) -> list[Path]:
    """Pictures of smooth random colours, a thousand to a folder: quick to make, no two alike."""
    rng, made = np.random.default_rng(0), []
    for number in range(count):
        folder = place / f"{number // 1000:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        made.append(folder / f"{number:06d}.jpg")
        coarse.resize((pixels, pixels), Image.Resampling.BICUBIC).save(made[-1], quality=80)
    return made


def small_model(place: Path) -> str:
    """The encoder that `rebus train --encoder` makes, with random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from engine.encoders import CONFIG_FILE, WEIGHTS_FILE

    place.mkdir(parents=True)
    torch.manual_seed(0)
    weights = open_clip.CLIP(**SMALL).state_dict()
    (place / CONFIG_FILE).write_text(json.dumps({"model_cfg": SMALL, "preprocess_cfg": {"resize_mode": "squash"}}))
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, place / WEIGHTS_FILE)
    return str(place)


def large_model(place: Path) -> str:
    """ViT-B-32 with random weights, as a checkpoint."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(open_clip.create_model("ViT-B-32").state_dict(), place / "ViT-B-32.safetensors")
    return f"open_clip:ViT-B-32/{place / 'ViT-B-32.safetensors'}"


# --- how ---


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the work by themselves, in seconds a picture, over a sample.

    forward: all cores, as the encoder is used. plain: as open_clip is used by itself, one batch at a time with torch's
    own threads.
    """

    decode: float
    thumbnail: float
    forward: float
    plain: float

    @classmethod
    def mean(cls, several: Sequence["Parts"]) -> "Parts":
        return cls(*(mean(getattr(one, field.name) for one in several) for field in fields(cls)))


class Bare:
    """Measures the parts."""

    def __init__(self, encoder: Encoder, config: Config, paths: list[Path]) -> None:
        self.encoder, self.config = encoder, config
        self.sample = paths[:: max(1, len(paths) // _SAMPLE)][:_SAMPLE]
        images = _images(self.sample, config, encoder.image_input)
        self.pixels = np.stack([encoder.image_input.fit(image) for image in images])

    def parts(self, seconds: float) -> Parts:
        """Of everything. seconds: how long each kind of forward is measured."""
        decode, thumbnails = self._on_a_core()
        return Parts(decode, thumbnails, self._forward(seconds), self._plain(seconds))

    def _on_a_core(self) -> tuple[float, float]:
        """Of decoding, and of thumbnails: each core does the whole sample, all of them at once."""
        given = self.sample, self.config, self.encoder.image_input
        cores = usable_cores()
        with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
            list(pool.map(_decoding, *([one] * cores for one in given)))  # starts and warms them
            both = (list(pool.map(work, *([one] * cores for one in given))) for work in (_decoding, _thumbnails))
            decode, thumbnails = (sum(took) / cores for took in both)
        return decode, thumbnails

    def _forward(self, seconds: float) -> float:
        """Seconds a picture, over as many batches as fit."""
        return _rate(lambda part: self.encoder.encode_pixels(part), self.pixels, seconds)

    def _plain(self, seconds: float) -> float:
        """The same by open_clip alone."""
        import torch

        model: Any = self.encoder.model  # type: ignore[attr-defined]

        def run(part: Any) -> None:
            with torch.inference_mode():
                model.encode_image(torch.from_numpy(part).permute(0, 3, 1, 2).float() / 255, normalize=True)

        return _rate(run, self.pixels, seconds)


def _images(paths: list[Path], config: Config, fitting: ImageInput) -> list[Image.Image]:
    at_least = max(config.media.thumbnail_pixels, fitting.shorter_side)
    return [read_media(path, config.media, at_least).frames[0].image for path in paths]


def _decoding(paths: list[Path], config: Config, fitting: ImageInput) -> float:
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        for path in paths:
            fitting.fit(_images([path], config, fitting)[0])
    return (time.perf_counter() - started) / len(paths) / _ROUNDS


def _thumbnails(paths: list[Path], config: Config, fitting: ImageInput) -> float:
    """To make and to store them, each under a name of its own, in the folders of a library."""
    images, took = _images(paths, config, fitting), 0.0
    for _ in range(_ROUNDS):
        folder = Path(tempfile.mkdtemp(dir=config.home))
        files = [thumbnail_file(folder, f"{number:032x}"[::-1]) for number in range(len(images))]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        for file, image in zip(files, images, strict=True):
            save_thumbnail(file, thumbnail(image, config.media.thumbnail_pixels))
        took += time.perf_counter() - started
    return took / len(paths) / _ROUNDS


def _rate(work: Callable[[Any], object], pixels: Any, seconds: float) -> float:
    work(pixels[:_BATCH])
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        start = done % (len(pixels) - _BATCH + 1)
        work(pixels[start : start + _BATCH])
        done += _BATCH
    return (time.perf_counter() - started) / done


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run: seconds a picture, and what was watched."""

    whole: float
    memory: Memory
    cores: Cores


def end_to_end(
    name: str, spec: str, place: Path, paths: list[Path], media: Path, seconds: float, rounds: int
) -> dict[str, Any]:
    """Whole runs, each with a library of its own, between measurements of their parts."""
    encoder, runs = load_encoder(spec, "cpu"), list[Run]()
    with ExitStack() as kept:
        bare = Bare(encoder, kept.enter_context(library(place)), paths)
        parts = [bare.parts(seconds)]
        for _ in range(rounds):
            runs.append(_whole(kept.enter_context(library(place)), encoder, media, len(paths)))
            parts.append(bare.parts(seconds))
    beside = [Parts.mean(two) for two in pairwise(parts)]
    ratios = [_ratios(one, run.whole) for one, run in zip(beside, runs, strict=True)]
    row = {
        "part": name,
        "pictures": len(paths),
        "images_per_s": round(1 / mean(run.whole for run in runs), 1),
        "decode_ms": [round(one.decode * 1e3, 3) for one in parts],
        "thumbnail_ms": [round(one.thumbnail * 1e3, 3) for one in parts],
        "forward_ms": [round(one.forward * 1e3, 3) for one in parts],
        "plain_forward_ms": [round(one.plain * 1e3, 3) for one in parts],
        "whole_ms": [round(run.whole * 1e3, 3) for run in runs],
        **{ratio: median(one[ratio] for one in ratios) for ratio in ratios[0]},
        "by_run": ratios,
    }
    highest = max(runs, key=lambda run: run.memory.peak)
    watched = [run.cores.row(len(paths)) for run in runs]
    return {**row, **{figure: [one[figure] for one in watched] for figure in watched[0]}, **highest.memory.row()}


def _whole(config: Config, encoder: Encoder, media: Path, count: int) -> Run:
    with Memory() as memory, Cores() as cores:
        started = time.perf_counter()
        report = index_folders(config, [media], memory.tell, encoder=encoder)
        whole = (time.perf_counter() - started) / count
    assert report.embedded == count and report.failures == 0
    return Run(whole, memory, cores)


def _ratios(parts: Parts, whole: float) -> dict[str, float]:
    """How near the whole comes to its parts, taken together in several ways."""
    shared = (parts.decode + parts.thumbnail) / usable_cores() + parts.forward
    return {
        "ratio_to_forward": round(parts.forward / whole, 3),
        "ratio_to_plain_forward": round(parts.plain / whole, 3),
        "ratio_to_parts_one_after_another": round((parts.decode + parts.thumbnail + parts.forward) / whole, 3),
        "ratio_to_parts_on_all_cores": round(shared / whole, 3),
        "most_that_ratio_to_forward_can_be": round(parts.forward / shared, 3),
    }


def first_results(name: str, spec: str, place: Path, media: Path) -> dict[str, Any]:
    """Seconds from the start of `rebus index` in a new process to its first version, and from Ctrl-C to its end."""
    home = Path(tempfile.mkdtemp(dir=place))
    command = [sys.executable, "-m", "rebus", "--home", str(home), "index", str(media), "--encoder", spec]
    began = time.perf_counter()
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a benchmark in the background has it ignored
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=hear)
    catalog = home / "catalog.db"
    while not _has_version(catalog):
        time.sleep(0.05)
        assert run.poll() is None, "it ended without a version"
    published = time.perf_counter()
    run.send_signal(signal.SIGINT)
    run.wait()
    ended = time.perf_counter()
    shutil.rmtree(home)
    return {
        "part": f"first results, {name}",
        "first_version_s": round(published - began, 2),
        "ctrl_c_s": round(ended - published, 2),
    }


def _has_version(catalog: Path) -> bool:
    if not catalog.exists():
        return False
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as connection,
    ):
        return bool(connection.execute("SELECT count(*) FROM versions").fetchone()[0])
    return False


def apart(work: Callable[..., dict[str, Any]], *given: object) -> dict[str, Any]:
    """A part's row, measured in a process of its own, whose memory holds nothing of the others."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        row = process.submit(work, *given).result()
    say(json.dumps(row))
    return row


PARTS = ("vit", "small", "many", "scan", "first")


def measured(part: str, given: argparse.Namespace, place: Path) -> list[dict[str, Any]]:
    """The rows of one part."""
    if part == "scan":
        return [apart(scans, place, given.files)]
    media, small = place / "media", small_model(place / "model")
    if part == "vit":
        paths = photos(given.pictures, media, given.large_photos)
        spec = large_model(place)
        return [apart(end_to_end, "ViT-B-32", spec, place, paths, media, given.seconds, given.rounds)]
    if part == "small":
        paths = photos(given.pictures, media, given.photos)
        return [apart(end_to_end, "small model", small, place, paths, media, given.seconds, given.rounds)]
    if part == "many":
        paths = draw_many(media, given.many, 96)
        return [apart(end_to_end, "many small pictures", small, place, paths, media, given.seconds, 1)]
    photos(given.pictures, media, given.photos)
    rows = []
    for name, spec in (("ViT-B-32", large_model(place)), ("small model", small)):
        rows.append(first_results(name, spec, place, media))
        say(json.dumps(rows[-1]))
    return rows


HEADLINE = {  # its names, and where each is found: the row and the figure of it
    "throughput_ratio": ("ViT-B-32", "ratio_to_forward"),
    "small_model_ratio": ("small model", "ratio_to_parts_one_after_another"),
    "peak_mb_7k": ("small model", "peak_mb"),
    "peak_mb_many": ("many small pictures", "peak_mb"),
    "rescan_200k_s": ("scan", "second_s"),
    "scan_peak_mb_200k": ("scan", "peak_mb"),
    "first_version_s": ("first results, ViT-B-32", "first_version_s"),
}


def kept_rows(fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the last result, those measured now in place of them; each says at which revision it was measured."""
    rows = {row["part"]: row for row in last("index")}
    for row in fresh:
        rows[row["part"]] = {**row, "revision": revision()}
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, default=PHOTOS, help="a folder of photographs; drawn where none are")
    parser.add_argument("--photos", type=int, default=7000)
    parser.add_argument("--large-photos", type=int, default=2500, help="how many of them ViT-B-32 sees in each run")
    parser.add_argument("--rounds", type=int, default=3, help="whole runs with each model, between measured parts")
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each bare forward")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="the others' last rows are kept")
    given = parser.parse_args()
    fresh = []
    with ExitStack() as kept:
        for part in given.parts:
            folder = kept.enter_context(tempfile.TemporaryDirectory(prefix="rebus-bench-"))
            fresh += measured(part, given, Path(folder))
    rows = kept_rows(fresh)
    found = {row["part"]: row for row in rows}
    headline = {name: found[part][figure] for name, (part, figure) in HEADLINE.items() if part in found}
    say(f"{write('index', rows, headline)}: {json.dumps(headline)}")


if __name__ == "__main__":
    main()
