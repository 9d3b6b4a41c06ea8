"""Drawing the library into a folder: the pictures, then the captions, then the mark that all is there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from indexer.samples.plan import Picture, describe, plan_library
from indexer.samples.scenes import draw_view

VERSION = 1
"""The version of the drawings; raise it when any picture or caption changes."""

_QUALITY = 88
_MARK = "library.json"


def draw_library(
    folder: Path,
    *,
    count: int = 1200,
    seed: int = 7,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw COUNT pictures into FOLDER/images with FOLDER/captions.jsonl beside them; gives FOLDER.

    Nothing happens where FOLDER already holds this very library.  PROGRESS is called with (done, count) as
    pictures are finished.  Raises ValueError for a COUNT below plan.LEAST and OSError where FOLDER cannot
    be written.
    """
    mark = {"version": VERSION, "seed": seed, "count": count}
    pictures = plan_library(count, seed)
    if _read_mark(folder / _MARK) == mark:
        return folder
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / _MARK).unlink(missing_ok=True)
    _clear_others(folder / "images", {picture.name for picture in pictures})
    # Spawned rather than forked: the caller may hold threads, and a fork would copy their locks.
    workers = min(2, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        draw = partial(_save_picture, folder / "images", seed, count)
        for done, _ in enumerate(pool.map(draw, range(1, count + 1), chunksize=10), start=1):
            if progress is not None:
                progress(done, count)
    _write(folder / "captions.jsonl", _caption_lines(pictures).encode())
    _write(folder / _MARK, json.dumps(mark).encode())
    return folder


def draw_picture(index: int, seed: int, count: int) -> Image.Image:
    """Draw picture INDEX (from 1) of the library of COUNT pictures; IndexError where there is none."""
    return draw_view(describe(index, seed, count).view, f"picture/{seed}/{index}")


def _save_picture(images: Path, seed: int, count: int, index: int) -> None:
    """Draw one picture into IMAGES; runs in a worker process."""
    buffer = BytesIO()
    draw_picture(index, seed, count).save(buffer, "JPEG", quality=_QUALITY)
    _write(images / describe(index, seed, count).name, buffer.getvalue())


def _caption_lines(pictures: Iterable[Picture]) -> str:
    lines = ({"image": each.name, "split": each.split, "en": list(each.captions)} for each in pictures)
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def _read_mark(path: Path) -> object:
    """What the mark says, or None where there is none that can be read."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _clear_others(images: Path, names: set[str]) -> None:
    """Take away the pictures and half files of an earlier library, so that this one is alone."""
    for path in images.glob("[0-9][0-9][0-9][0-9]-*.jpg*"):
        if path.name not in names:
            path.unlink()


def _write(path: Path, data: bytes) -> None:
    """Write DATA under a temporary name and rename, so that a kill leaves no half file."""
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_bytes(data)
    temporary.replace(path)
