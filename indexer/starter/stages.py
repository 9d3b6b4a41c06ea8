"""The batches of each stage: texts to their places, views to theirs, and then both towers together."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.types import Modality
from indexer.jobs import Tell
from indexer.objectives.distillation import Lesson
from indexer.pixel_towers import PixelTowers
from indexer.starter.lessons import Answers, Lessons, smaller
from indexer.starter.space import Space
from indexer.starter.words import varied

Tokenize = Callable[[list[str]], Tensor]
_STRANGERS, _LIGHT, _BLOCK = 512, 0.1, 512


@dataclass(frozen=True)
class Course:
    """All that the stages draw from. sides: pixels of views in the first `low_share` of the epochs, and after."""

    lessons: Lessons
    space: Space
    tokenize: Tokenize
    sides: tuple[int, int]
    low_share: float
    tell: Tell

    def texts(self, size: int) -> Callable[[int, int, torch.Generator], Iterator[Lesson]]:
        """A text of each picture, said in another way, beside the places of these pictures."""

        def batches(epoch: int, epochs: int, generator: torch.Generator) -> Iterator[Lesson]:
            for rows, rng in self._rows(size, epoch, epochs, "texts", generator):
                said = [varied(rng.choice(self.lessons.examples[row].texts), rng) for row in rows]
                anchors = torch.from_numpy(self.lessons.joint[rows, 0])
                targets = torch.from_numpy(self.space.texts(said))
                inputs = {Modality.TEXT: self.tokenize(said)}
                yield Lesson(inputs, torch.arange(len(rows)), targets=targets, anchors=anchors)

        return batches

    def images(self, size: int, known: Sequence[Tensor]) -> Callable[[int, int, torch.Generator], Iterator[Lesson]]:
        """A view of each picture, beside the student's rows `known` of its texts and of others'.

        Half of the others are of pictures that look alike, which are the hardest to tell apart.
        """

        def batches(epoch: int, epochs: int, generator: torch.Generator) -> Iterator[Lesson]:
            for rows, rng in self._rows(size, epoch, epochs, "pictures", generator):
                side = self.sides[epoch >= self.low_share * epochs]
                pixels, answers = self._view(rows, side, rng)
                alike = [int(rng.choice(self.lessons.neighbours[row])) for row in rows]
                strangers = rng.sample(range(len(self.lessons)), min(_STRANGERS, len(self.lessons)))
                some = [known[row][rng.randrange(len(known[row]))] for row in [*rows, *alike, *strangers]]
                yield Lesson(
                    {Modality.IMAGE: pixels},
                    torch.arange(len(rows)),
                    targets=answers.joint,
                    anchors=torch.stack(some),
                    features=answers.features,
                    logits=answers.logits,
                )

        return batches

    def pairs(self, size: int) -> Callable[[int, int, torch.Generator], Iterator[Lesson]]:
        """Views with one of their texts; half of the pictures look like the other half."""

        def batches(epoch: int, epochs: int, generator: torch.Generator) -> Iterator[Lesson]:
            for first, rng in self._rows(size // 2, epoch, epochs, "pairs", generator):
                taken = dict.fromkeys(first)
                for row in first:
                    taken[int(rng.choice(self.lessons.neighbours[row]))] = None
                rows = list(taken)
                pixels, answers = self._view(rows, self.sides[1], rng)
                said = [varied(rng.choice(self.lessons.examples[row].texts), rng) for row in rows]
                inputs = {Modality.IMAGE: pixels, Modality.TEXT: self.tokenize(said)}
                targets, texts = answers.joint, torch.from_numpy(self.space.texts(said))
                yield Lesson(inputs, torch.arange(len(rows)), targets=targets, text_targets=texts)

        return batches

    def _rows(
        self, size: int, epoch: int, epochs: int, what: str, generator: torch.Generator
    ) -> Iterator[tuple[list[int], random.Random]]:
        """One epoch of pictures in random order, with what draws for each batch; a short rest is left out."""
        order = torch.randperm(len(self.lessons), generator=generator)
        for at in range(0, len(order) - size + 1, size):
            seed = int(torch.randint(2**62, (1,), generator=generator))
            yield order[at : at + size].tolist(), random.Random(seed)
            self.tell(f"teaching {what}, epoch {epoch + 1} of {epochs}", at + size, len(order))

    def _view(self, rows: Sequence[int], side: int, rng: random.Random) -> tuple[Tensor, Answers]:
        """Any view of each, some mirrored, in a slightly different light."""
        views = [rng.randrange(self.lessons.most_views) for _ in rows]
        pixels, answers = self.lessons.look(rows, views)
        pixels = smaller(pixels, side).float() / 255
        mirrored = [rng.random() < 0.5 and self.lessons.examples[row].may_mirror for row in rows]
        pixels[mirrored] = pixels[mirrored].flip(-1)
        light = torch.tensor([[rng.uniform(-_LIGHT, _LIGHT) for _ in range(2)] for _ in rows])[..., None, None, None]
        return pixels * (1 + light[:, 0]) + light[:, 1] / 2, answers


@torch.inference_mode()
def rows_of_texts(towers: PixelTowers, tokenize: Tokenize, lessons: Lessons) -> list[Tensor]:
    """The student's unit rows (t, d) of each picture's texts."""
    towers.eval()
    tokens = tokenize([text for one in lessons.examples for text in one.texts])
    rows = torch.empty(len(tokens), towers.dim)
    for some in torch.split((tokens > 0).sum(1).argsort(stable=True), _BLOCK):  # short ones together: they cost less
        rows[some] = towers.project(tokens[some], Modality.TEXT)
    return list(torch.split(rows, [len(one.texts) for one in lessons.examples]))
