"""Towers and fusion as a query uses them: padding and absence change nothing, and what they cannot be is told."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.aligners.fusion import Fusion
from engine.aligners.readers import Pool, Standardize
from engine.aligners.towers import Towers
from engine.types import Modality

IMAGE, TEXT = Modality.IMAGE, Modality.TEXT
KINDS = [(s, p) for s in ("none", "gru", "transformer") for p in ("mean", "max", "attention")][2:]


def text_towers(sequence: str, pooling: str) -> Aligner:
    torch.manual_seed(0)
    spec = {"kind": "tokens", "vocabulary": 20, "sequence": sequence, "pooling": pooling, "layers": 1}
    return Towers(8, {"image": {"kind": "vectors", "input": 6}, "text": spec}).eval()


def fused() -> Fusion:
    torch.manual_seed(0)
    image = {"kind": "vectors", "input": 6, "compress": False, "slots": 3}
    return Fusion(8, {"image": image, "text": {"kind": "tokens", "vocabulary": 20}}, width=16).eval()


ALIGNERS = [*(text_towers(*kind) for kind in KINDS), fused()]
captions = st.lists(st.lists(st.integers(1, 19), max_size=6), min_size=1, max_size=5)


def padded(rows: list[list[int]], length: int) -> Tensor:
    return torch.tensor([row + [0] * (length - len(row)) for row in rows])


@settings(max_examples=25, deadline=None)
@given(captions, st.integers(0, 5), st.sampled_from(range(len(ALIGNERS))))
def test_padding_and_neighbours_change_nothing(rows: list[list[int]], more: int, which: int) -> None:
    with torch.inference_mode():
        aligner, longest = ALIGNERS[which], max(1, *map(len, rows))
        expected = aligner.project(padded(rows, longest), TEXT)
        torch.testing.assert_close(aligner.project(padded(rows, longest + more), TEXT), expected, atol=1e-5, rtol=0)
        for row, out in zip(rows, expected, strict=True):
            torch.testing.assert_close(aligner.project(padded([row], longest), TEXT)[0], out, atol=1e-5, rtol=0)
        assert torch.isfinite(expected).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 2**16))
def test_a_set_is_what_its_members_are_in_any_order(count: int, more: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    aligner, regions = fused(), torch.randn(2, count, 6, generator=rng)
    with torch.inference_mode():
        expected = aligner.project(regions, IMAGE)
        mixed = torch.cat([regions, torch.zeros(2, more, 6)], 1)[:, torch.randperm(count + more, generator=rng)]
        torch.testing.assert_close(aligner.project(mixed, IMAGE), expected, atol=1e-5, rtol=0)
        if count == 1:
            torch.testing.assert_close(aligner.project(regions[:, 0], IMAGE), expected)


def test_a_missing_modality_is_as_if_it_were_not_asked_for() -> None:
    aligner = fused()
    images, texts = torch.randn(3, 6), torch.tensor([[3, 4, 0], [5, 0, 0], [0, 0, 0]])
    images[1] = 0
    with torch.inference_mode():
        both = aligner.fuse({IMAGE: images, TEXT: texts})
        torch.testing.assert_close(both[1], aligner.project(texts[1:2], TEXT)[0])
        torch.testing.assert_close(both[2], aligner.project(images[2:], IMAGE)[0])
        assert not torch.allclose(both[0], aligner.project(images[:1], IMAGE)[0], atol=1e-3)
        nothing = aligner.fuse({IMAGE: torch.zeros(1, 6), TEXT: torch.zeros(1, 2, dtype=torch.int64)})
    assert torch.isfinite(nothing).all()


def test_shared_layers_are_shared_and_others_are_not() -> None:
    specs = {str(m): {"kind": "vectors", "input": d, "layers": 2, "width": 16} for m, d in ((IMAGE, 6), (TEXT, 5))}
    counts = []
    for shared in (True, False):
        aligner = Towers(8, specs, shared=shared)
        counts.append(sum(p.numel() for p in aligner.blocks.parameters()))
        made = Towers(**aligner.shape)
        made.load_state_dict(aligner.state_dict())
        x = torch.randn(4, 5)
        assert torch.equal(made.eval().project(x, TEXT), aligner.eval().project(x, TEXT))
    assert 2 * counts[0] == counts[1]


def test_inputs_are_brought_to_one_scale_whatever_their_own() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.gamma(0.5, 2.0, (500, 8)).astype(np.float32))
    for compress in (True, False):
        a, b = Standardize(8, compress), Standardize(8, compress)
        a.learn(x)
        b.learn(1000 * x)
        torch.testing.assert_close(a(x), b(1000 * x), atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(a(x).mean(0), torch.zeros(8), atol=1e-4, rtol=0)
        assert (a(x).std(0) < 1).all() and (a(x).std(0) > 0.8).all()


def test_pooling_equals_its_formula_over_what_is_seen() -> None:
    states, seen = torch.randn(1, 4, 3), torch.tensor([[True, True, False, False]])
    torch.testing.assert_close(Pool(3, "mean")(states, seen)[0], states[0, :2].mean(0))
    torch.testing.assert_close(Pool(3, "max")(states, seen)[0], states[0, :2].amax(0))
    pool = Pool(3, "attention")
    assert pool.score is not None
    weights = F.softmax(pool.score(states[0, :2]), 0)
    torch.testing.assert_close(pool(states, seen)[0], (weights * states[0, :2]).sum(0))


def test_what_a_tower_cannot_be_is_told() -> None:
    with pytest.raises(ValueError, match="not 'lstm'"):
        text_towers("lstm", "max")
    with pytest.raises(ValueError, match="not 'sum'"):
        text_towers("gru", "sum")
    with pytest.raises(ValueError, match="fusion takes vectors or tokens"):
        Fusion(8, {"image": {"kind": "pixels"}})
    with pytest.raises(ValueError, match="32 does not divide into 5"):
        Towers(
            8, {"text": {"kind": "vectors", "input": 5}}, code=32, tails={"text": {"width": 8, "groups": 5, "size": 4}}
        )
