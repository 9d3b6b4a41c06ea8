"""Sixty hostile and odd files and more: each is read or refused with a reason, none in more than its time."""

import os
from pathlib import Path

import pytest

from engine.config import MediaSettings
from engine.decoding import Decoded, DecoderPool, Wanted
from engine.errors import MediaError
from engine.media.fitting import ImageInput
from tests.hostile import Expected, write_hostile

LIMITS = MediaSettings(
    max_pixels=50_000_000,
    max_bytes=20_000_000,
    max_seconds=5,
    max_memory=2**30,
    workers=2,
    max_pages=10,
    max_moments=10,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Expected]:
    folder = tmp_path_factory.mktemp("hostile")
    return folder, write_hostile(folder)


def test_the_corpus_is_large(corpus: tuple[Path, Expected]) -> None:
    folder, expected = corpus
    assert len(expected) >= 100 and sum(reason is not None for reason in expected.values()) >= 60
    assert all(os.path.lexists(folder / name) for name in expected)


def test_every_hostile_file_is_read_or_refused_with_its_reason(corpus: tuple[Path, Expected]) -> None:
    folder, expected = corpus
    wrong = {}
    with DecoderPool(LIMITS, Wanted(ImageInput(64, 64), thumbnail_pixels=96)) as pool:
        for name, reason in expected.items():
            if problem := _problem(pool.submit(folder / name).result(timeout=60), reason):
                wrong[name] = problem
    assert not wrong, "\n".join(f"{name!r} {problem}" for name, problem in wrong.items())


def _problem(found: Decoded | MediaError, reason: str | None) -> str:
    if isinstance(found, Decoded):
        if reason is not None:
            return f"was read, where {reason!r} was expected"
        return "" if found.frames or found.passages or found.modality == "audio" else "was read, and holds nothing"
    if reason is None:
        return f"was refused: {found.reason}"
    clear = reason in found.reason and found.hint and "0x" not in found.reason and "Traceback" not in found.reason
    return "" if clear else f"was refused because {found.reason!r}, not {reason!r}"
