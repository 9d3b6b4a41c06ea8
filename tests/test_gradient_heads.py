"""Every method that learns by gradients: it learns, goes on where it was, and gives the same weights for a seed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.aligners.towers import Towers
from engine.config import HeadSettings
from engine.errors import ArtifactError, InvalidInput
from engine.heads import KINDS, Head
from engine.types import Modality
from indexer.heads.batches import PairTensors
from indexer.heads.gradients import Recipe
from indexer.heads.methods import METHODS
from tests.pairs_of_points import learn, point_pairs, same_weights

GRADIENT = [name for name, method in METHODS.items() if isinstance(method.fit, Recipe)]
ON_TOKENS = [name for name in GRADIENT if METHODS[name].words == "tokens"]
EPOCHS = {"fusion": 2}  # of 12 for others: one of its epochs takes as long as ten of theirs
STATEFUL = ("acmr", "gan", "vqvae-translate", "vae", "fusion", "hashing", "triplet")  # buffers, noise, discriminators


@pytest.mark.parametrize("name", GRADIENT)
def test_each_method_beats_its_untrained_self(name: str, tmp_path: Path) -> None:
    _, untrained = learn(name, tmp_path / "u.pt", epochs=1, learning_rate=1e-12)
    aligner, report = learn(name, tmp_path / "c.pt", epochs=EPOCHS.get(name, 12))
    score = {"hashing": "bits_r10", "supervised": "map"}.get(name, "r10")
    chance = 0.25 if score == "map" else 10 / 64  # four categories; 64 pictures
    assert report.best[score] > max(untrained.best[score], chance) + 0.15
    assert aligner.kind == METHODS[name].aligner and not aligner.training


@pytest.mark.parametrize("name", ON_TOKENS)
def test_methods_that_read_tokens_learn_from_them(name: str, tmp_path: Path) -> None:
    _, untrained = learn(name, tmp_path / "u.pt", tokens=True, epochs=1, learning_rate=1e-12)
    _, report = learn(name, tmp_path / "c.pt", tokens=True, epochs=EPOCHS.get(name, 12))
    score = "map" if name == "supervised" else "r10"
    assert report.best[score] > max(untrained.best[score], 10 / 64) + 0.15


@pytest.mark.parametrize("sequence", ["gru", "transformer"])
def test_towers_learn_from_tokens_in_their_order(sequence: str, tmp_path: Path) -> None:
    aligner, report = learn("infonce", tmp_path / "c.pt", tokens=True, sequence=sequence, pooling="attention", layers=1)
    assert report.best["r10"] > 0.5
    assert aligner.shape["towers"]["text"]["sequence"] == sequence


@pytest.mark.parametrize("name", STATEFUL)
def test_an_interrupted_fit_goes_on_to_the_same_weights(name: str, tmp_path: Path) -> None:
    def stop(_figures: dict[str, float], epoch: int, _epochs: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    whole, report = learn(name, tmp_path / "whole.pt", epochs=2)
    with pytest.raises(KeyboardInterrupt):
        learn(name, tmp_path / "cut.pt", epochs=2, hear=stop)
    torch.rand(5)  # whatever else was drawn between
    resumed, again = learn(name, tmp_path / "cut.pt", epochs=2)
    assert same_weights(whole, resumed) and again.curve == report.curve


def test_a_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    first, second, other = (
        learn("vqvae", tmp_path / f"{n}.pt", epochs=2, seed=seed)[0] for n, seed in enumerate((0, 0, 1))
    )
    assert same_weights(first, second) and not same_weights(first, other)


def test_fitting_leaves_the_random_numbers_of_others_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    learn("infonce", tmp_path / "c.pt", epochs=1)
    assert torch.equal(torch.rand(4), expected)


def test_a_checkpoint_carries_what_made_it_and_a_short_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    aligner, _ = learn("infonce", path, epochs=1)
    state = torch.load(path, weights_only=True)
    config = json.loads(state["config"])
    assert HeadSettings(**config["settings"]).dim == 32
    made = KINDS[config["kind"]](**config["shape"])
    weights = {k.removeprefix("aligner."): v for k, v in state["best_weights"].items() if k.startswith("aligner.")}
    made.load_state_dict(weights)
    assert same_weights(made, aligner)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ArtifactError, match="delete it to start afresh"):
        learn("infonce", path, epochs=1)


@pytest.mark.parametrize("name", GRADIENT)
def test_a_head_saved_and_loaded_projects_the_same(name: str, tmp_path: Path) -> None:
    aligner, _ = learn(name, tmp_path / "c.pt", epochs=1)
    head = Head(aligner, {Modality.IMAGE: 12, Modality.TEXT: 12})
    head.save(tmp_path / "head", {})
    loaded, (pairs, texts, _) = Head.load(tmp_path / "head"), point_pairs(9, 5)
    for x, modality in ((pairs.images, Modality.IMAGE), (texts.numpy(), Modality.TEXT)):
        np.testing.assert_array_equal(head.project(x, modality), loaded.project(x, modality))
        np.testing.assert_allclose(np.linalg.norm(loaded.project(x, modality), axis=1), 1, atol=1e-5)


def test_reconstruction_reports_its_gap_and_its_use_of_the_codes(tmp_path: Path) -> None:
    _, report = learn("vqvae", tmp_path / "c.pt", epochs=4)
    best = report.best
    assert best["reconstruction_gap"] == best["reconstruction_held_out"] - best["reconstruction_train"]
    assert 1 < best["perplexity_held_out"] <= 128 and best["reconstruction_held_out"] > 0


def test_translation_searches_among_standardized_images(tmp_path: Path) -> None:
    aligner, _ = learn("vqvae-translate", tmp_path / "c.pt", epochs=2)
    assert isinstance(aligner, Towers) and aligner.dim == 12
    images = torch.from_numpy(point_pairs(9, 5)[0].images)
    fixed = aligner.readers["image"](images)
    torch.testing.assert_close(aligner.project(images, Modality.IMAGE), torch.nn.functional.normalize(fixed, dim=-1))


@pytest.mark.parametrize("dim", [8, 40])
def test_any_width_divides_into_parts_of_a_codebook(dim: int, tmp_path: Path) -> None:
    aligner, _ = learn("vqvae-translate", tmp_path / "c.pt", epochs=1, dim=dim)
    assert isinstance(aligner, Towers) and aligner.code == dim and aligner.shape["tails"]["text"]["groups"] == 8


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="set head.text to lexical"):
        learn("vae", tmp_path / "c.pt", tokens=True)


def marked(bad: bool = True) -> PairTensors:
    pairs, texts, _ = point_pairs(40, 3)
    changes: dict[str, Any] = {}
    if bad:  # the last text is a query, whose owner is a picture that was called a bad answer to it
        weights = pairs.weights.copy()
        weights[-1] = 0
        changes = {"weights": weights, "negatives": np.array([[79, 39]])}
    values = {name: getattr(pairs, name) for name in pairs.__slots__} | changes
    return PairTensors(type(pairs)(**values), texts, torch.device("cpu"))


@pytest.mark.parametrize("together", [1, 2])
def test_an_epoch_has_every_caption_once_with_its_own_picture(together: int) -> None:
    pairs = marked(bad=False)
    seen = []
    for batch in pairs.batches(16, torch.Generator().manual_seed(0), together):
        images = batch.inputs[Modality.IMAGE][batch.owner]
        for text, image in zip(batch.inputs[Modality.TEXT], images, strict=True):
            row = int((pairs.texts == text).all(1).nonzero())
            seen.append(row)
            assert torch.equal(image, pairs.images[row // 2])
        counts = torch.bincount(batch.owner)
        assert together == 1 or (counts == 2).all()
    assert sorted(seen) == list(range(80))


def test_a_bad_mark_stands_in_the_batch_of_its_picture_and_is_never_a_pair() -> None:
    pairs = marked()
    assert 79 not in pairs._order(1, torch.Generator().manual_seed(0))
    batch = pairs.batch(torch.tensor([78, 3]))
    assert batch.weights is not None and batch.weights.tolist() == [1, 1, 0]
    assert batch.negatives is not None and batch.negatives.tolist() == [[2, int(batch.owner[0])]]
    assert pairs.batch(torch.tensor([0, 3])).negatives is None
