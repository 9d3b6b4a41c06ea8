"""Bulk indexing, measured: end to end against the bare model, memory, and scans of 200,000 files. `make bench-index`.

Three parts, in one run. Photos (of the development data, else drawn): the rate of a whole run with ViT-B-32 and with a
small model, beside the bare forward over the same pictures already decoded, measured before and after. Many: 100,000
small generated pictures with the small model, and how memory goes. Files: a library of 200,000 tiny files, scanned.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import psutil
import sqlalchemy as sa
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.catalog import Catalog, Item, Root
from engine.config import Config, load_config
from engine.encoders import CONFIG_FILE, WEIGHTS_FILE, Encoder, load_encoder
from engine.media import read_media
from engine.media.pictures import thumbnail
from engine.types import U8
from indexer.library import index_folders
from indexer.roots import open_root
from indexer.scan import Scan, ScanReport
from tests.bench.report import write

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
_SAMPLE, _BATCH = 256, 64


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


# --- what is measured ---


def photos(place: Path, count: int) -> list[Path]:
    """Photographs without captions in a folder of their own: the development data's, else drawn."""
    place.mkdir(parents=True)
    found = sorted(PHOTOS.rglob("*.jpg"))[:count]
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
    place.mkdir(parents=True)
    torch.manual_seed(0)
    weights = open_clip.CLIP(**SMALL).state_dict()
    (place / CONFIG_FILE).write_text(json.dumps({"model_cfg": SMALL, "preprocess_cfg": {"resize_mode": "squash"}}))
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, place / WEIGHTS_FILE)
    return str(place)


def large_model(place: Path) -> str:
    """ViT-B-32 with random weights, as a checkpoint."""
    torch.manual_seed(0)
    save_file(open_clip.create_model("ViT-B-32").state_dict(), place / "ViT-B-32.safetensors")
    return f"open_clip:ViT-B-32/{place / 'ViT-B-32.safetensors'}"


# --- how ---


class Bare:
    """The parts of the work by themselves, in seconds a picture, over a sample that is decoded already.

    decode and thumbnail: on one core, as the decoders do them. forward: all cores, as the encoder is used, and as
    open_clip is used by itself (`plain`: one batch at a time with torch's own threads).
    """

    def __init__(self, encoder: Encoder, config: Config, paths: list[Path]) -> None:
        self.encoder, at_least = encoder, max(config.media.thumbnail_pixels, encoder.image_input.shorter_side)
        sample = paths[:: max(1, len(paths) // _SAMPLE)][:_SAMPLE]
        images = [read_media(path, config.media, at_least).frames[0].image for path in sample]
        self.pixels = np.stack([encoder.image_input.fit(image) for image in images])
        self.decode = _best(lambda: [self._decode(path, config, at_least) for path in sample]) / len(sample)
        self.thumbnail = _best(lambda: [thumbnail(i, config.media.thumbnail_pixels) for i in images]) / len(sample)

    def _decode(self, path: Path, config: Config, at_least: int) -> U8:
        return self.encoder.image_input.fit(read_media(path, config.media, at_least).frames[0].image)

    def forward(self, seconds: float) -> float:
        """Seconds a picture, over as many batches as fit."""
        return _rate(lambda part: self.encoder.encode_pixels(part), self.pixels, seconds)

    def plain(self, seconds: float) -> float:
        """The same by open_clip alone."""
        model: Any = self.encoder.model  # type: ignore[attr-defined]

        def run(part: Any) -> None:
            with torch.inference_mode():
                model.encode_image(torch.from_numpy(part).permute(0, 3, 1, 2).float() / 255, normalize=True)

        return _rate(run, self.pixels, seconds)


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def _rate(work: Callable[[Any], object], pixels: Any, seconds: float) -> float:
    work(pixels[:_BATCH])
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        start = done % (len(pixels) - _BATCH + 1)
        work(pixels[start : start + _BATCH])
        done += _BATCH
    return (time.perf_counter() - started) / done


class Memory:
    """The memory of this process and its decoders (a context): peak, and a reading at each tenth of the work."""

    def __init__(self) -> None:
        self.peak, self.readings = 0.0, list[float]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def now(self) -> float:
        """Megabytes that belong to these processes alone: what they share with each other is counted once."""
        me, total = psutil.Process(), 0
        for process in (me, *me.children(recursive=True)):
            try:
                total += process.memory_full_info().uss
            except psutil.Error:
                continue
        return total / 1e6

    def tell(self, what: str, done: int, total: int) -> None:
        """A progress listener."""
        if what == "indexing" and total and done * 10 // total > len(self.readings):
            self.readings.append(round(self.now()))

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.peak = max(self.peak, self.now())


@contextmanager
def library(place: Path) -> Iterator[Config]:
    """Settings of a new library, which is deleted afterwards."""
    home = Path(tempfile.mkdtemp(dir=place))
    try:
        yield load_config(home, environ={})
    finally:
        shutil.rmtree(home)


def end_to_end(
    name: str, encoder: Encoder, place: Path, paths: list[Path], media: Path, seconds: float
) -> dict[str, Any]:
    """One whole run beside its parts."""
    with library(place) as config:
        bare = Bare(encoder, config, paths)
        before, plain = bare.forward(seconds), bare.plain(seconds)
        with Memory() as memory:
            started = time.perf_counter()
            report = index_folders(config, [media], memory.tell, encoder=encoder)
            whole = (time.perf_counter() - started) / len(paths)
        after = bare.forward(seconds)
        assert report.embedded == len(paths) and report.failures == 0
    forward, cores = (before + after) / 2, os.cpu_count() or 1
    apart = bare.decode + bare.thumbnail + forward
    shared = (bare.decode + bare.thumbnail) / cores + forward
    row = {
        "part": name,
        "pictures": len(paths),
        "images_per_s": round(1 / whole, 1),
        "decode_ms": round(bare.decode * 1e3, 3),
        "thumbnail_ms": round(bare.thumbnail * 1e3, 3),
        "forward_ms": [round(before * 1e3, 3), round(after * 1e3, 3)],
        "plain_forward_ms": round(plain * 1e3, 3),
        "whole_ms": round(whole * 1e3, 3),
        "ratio_to_forward": round(forward / whole, 3),
        "ratio_to_plain_forward": round(plain / whole, 3),
        "ratio_to_parts_one_after_another": round(apart / whole, 3),
        "ratio_to_parts_on_all_cores": round(shared / whole, 3),
        "peak_mb": round(memory.peak),
        "memory_by_tenths_mb": memory.readings,
    }
    say(json.dumps(row))
    return row


def scans(place: Path, count: int) -> dict[str, Any]:
    """A library of tiny files whose contents a catalog knows: two scans, a folder renamed, half of them removed."""
    media = place / "tiny"
    for number in range(count):
        folder = media / f"{number // 20_000}" / f"{number // 500}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(b"%08d" % number + b"x" * (number % 97))
    row: dict[str, Any] = {"part": "scan", "files": count}
    with library(place) as config, Memory() as memory:
        catalog = Catalog(config, create=True)
        row["first_s"], report = _scan(catalog, config, media)
        assert report.added == count
        _pretend_read(catalog)
        row["second_s"], report = _scan(catalog, config, media)
        assert (report.found, report.added, report.changed, report.removed) == (count, 0, 0, 0)
        (media / "0").rename(media / "renamed")
        row["renamed_folder_s"], report = _scan(catalog, config, media)
        assert (report.renamed, report.added, report.removed) == (min(count, 20_000), 0, 0)
        for path in sorted(media.iterdir())[: -(-len(list(media.iterdir())) // 2)]:
            shutil.rmtree(path)
        row["half_removed_s"], report = _scan(catalog, config, media)
        row["removed"] = report.removed
        row["catalog_mb"] = round((config.home / "catalog.db").stat().st_size / 1e6)
        catalog.engine.dispose()
    row["peak_mb"] = round(memory.peak)
    shutil.rmtree(media)
    say(json.dumps(row))
    return row


def _scan(catalog: Catalog, config: Config, media: Path) -> tuple[float, ScanReport]:
    started = time.perf_counter()
    scan = Scan(catalog, config, *open_root(catalog, media))
    for _ in scan.run():
        pass
    return round(time.perf_counter() - started, 2), scan.report


def _pretend_read(catalog: Catalog) -> None:
    """Give each item the hash that decoding would have: these files are no pictures."""
    from engine.media.files import hash_file

    with catalog.session() as session:
        base = Path(session.scalars(sa.select(Root.path)).one())
        rows = session.execute(sa.select(Item.id, Item.path)).all()
        session.execute(sa.update(Item), [{"id": r.id, "content_hash": hash_file(base / r.path, 1000)} for r in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=7000)
    parser.add_argument("--large-photos", type=int, default=7000, help="how many of them ViT-B-32 sees")
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each bare forward")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rebus-bench-") as folder:
        place = Path(folder)
        paths = photos(place / "photos", given.photos)
        few = photos(place / "few", given.large_photos)
        small, large = (load_encoder(spec, "cpu") for spec in (small_model(place / "small"), large_model(place)))
        rows = [
            end_to_end("ViT-B-32", large, place, few, place / "few", given.seconds),
            end_to_end("small model", small, place, paths, place / "photos", given.seconds),
        ]
        many = draw_many(place / "many", given.many, 96)
        rows.append(end_to_end("many small pictures", small, place, many, place / "many", given.seconds))
        shutil.rmtree(place / "many")
        rows.append(scans(place, given.files))
    headline = {
        "throughput_ratio": rows[0]["ratio_to_forward"],
        "small_model_ratio": rows[1]["ratio_to_parts_one_after_another"],
        "peak_mb_7k": rows[1]["peak_mb"],
        "peak_mb_100k": rows[2]["peak_mb"],
        "rescan_200k_s": rows[3]["second_s"],
    }
    say(f"{write('index', rows, headline)}: {json.dumps(headline)}")


if __name__ == "__main__":
    main()
