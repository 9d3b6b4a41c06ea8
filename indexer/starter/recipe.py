"""A recipe: which pictures and words an encoder is made of, in which steps; read from a TOML file and checked."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, MinLen, MultipleOf

from engine.config import HeadSettings, Positive
from engine.errors import ConfigError

FOLDER = Path(__file__).parent / "recipes"
Share = Annotated[float, Interval(ge=0, lt=1)]


class _Checked:
    __pydantic_config__ = {"extra": "forbid", "str_strip_whitespace": True}


@dataclass(frozen=True)
class Source(_Checked):
    """Pictures with words. kind: a folder with captions.jsonl, pictures drawn here, or a folder of icons with tags.

    folder: below the data's. splits: the parts of a caption file that are learned from. views: how many each picture
    is looked at as. smallest_crop: of a view, as a share of the picture's area. count, seed: of drawn pictures.
    held_out: how many are kept from training, to measure on.
    """

    kind: Literal["captions", "samples", "icons"]
    name: str
    folder: str = ""
    views: Positive = 8
    smallest_crop: Annotated[float, Interval(gt=0, le=1)] = 0.4
    count: Annotated[int, Ge(60)] = 2400
    seed: int = 7
    held_out: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True)
class Student(_Checked):
    """The open_clip model that is made. merges: of open_clip's byte-pair vocabulary, how many are kept."""

    image_tower: str = "hgnetv2_b0"
    image_pixels: Annotated[int, Interval(ge=32, le=512)] = 128
    embedding_width: Annotated[int, Ge(32), MultipleOf(8)] = 256
    text_width: Annotated[int, Ge(32), MultipleOf(32)] = 256
    text_layers: Positive = 3
    context_length: Annotated[int, Interval(ge=8, le=77)] = 32
    merges: Annotated[int, Interval(ge=0, le=48894)] = 8000


@dataclass(frozen=True)
class Stage(_Checked):
    """One run of the training loop; see engine.config.TrainSettings for what the names mean."""

    epochs: Positive = 10
    max_minutes: Annotated[float, Gt(0)] = 10_000.0  # epochs end a stage, so that no result hangs on a machine's speed
    batch_size: Annotated[int, Ge(2)] = 128
    accumulate: Positive = 1
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 0.05
    patience: Positive = 1000
    seed: int = 0


@dataclass(frozen=True)
class Recipe(_Checked):
    """All of one. teacher: a TFLite file below the data's folder. set_aside: pictures training is judged by.

    low_pixels, high_pixels: of the views in the first `low_share` of the epochs, and after them. Crops make things
    larger than they are in whole pictures, so views may be smaller than what the student is to see (Touvron 2019).
    """

    sources: Annotated[tuple[Source, ...], MinLen(1)]
    teacher: str
    space_seeds: Positive = 3
    set_aside: Positive = 300
    low_share: Share = 0.6
    low_pixels: Annotated[int, Interval(ge=32, le=512)] = 96
    high_pixels: Annotated[int, Interval(ge=32, le=512)] = 112
    student: Student = field(default_factory=Student)
    space: HeadSettings = field(default_factory=HeadSettings)
    text: Stage = field(default_factory=Stage)
    image: Stage = field(default_factory=Stage)
    both: Stage = field(default_factory=Stage)


def load_recipe(name: str) -> Recipe:
    """A recipe of Rebus's own by its name, or any TOML file. Raises ConfigError for what is not possible."""
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        path = Path(name).expanduser()
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise ConfigError(f"there is no recipe {name!r}: name a TOML file, or one of {known}")
    try:
        return checked(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None


def checked(values: dict[str, Any], source: str) -> Recipe:
    """Raises ConfigError that names the first value which is not possible."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Recipe).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{key} = {first['input']!r} in {source} is not possible: {first['msg']}") from None
