"""Feature libraries as other programs leave them, made small, and what an import made of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item
from engine.config import Config
from engine.store import EmbeddingStore, store_folder
from engine.types import Array
from indexer.imports.layouts import Files
from indexer.imports.run import ImportReport, import_features
from tests.conftest import silent


def features(rows: int, width: int, seed: int = 0) -> Array:
    """Rows of any length but one, as float16."""
    drawn = np.random.default_rng(seed).normal(size=(rows, width)) * 3
    return drawn.astype(np.float16)


def names(count: int) -> list[str]:
    return [f"{number:03d}.jpg" for number in range(count)]


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(count: int) -> list[dict[str, Any]]:
    """A table of pictures with two captions each, in the opposite order of their names."""
    return [
        {"image": name, "en": [f"{name} at sea", f"the boat {name}"], "split": "val" if name < "002" else "train",
         "category": "boats"}
        for name in reversed(names(count))
    ]  # fmt: skip


def write_arrays(folder: Path, count: int = 6, width: int = 12, *, texts: int = 0) -> Path:
    """Image features with names and captions by name; with `texts`, a vector of that width for each caption."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "features_f16.npy", features(count, width))
    (folder / "image_names.txt").write_text("".join(f"{name}\n" for name in names(count)))
    write_lines(folder / "captions.jsonl", rows_of(count))
    if texts:
        np.save(folder / "text_features.npy", features(2 * count, texts, 1))
    return folder


def write_clip_retrieval(folder: Path, sizes: Sequence[int] = (4, 3), width: int = 8) -> Path:
    """clip-retrieval's folders, a part for each size."""
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    for part, size in enumerate(sizes):
        for seed, name in enumerate(("img_emb", "text_emb")):
            np.save(folder / name / f"{name}_{part}.npy", features(size, width, 2 * part + seed))
        table = {
            "image_path": [f"{part:05d}/{number:03d}.jpg" for number in range(size)],
            "caption": [f"picture {number} of part {part}" for number in range(size)],
            "width": list(range(size)),
        }
        pq.write_table(pa.table(table), folder / "metadata" / f"metadata_{part}.parquet")
    return folder


def take_in(config: Config, folder: Path, **options: Any) -> ImportReport:
    """`rebus import` of a folder; options are those of Files, name and model."""
    named = {key: options.pop(key) for key in ("name", "model") if key in options}
    return import_features(config, Files(folder, **options), silent, **named)


@dataclass
class Held:
    """What a library holds. pictures: (id, split, category, vector) by path; texts: (id, path, vector) by words."""

    pictures: dict[str, tuple[int, str | None, str | None, Array]]
    texts: dict[str, tuple[int, str, Array | None]]
    rows: int


def held(config: Config) -> Held:
    """The present items with their vectors by the newest encoder, as they are stored."""
    catalog = Catalog(config)
    with catalog.session() as session:
        encoder = session.scalars(sa.select(EncoderRow).order_by(EncoderRow.id.desc())).first()
        assert encoder is not None
        store = EmbeddingStore(store_folder(config.home, encoder.fingerprint, encoder.generation), encoder.dim)
        assert store.rows() == encoder.rows
        query = sa.select(Item, Caption.text, Embedding).outerjoin(Caption, Caption.id == Item.id)
        query = query.outerjoin(Embedding, (Embedding.item_id == Item.id) & (Embedding.encoder_id == encoder.id))
        found = Held({}, {}, encoder.rows)
        for item, text, place in session.execute(query.where(Item.removed_at.is_(None)).order_by(Item.id)):
            vector = store.read(np.array([place.shard]), np.array([place.row]))[0] if place else None
            if item.modality == "image":
                assert item.path not in found.pictures and vector is not None
                found.pictures[item.path] = item.id, item.split, item.category, vector
            else:
                assert text not in found.texts
                found.texts[text] = item.id, item.path, vector
    catalog.engine.dispose()
    return found
