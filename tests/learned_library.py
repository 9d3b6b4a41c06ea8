"""A library in which words can be learned, made row by row; and a small real method and text input that learn them."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import engine.heads
import indexer.heads.methods
from engine.aligners import Aligner
from engine.aligners.texts import TextInput
from engine.artifacts import write_artifact
from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item, Mark, Root
from engine.config import Config, HeadSettings
from engine.store import EmbeddingStore, store_folder
from engine.types import F32, Modality
from indexer.build import build
from indexer.heads.methods import Method
from indexer.heads.tasks import Task
from indexer.jobs import writing
from indexer.metrics import pair_ranks
from indexer.objectives import Batch
from indexer.objectives.ranking import InfoNCE
from indexer.train import TrainingReport, fit
from tests.catalogs import new_catalog
from tests.conftest import config_at, silent

WORDS, IMAGE_DIM, TEXT_DIM = 30, 16, 12
FINGERPRINT = "fedcba9876543210fedcba9876543210"


class Maps(Aligner):
    """One matrix for each modality."""

    kind = "test-maps"

    def __init__(self, image: int, text: int, dim: int) -> None:
        super().__init__()
        self.dim, self.shape = dim, {"image": image, "text": text, "dim": dim}
        self.image, self.text = nn.Linear(image, dim, bias=False), nn.Linear(text, dim, bias=False)

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        return F.normalize(self.image(x) if modality is Modality.IMAGE else self.text(x), dim=-1)


class Bag(TextInput):
    """How often each known word occurs, as unit rows; zeros for words that are not known."""

    kind = "test-bag"

    def __init__(self, words: Sequence[str]) -> None:
        self.words, self.shape = list(words), {"count": len(words)}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        rows = [[text.split().count(word) for word in self.words] for text in texts]
        return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=-1)

    def save(self, folder: Path) -> None:
        (folder / "text.json").write_text(json.dumps(self.words))

    @classmethod
    def load(cls, folder: Path, shape: dict[str, Any]) -> Self:
        return cls(json.loads((folder / "text.json").read_text()))


def fit_maps(task: Task) -> tuple[Aligner, TrainingReport]:
    """Images as they are; texts by weighted ridge regression onto the images of their pairs."""
    x, y = task.texts.train.double(), torch.from_numpy(task.train.images[task.train.owner]).double()
    weighed = x * torch.from_numpy(task.train.weights).double()[:, None]
    solution = torch.linalg.solve(weighed.T @ x + 0.01 * torch.eye(x.shape[1], dtype=torch.float64), weighed.T @ y)
    aligner = Maps(y.shape[1], x.shape[1], y.shape[1])
    with torch.no_grad():
        aligner.image.weight.copy_(torch.eye(y.shape[1]))
        aligner.text.weight.copy_(solution.T)
    return aligner, TrainingReport()


def fit_in_epochs(task: Task) -> tuple[Aligner, TrainingReport]:
    """The same, with the curve that a training loop leaves."""
    aligner, report = fit_maps(task)
    for epoch in range(1, task.settings.epochs + 1):
        row = {"epoch": float(epoch), "loss": 1 / epoch, "r10": 1 - 1 / (1 + epoch), "t2i_r10": 0.5, "i2t_r10": 0.5}
        report.curve.append(row)
        task.hear(row, epoch, task.settings.epochs)
    return aligner, report


def fit_by_gradient(task: Task) -> tuple[Aligner, TrainingReport]:
    """The same two matrices by the training loop."""
    train, held_out = task.train, task.aside
    aligner = Maps(train.images.shape[1], task.texts.train.shape[1], 8)
    images, size = torch.from_numpy(train.images), len(train.owner)

    def batches(_epoch: int, _epochs: int, generator: torch.Generator) -> Iterator[Batch]:
        order = torch.randperm(size, generator=generator)
        inputs = {Modality.IMAGE: images, Modality.TEXT: task.texts.train[order]}
        yield Batch(inputs, torch.from_numpy(train.owner)[order])

    @torch.inference_mode()
    def evaluate(maps: Aligner) -> dict[str, float]:
        shown = maps.project(torch.from_numpy(held_out.images), Modality.IMAGE).numpy()
        read = maps.project(task.texts.aside, Modality.TEXT).numpy()
        ranks = pair_ranks(shown, read, held_out.owner)
        return {**ranks.figures(), "r10": ranks.r10}

    loop: Any = task.settings  # it reads what TrainSettings and HeadSettings share
    report = fit(aligner, InfoNCE(), batches, 1, evaluate, loop, task.checkpoint, task.identity, task.hear)
    return aligner, report


def fit_nothing(task: Task) -> tuple[Aligner, TrainingReport]:
    """Random matrices."""
    return Maps(task.train.images.shape[1], task.texts.train.shape[1], 8), TrainingReport()


def learn_bag(texts: Sequence[str], settings: HeadSettings) -> TextInput:
    """The words of these texts."""
    return Bag(sorted({word for text in texts for word in text.split()})[: settings.vocabulary])


METHODS = (
    Method("maps", "tests", "", Maps.kind, fit_maps, words=Bag.kind),
    Method("epochs", "tests", "", Maps.kind, fit_in_epochs, words=Bag.kind),
    Method("gradient", "tests", "", Maps.kind, fit_by_gradient, words=Bag.kind),
    Method("nothing", "tests", "", Maps.kind, fit_nothing, words=Bag.kind),
    Method("classes", "tests", "", Maps.kind, fit_maps, needs_categories=True, words=Bag.kind),
)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make these methods known for one test, and no others."""
    monkeypatch.setitem(engine.heads.KINDS, Maps.kind, Maps)
    monkeypatch.setitem(engine.heads.TEXT_KINDS, Bag.kind, Bag)
    monkeypatch.setitem(indexer.heads.methods.TEXTS, Bag.kind, learn_bag)
    for name in list(indexer.heads.methods.METHODS):
        monkeypatch.delitem(indexer.heads.methods.METHODS, name)
    for method in METHODS:
        monkeypatch.setitem(indexer.heads.methods.METHODS, method.name, method)


@dataclasses.dataclass(frozen=True)
class Made:
    """A library with what its pictures show. config: its settings. said: the words of each picture's item."""

    config: Config
    said: dict[int, str]


def make_learnable(
    place: Path,
    count: int = 160,
    *,
    texts: bool = False,
    captions: int = 2,
    categories: bool = False,
    text_dim: int = TEXT_DIM,
) -> Made:
    """`count` pictures whose vectors are sums of their words' vectors; every fourth is held out.

    texts: words have embeddings too, `text_dim` wide, of a space of their own. captions: of each picture; the second
    one has the words in another order.
    """
    config = config_at(place / "home", codec={"bits": 64})
    catalog, rng = new_catalog(config), np.random.default_rng(0)
    space, other = rng.normal(size=(WORDS, IMAGE_DIM)), rng.normal(size=(WORDS, text_dim))
    (place / "media").mkdir(parents=True)
    with write_artifact(catalog.home / "encoders" / "made", {"kind": "encoder"}) as folder:
        (folder / "open_clip_model.safetensors").write_bytes(b"weights")
    dims = {"image": IMAGE_DIM, **({"text": text_dim} if texts else {})}
    encoder = EncoderRow(fingerprint=FINGERPRINT, spec="encoders/made", dim=IMAGE_DIM, dims=dims)
    said: dict[int, str] = {}
    with catalog.session() as session:
        session.add_all([encoder, Root(path=str(place / "media"))])
        session.flush()
        vectors, owners = [], []
        for number in range(count):
            words = rng.permutation(WORDS)[:3]
            split = "val" if number % 4 == 0 else "train"
            path = f"{number:04d}.jpg"
            (place / "media" / path).write_bytes(b"picture %d" % number)
            item = Item(root_id=1, modality="image", path=path, size=1, mtime_ns=1, split=split)
            item.content_hash, item.category = f"{number:032x}", f"class {words.min() % 3}" if categories else None
            session.add(item)
            session.flush()
            said[item.id] = " ".join(f"w{word}" for word in words)
            vectors.append(unit(space[words].sum(0) + rng.normal(size=IMAGE_DIM) * 0.1))
            owners.append(item.id)
            for turn in range(captions):
                row = add_caption(session, item, " ".join(f"w{word}" for word in np.roll(words, turn)))
                if texts:
                    vectors.append(np.pad(unit(other[words].sum(0)), (0, IMAGE_DIM - text_dim)))
                    owners.append(row)
        store = EmbeddingStore(store_folder(catalog.home, FINGERPRINT), IMAGE_DIM)
        for owner, shard, row in zip(owners, *map(np.ndarray.tolist, store.append(np.array(vectors))), strict=True):
            session.add(Embedding(item_id=owner, encoder_id=encoder.id, shard=shard, row=row))
        encoder.rows = len(vectors)
    publish(config)
    catalog.engine.dispose()
    return Made(config, said)


def add_caption(session: Any, picture: Item, text: str, lang: str = "en") -> int:
    """A caption of a picture; its item."""
    words = Item(root_id=1, parent_id=picture.id, modality="text", path=picture.path, size=1, mtime_ns=1)
    session.add(words)
    session.flush()
    session.add(Caption(id=words.id, owner_id=picture.id, text=text, lang=lang, source="made"))
    return int(words.id)


def add_marks(config: Config, marks: Sequence[tuple[int, str, bool]]) -> None:
    """(item, query, good) each."""
    catalog = Catalog(config)
    with catalog.session() as session:
        session.add_all(Mark(item_id=item, query=query, good=good) for item, query, good in marks)
    catalog.engine.dispose()


def publish(config: Config, **options: Any) -> None:
    """Build a version of what is embedded."""
    catalog = Catalog(config)
    with writing(catalog, "build", silent) as job, catalog.session() as session:
        row = session.get_one(EncoderRow, 1)
    build(catalog, config, row, job, **options)
    catalog.engine.dispose()


def unit(x: Any) -> F32:
    """A vector of unit length."""
    out: F32 = (x / np.linalg.norm(x)).astype(np.float32)
    return out
