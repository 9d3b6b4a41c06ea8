"""Training from pixels: it learns, stops, goes on where it was, and gives the same weights for a seed."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.catalog import Catalog, EncoderRow
from engine.config import Config, TrainSettings
from engine.encoders import load_encoder
from engine.errors import ArtifactError, InvalidInput
from engine.types import Modality
from indexer.encoder_training import TrainedEncoder
from indexer.evaluation.evaluate import evaluate
from indexer.library import index_folders, train_and_publish
from indexer.objectives import Batch, Objective
from indexer.objectives.ranking import InfoNCE
from indexer.pairs import augment
from indexer.splits import Captioned, split
from indexer.train import TrainingReport, fit
from tests.conftest import config_at, draw_folder, silent

SMALL = {
    "start": "",
    "image_pixels": 32,
    "image_tower": "test_resnet",
    "text_width": 32,
    "text_layers": 1,
    "embedding_width": 32,
    "learning_rate": 1e-3,
}


class TwoMatrices(Aligner):
    """The smallest pair of towers: one linear map for each modality."""

    kind = "two matrices"

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.dim, self.shape = dim, {"width": width, "dim": dim}
        self.image, self.text = nn.Linear(width, dim), nn.Linear(width, dim)

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        return F.normalize(self.image(x) if modality is Modality.IMAGE else self.text(x), dim=-1)


def linear_problem(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two views of the same hidden points: what one view's map must find in the other."""
    rng = torch.Generator().manual_seed(seed)
    hidden = torch.randn(192, 6, generator=rng)
    return hidden @ torch.randn(6, 16, generator=rng), hidden @ torch.randn(6, 16, generator=rng)


def run(checkpoint: Path, stop_after: int | None = None, **changes: object) -> tuple[Aligner, TrainingReport]:
    """Fit two matrices to the linear problem; `stop_after` breaks the run off as Ctrl-C would."""
    values = {"epochs": 6, "batch_size": 64, "learning_rate": 0.02, "patience": 6, **changes}
    settings = dataclasses.replace(TrainSettings(), **values)  # type: ignore[arg-type]
    torch.manual_seed(1)
    aligner, (images, texts) = TwoMatrices(16, 8), linear_problem()

    def batches(_epoch: int, _epochs: int, generator: torch.Generator) -> Iterator[Batch]:
        for rows in torch.split(torch.randperm(128, generator=generator), 64):
            yield Batch({Modality.IMAGE: images[rows], Modality.TEXT: texts[rows]}, torch.arange(64))

    @torch.inference_mode()
    def held_out(towers: Aligner) -> dict[str, float]:
        scores = towers.project(texts[128:], Modality.TEXT) @ towers.project(images[128:], Modality.IMAGE).T
        found = (scores > scores.diag()[:, None]).sum(1) < 10
        return {"r10": found.float().mean().item()}

    def hear(_figures: dict[str, float], epoch: int, _epochs: int) -> None:
        if epoch == stop_after:
            raise KeyboardInterrupt

    report = fit(aligner, InfoNCE(), batches, 2, held_out, settings, checkpoint, "linear", hear)
    return aligner, report


def same(a: Aligner, b: Aligner) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_the_loop_learns_what_can_be_learned(tmp_path: Path) -> None:
    _, report = run(tmp_path / "c.pt", epochs=30, patience=30)
    assert report.curve[0]["r10"] < 0.8 and report.best["r10"] > 0.95
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]


def test_a_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    first, second = (run(tmp_path / name)[0] for name in ("a.pt", "b.pt"))
    assert same(first, second) and not same(first, run(tmp_path / "c.pt", seed=9)[0])


def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    whole, report = run(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut.pt", stop_after=3)
    resumed, again = run(tmp_path / "cut.pt")
    assert same(whole, resumed)
    assert [row["loss"] for row in again.curve] == [row["loss"] for row in report.curve]


def test_a_checkpoint_of_other_data_is_not_gone_on_from_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    with pytest.raises(KeyboardInterrupt):
        run(path, stop_after=2)
    state = torch.load(path, weights_only=True)
    torch.save({**state, "identity": "something else"}, path)
    assert same(run(path)[0], run(tmp_path / "fresh.pt")[0])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ArtifactError, match="delete it to start afresh"):
        run(path)


def test_training_stops_when_it_no_longer_helps_and_keeps_the_best(tmp_path: Path) -> None:
    _, report = run(tmp_path / "c.pt", epochs=60, patience=3, learning_rate=0.1)
    assert len(report.curve) < 60
    assert report.best["r10"] == max(row["r10"] for row in report.curve)


class Toward(Objective):
    """The squared distance of each image's row from its text's."""

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        rows = [aligner.project(batch.inputs[m], m) for m in (Modality.IMAGE, Modality.TEXT)]
        return {"loss": (rows[0] - rows[1]).square().mean()}


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    images, texts = linear_problem()
    moved = []
    for parts in (1, 4):
        torch.manual_seed(1)
        aligner = TwoMatrices(16, 8)
        before = aligner.image.weight.detach().clone()
        cut = [torch.tensor_split(x[:64], parts) for x in (images, texts)]
        batches = [
            Batch({Modality.IMAGE: a, Modality.TEXT: b}, torch.arange(len(a))) for a, b in zip(*cut, strict=True)
        ]
        settings = TrainSettings(epochs=1, accumulate=parts, learning_rate=1e-4, weight_decay=0)
        path = tmp_path / f"{parts}.pt"
        fit(
            aligner,
            Toward(),
            lambda *_, of=batches: iter(of),
            parts,
            lambda _: {"r10": 0.0},
            settings,
            path,
            "",
            silent,
        )
        moved.append(F.normalize((aligner.image.weight.detach() - before).flatten(), dim=0))
    assert moved[0] @ moved[1] > 0.999  # one step in the same direction; its length is the schedule's


def test_info_nce_equals_its_formula_and_leaves_siblings_out() -> None:
    aligner, (images, texts) = TwoMatrices(16, 8), linear_problem()
    loss = InfoNCE(temperature=0.1)
    owner = torch.tensor([0, 0, 1, 2, 2])
    batch = Batch({Modality.IMAGE: images[:3], Modality.TEXT: texts[:5]}, owner)
    x, y = aligner.project(images[:3], Modality.IMAGE), aligner.project(texts[:5], Modality.TEXT)
    scores = (x @ y.T) / 0.1
    terms = []
    for j, i in enumerate(owner.tolist()):
        others = [k for k in range(5) if owner[k] != i] + [j]
        terms.append((torch.logsumexp(scores[i, others], 0) - scores[i, j]).item())
        terms.append((torch.logsumexp(scores[:, j], 0) - scores[i, j]).item())
    assert loss(aligner, batch)["loss"].item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_augmentation_never_mirrors_what_names_a_side() -> None:
    picture = torch.zeros(64, 3, 32, 32)
    picture[..., :8] = 1  # light on the left
    lefts = {}
    for may in (True, False):
        out = augment(picture, 32, torch.full((64,), may), torch.Generator().manual_seed(0), 0.4)
        assert out.shape == (64, 3, 32, 32)
        lefts[may] = (out[..., :16].mean((1, 2, 3)) > out[..., 16:].mean((1, 2, 3)) + 0.02).float().mean().item()
        rights = (out[..., 16:].mean((1, 2, 3)) > out[..., :16].mean((1, 2, 3)) + 0.02).float().mean().item()
        assert rights > 0.2 if may else rights == 0
    assert lefts[False] > lefts[True]


def pictures(count: int, split_name: str | None = None) -> list[Captioned]:
    return [Captioned(n, "/r", f"{n}.jpg", f"hash{n}", split_name, (n,), ("x",)) for n in range(count)]


def test_splits_are_honoured_and_shared_content_never_crosses() -> None:
    named = [
        dataclasses.replace(p, split="val" if p.id < 10 else "test" if p.id < 20 else "train") for p in pictures(90)
    ]
    named[30] = dataclasses.replace(named[30], content=named[0].content)
    parts = split(named, TrainSettings())
    assert {p.id for p in parts.held_out} == set(range(10))
    assert {p.id for p in parts.train} == set(range(20, 90)) - {30}


def test_without_names_the_hash_decides_and_stays() -> None:
    parts = split(pictures(2000), TrainSettings(held_out=0.1))
    assert 120 < len(parts.held_out) < 280
    assert {p.id for p in split(pictures(2500), TrainSettings()).held_out} >= {p.id for p in parts.held_out}


def test_where_the_captions_name_train_alone_a_part_of_it_is_held_out() -> None:
    named = [dataclasses.replace(p, split="test" if p.id < 20 else "Train") for p in pictures(2000)]
    parts = split(named, TrainSettings(held_out=0.1))
    assert 120 < len(parts.held_out) < 280 and min(p.id for p in parts.held_out) >= 20
    assert len(parts.train) + len(parts.held_out) == 1980


def test_too_few_captions_are_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="Add captions"):
        split(pictures(20), TrainSettings())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, TrainedEncoder]:
    """A library of 160 pictures of 4 colours and 2 shapes, with an encoder trained on it."""
    place = tmp_path_factory.mktemp("trained")
    config = config_at(place / "home", train={**SMALL, "epochs": 12, "batch_size": 32, "patience": 12})
    report = index_folders(config, [draw_folder(place / "media", 160)], silent)
    assert report.version is None and report.encoder is None
    return config, train_and_publish(config, silent, silent)[0]


def test_an_encoder_trained_from_pixels_beats_chance_by_far(trained: tuple[Config, TrainedEncoder]) -> None:
    config, training = trained
    figures = evaluate(config, silent)
    chance = 10 / figures["images"]
    assert figures["images"] == 32 and figures["exact"]["t2i_r10"] > 2 * chance
    assert figures["exact"]["t2i_r10"] == pytest.approx(training.report.best["t2i_r10"], abs=0.15)
    assert figures["cascade"]["t2i_r10"] == figures["exact"]["t2i_r10"]  # candidates cover the whole pool
    assert figures["agreement_at_10"] == {"text_to_image": 1.0, "image_to_text": 1.0}
    assert set(figures["latency_ms"]) == {"encode", "recall", "refine", "catalog", "total"}


def test_the_trained_encoder_loads_from_its_folder_alone(trained: tuple[Config, TrainedEncoder]) -> None:
    config, _ = trained
    folder = next((config.home / "encoders").iterdir())
    version = Catalog(config).current_version()
    assert version is not None and version.counts == {"image": 160, "text": 320}
    encoder = load_encoder(str(folder))
    assert encoder.dims[Modality.TEXT] == 32 and not list((config.home / "training").glob("*"))


def test_what_training_begins_with_is_epoch_0_and_is_in_the_report(trained: tuple[Config, TrainedEncoder]) -> None:
    config, training = trained
    first = training.report.curve[0]
    assert first == {"epoch": 0.0, **training.start} and training.report.done == len(training.report.curve) - 1
    catalog = Catalog(config)
    with catalog.session() as session:
        report = session.scalars(sa.select(EncoderRow)).one().report
    catalog.engine.dispose()
    assert report["curve"][0] == first and report["start"] == training.start and report["verdict"] == "better"
    (facts,) = report["against"].values()
    assert facts["interval"][0] > 0 and facts["r10"] == training.start["r10"] < training.report.best["r10"]


@pytest.mark.parametrize("rate", [1e-9, 0.3])
def test_training_that_finds_no_more_than_what_it_began_with_publishes_nothing(
    trained: tuple[Config, TrainedEncoder], command: Callable[..., tuple[int, str, str]], tmp_path: Path, rate: float
) -> None:
    home, before = tmp_path / "home", trained[1]
    shutil.copytree(trained[0].home, home)
    known = len(list((home / "encoders").iterdir()))
    settings = f'[train]\nstart = "{before.folder}"\nlearning_rate = {rate}\nepochs = 1\nbatch_size = 32\n'
    (home / "config.toml").write_text(f"[media]\nworkers = 1\n{settings}")
    code, out, _ = command(home, "train", "--encoder", "--json")
    said = json.loads(out)
    assert code == 0 and not said["published"] and said["index_version"] == 1 and not said["embedded"]
    training = said["training"]
    assert training["start"]["r10"] == pytest.approx(before.report.best["r10"], abs=0.05)  # it began with these weights
    (facts,) = training["against"].values()
    low, high = facts["interval"]
    assert low <= facts["difference"] <= high and (high < 0 if rate > 0.1 else abs(facts["difference"]) < 0.05)
    code, out, _ = command(home, "train", "--encoder")
    assert code == 0 and "Kept the present model, and published nothing" in out and "before training)" in out
    assert "does not surely beat the weights it began with (R@10 differs by" in out
    assert len(list((home / "encoders").iterdir())) == known + ("`rebus index --encoder`" in out)


def test_an_encoder_must_find_more_than_what_is_served(trained: tuple[Config, TrainedEncoder]) -> None:
    config, before = trained
    hasty = dataclasses.replace(
        config, train=dataclasses.replace(config.train, epochs=2, seed=5)
    )  # from random weights
    served = Catalog(config).current_version()
    training, report = train_and_publish(hasty, silent, silent)
    facts = training.verdict.against["what is served now"]
    assert facts["r10"] == pytest.approx(before.report.best["r10"], abs=0.1) and facts["interval"][0] <= 0
    assert not training.verdict.better and "what is served now" in training.verdict.why
    assert served is not None and report.version is not None and report.version.id == served.id


def test_an_encoder_is_not_judged_by_a_few_pictures_but_kept(tmp_path: Path) -> None:
    train = {**SMALL, "epochs": 4, "batch_size": 16, "learning_rate": 3e-3}
    config = config_at(tmp_path / "home", train=train)
    index_folders(config, [draw_folder(tmp_path / "media", 60)], silent)  # twelve of them are held out
    training, report = train_and_publish(config, silent, silent)
    assert report.version is None and not training.verdict.better and "too few to tell" in training.verdict.why
    assert (training.folder is not None) == (training.report.best["r10"] > training.start["r10"])


def test_training_begins_with_no_model_of_a_hub(trained: tuple[Config, TrainedEncoder]) -> None:
    settings = dataclasses.replace(trained[0].train, start="open_clip:ViT-B-32/openai")
    with pytest.raises(InvalidInput, match="train.start"):
        train_and_publish(dataclasses.replace(trained[0], train=settings), silent, silent)


def test_training_without_captions_says_what_is_missing(tmp_path: Path) -> None:
    config = config_at(tmp_path / "home", train=SMALL)
    media = draw_folder(tmp_path / "media", 8)
    (media / "captions.jsonl").unlink()
    index_folders(config, [media], silent)
    with pytest.raises(InvalidInput, match="0 captioned pictures"):
        train_and_publish(config, silent, silent)
