"""Rows of queries: a head makes each once, and what is remembered stays as it is."""

from typing import Any

import numpy as np
import pytest

from engine.aligners import Identity
from engine.heads import Head
from engine.types import Modality


class Counting(Identity):
    """Counts what it is asked for."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.asked: list[Modality] = []

    def project(self, x: Any, modality: Modality) -> Any:
        self.asked.append(modality)
        return super().project(x, modality)


def test_a_row_is_what_projecting_gives_and_is_made_once() -> None:
    aligner = Counting(6)
    head = Head(aligner, {Modality.IMAGE: 6, Modality.TEXT: 6})
    given = np.random.default_rng(3).normal(size=(1, 6)).astype(np.float32)
    expected = given[0] / np.linalg.norm(given)
    for same in (given, given.copy(), given[:, :6]):
        row = head.row(Modality.TEXT, same)
        assert row == pytest.approx(expected, abs=1e-6)
        row[0] = 5  # whoever has it may change it
    assert aligner.asked == [Modality.TEXT]
    assert head.row(Modality.IMAGE, given) == pytest.approx(expected, abs=1e-6)
    assert aligner.asked == [Modality.TEXT, Modality.IMAGE]
