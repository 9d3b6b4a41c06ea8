"""`rebus train --recipe`: from pictures, words and a teacher to an encoder. Every step is kept, and gone on from."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.aligners import Aligner
from engine.artifacts import read_manifest, write_artifact
from engine.encoders import MERGES_FILE
from engine.errors import ConfigError
from engine.types import F32
from indexer.jobs import Tell
from indexer.objectives import Objective
from indexer.objectives.distillation import ImageLesson, PairLesson, TextLesson
from indexer.pixel_towers import PixelTowers, evaluate, recalls
from indexer.starter.lessons import Lessons
from indexer.starter.recipe import Recipe, Stage
from indexer.starter.sources import Example, examples
from indexer.starter.space import fit_space
from indexer.starter.stages import Course, rows_of_texts
from indexer.starter.student import make_student
from indexer.starter.teacher import Teacher
from indexer.starter.views import Views, make_views
from indexer.starter.words import write_merges
from indexer.train import Batches, TrainingReport, fit

_WEIGHTS, _BATCH = "towers.safetensors", 128
_STAGES = ("text", "image", "both")
Hear = Callable[[dict[str, float], int, int], None]
Judge = Callable[[Aligner], dict[str, float]]


@dataclass(frozen=True)
class Material:
    """Pictures to learn from and, of the first source, some set aside to judge by; views of each source in turn."""

    train: Sequence[Example]
    views: Sequence[Views]
    aside: Sequence[Example]
    aside_pixels: Sequence[Tensor]
    aside_features: F32


def gather(recipe: Recipe, teacher: Teacher, data: Path, work: Path, tell: Tell) -> Material:
    """Every source's pictures, looked at by the teacher.

    Raises InvalidInput where one is not there, ConfigError where setting aside leaves nothing.
    """
    train: list[Example] = []
    kept: list[Views] = []
    for source in recipe.sources:
        found = examples(source, data, work, tell).train
        if not kept and recipe.set_aside >= len(found):
            raise ConfigError(
                f"set_aside = {recipe.set_aside:,} leaves nothing to learn from in {source.name}, the first source, "
                f"which has {len(found):,} pictures: lower it"
            )
        views = make_views(
            found,
            teacher,
            work / f"views-{source.name}",
            views=source.views,
            side=recipe.student.image_pixels,
            smallest_crop=source.smallest_crop,
            seed=source.seed,
            tell=tell,
        )
        if not kept:
            aside, found = found[: recipe.set_aside], found[recipe.set_aside :]
            first, views = views.upto(recipe.set_aside), views.since(recipe.set_aside)
        train += found
        kept.append(views)
    seen = torch.from_numpy(np.array(first.pixels[:, 0])).permute(0, 3, 1, 2).float() / 255
    return Material(train, kept, aside, torch.split(seen, _BATCH), np.asarray(first.features[:, 0], np.float32))


def train_starter(
    recipe: Recipe, teacher: Teacher, data: Path, work: Path, tell: Tell, hear: Hear
) -> tuple[PixelTowers, dict[str, TrainingReport]]:
    """All of a recipe; `work` keeps what is done. The same recipe, data and teacher give the same weights."""
    bpe = work / MERGES_FILE
    write_merges(bpe, recipe.student.merges)
    towers, tokenizer = make_student(recipe.student, bpe, recipe.text.seed)  # first: one that cannot be made is told
    material = gather(recipe, teacher, data, work, tell)
    features = np.concatenate([_first(one, material.views) for one in material.views])
    facts = {name: value for name, value in asdict(recipe).items() if name not in _STAGES}
    known = _digest([facts, teacher.name, [one.texts for one in material.train]])
    settings, width, place = recipe.space, recipe.student.embedding_width, work / f"space-{known[:16]}"
    space = fit_space(material.train, features, settings, recipe.space_seeds, width, place, teacher.name, hear)
    lessons = Lessons.make(material.train, material.views, space)

    sides = (recipe.low_pixels, recipe.high_pixels)
    course = Course(lessons, space, tokenizer, sides, recipe.low_share, tell)
    tokens = [tokenizer(list(one.texts)) for one in material.aside]

    shown = torch.from_numpy(space.pictures(material.aside_features))

    def judge_texts(aligner: Aligner) -> dict[str, float]:
        return recalls(shown, aligner, tokens)

    def judge(aligner: Aligner) -> dict[str, float]:
        return evaluate(aligner, material.aside_pixels, tokens)

    line = _Line(towers, work, hear, known)
    count = len(lessons)
    line.run("text", recipe.text, TextLesson(), course.texts(recipe.text.batch_size), count, judge_texts)
    with torch.inference_mode():
        pooled = towers.eval().look(material.aside_pixels[0][:1])[0].shape[1]
    with torch.random.fork_rng():
        torch.manual_seed(recipe.image.seed)
        answers = ImageLesson(pooled, features.shape[-1], material.views[0].logits.shape[-1])
    texts = rows_of_texts(towers, tokenizer, lessons)
    line.run("image", recipe.image, answers, course.images(recipe.image.batch_size, texts), count, judge)
    line.run("both", recipe.both, PairLesson(), course.pairs(recipe.both.batch_size), 2 * count, judge)
    return towers, line.reports


class _Line:
    """Stages one after another on the same towers. What each was is part of what the next goes on from."""

    def __init__(self, towers: PixelTowers, work: Path, hear: Hear, identity: str) -> None:
        self.towers, self.work, self.hear, self.identity = towers, work, hear, identity
        self.reports: dict[str, TrainingReport] = {}

    def run(self, name: str, settings: Stage, objective: Objective, batches: Batches, count: int, judge: Judge) -> None:
        """Train, or take what was trained before. count: pictures that are looked at in an epoch."""
        self.identity = _digest([self.identity, name, asdict(settings)])
        folder, checkpoint = self.work / f"stage-{name}", self.work / f"{name}.pt"
        if folder.is_dir() and (kept := read_manifest(folder))["identity"] == self.identity:
            self.towers.load_state_dict(load_file(folder / _WEIGHTS))
            self.reports[name] = TrainingReport(**kept["report"])
            return
        steps, parts = count // settings.batch_size, (self.towers, objective, batches)
        if not steps:
            raise ConfigError(
                f"{name}.batch_size = {settings.batch_size:,} is more than the {count:,} pictures that are learned "
                "from: name a smaller one"
            )
        report = fit(*parts, steps, judge, settings, checkpoint, self.identity, self.hear)
        facts = {"kind": "stage", "identity": self.identity, "report": asdict(report)}
        with write_artifact(folder, facts) as temporary:
            save_file({key: one.contiguous() for key, one in self.towers.state_dict().items()}, temporary / _WEIGHTS)
        checkpoint.unlink(missing_ok=True)
        self.reports[name] = report


def _digest(values: Any) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(values))


def _first(one: Views, views: Sequence[Views]) -> Any:
    """Features (n, k, f) of as many views as every source has."""
    return np.asarray(one.features[:, : min(other.features.shape[1] for other in views)], np.float32)
