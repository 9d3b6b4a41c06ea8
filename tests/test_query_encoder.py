"""Encoding for many threads: rows equal the encoder's own, equal queries are encoded once, errors reach who asked."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from engine.encoders import Encoder, load_encoder
from engine.encoders.queries import QueryEncoder
from engine.types import F32, Modality


@pytest.fixture(scope="module")
def encoder(encoder_folder: Path) -> Encoder:
    return load_encoder(str(encoder_folder), "cpu")


class Watched:
    """A real encoder whose batches are counted, and whose first one waits until told to go on."""

    def __init__(self, encoder: Encoder) -> None:
        self.spec, self.fingerprint, self.dims = encoder.spec, encoder.fingerprint, encoder.dims
        self.image_input, self.encode_pixels = encoder.image_input, encoder.encode_pixels
        self.batches: list[list[str]] = []
        self.began, self.go_on = threading.Event(), threading.Event()
        self._encode = encoder.encode_text

    def encode_text(self, texts: Sequence[str]) -> F32:
        self.batches.append(list(texts))
        self.began.set()
        assert self.go_on.wait(60)
        return self._encode(texts)


def test_rows_are_the_encoders_own(encoder: Encoder) -> None:
    queries = QueryEncoder(encoder)
    texts = ["a red boat", "a tree", "a red boat"]
    np.testing.assert_allclose(queries.encode_text(texts), encoder.encode_text(texts), atol=1e-6)
    np.testing.assert_array_equal(queries.encode_text(texts[:1]), queries.encode_text(texts[2:]))
    images = [Image.new("RGB", (40, 30), color) for color in ("red", "blue", "red")]
    np.testing.assert_allclose(queries.encode_images(images), encoder.encode_images(images), atol=1e-6)
    assert (queries.fingerprint, dict(queries.dims)) == (encoder.fingerprint, dict(encoder.dims))
    assert queries.dims[Modality.TEXT] == queries.encode_text(["x"]).shape[1]


def test_what_waits_is_encoded_together_and_once(encoder: Encoder) -> None:
    watched = Watched(encoder)
    queries = QueryEncoder(cast(Encoder, watched))
    words = ["boat", "tree", "red", "boat", "tree", "blue"]
    with ThreadPoolExecutor(len(words) + 1) as threads:
        first = threads.submit(queries.encode_text, ["first"])
        assert watched.began.wait(60)
        others = [threads.submit(queries.encode_text, [word]) for word in words]
        while len(queries._texts._waiting) < 5:  # the first and four distinct ones
            threading.Event().wait(0.001)
        watched.go_on.set()
        rows = [other.result(60) for other in others]
        first.result(60)
    assert watched.batches[0] == ["first"] and sorted(watched.batches[1]) == ["blue", "boat", "red", "tree"]
    assert len(watched.batches) == 2
    np.testing.assert_allclose(np.concatenate(rows), encoder.encode_text(words), atol=1e-6)


def test_only_the_last_ones_are_remembered(encoder: Encoder) -> None:
    watched = Watched(encoder)
    watched.go_on.set()
    queries = QueryEncoder(cast(Encoder, watched), remembered=2)
    for word in ("a", "b", "a", "c", "a", "b"):
        queries.encode_text([word])
    assert watched.batches == [["a"], ["b"], ["c"], ["b"]]


def test_a_failure_reaches_who_asked_and_is_not_remembered(encoder: Encoder) -> None:
    class Failing(Watched):
        failing = True

        def encode_text(self, texts: Sequence[str]) -> F32:
            if self.failing:
                raise RuntimeError("out of memory")
            return super().encode_text(texts)

    inner = Failing(encoder)
    inner.go_on.set()
    queries = QueryEncoder(cast(Encoder, inner))
    with pytest.raises(RuntimeError, match="memory"):
        queries.encode_text(["a"])
    inner.failing = False
    assert queries.encode_text(["a"]).shape[0] == 1
