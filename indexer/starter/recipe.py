"""A recipe: which pictures and words an encoder is made of, in which steps; read from a TOML file and checked."""

import re
import reprlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from os.path import expanduser
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval, MinLen, MultipleOf

from engine.config import HeadSettings
from engine.errors import ConfigError

FOLDER = Path(__file__).parent / "recipes"
Share = Annotated[float, Interval(ge=0, lt=1)]
Count = Annotated[int, Interval(ge=0, le=1_000_000)]
Few = Annotated[int, Interval(ge=1, le=1000)]
Epochs = Annotated[int, Interval(ge=1, le=100_000)]
BatchSize = Annotated[int, Interval(ge=2, le=65_536)]
Minutes = Annotated[float, Interval(gt=0, le=1_000_000)]
Rate = Annotated[float, Interval(gt=0, le=10)]
Seed = Annotated[int, Interval(ge=0, lt=2**32)]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # it names a folder


class _Checked:
    __pydantic_config__ = {"extra": "forbid", "str_strip_whitespace": True, "allow_inf_nan": False}


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
    views: Few = 8
    smallest_crop: Annotated[float, Interval(gt=0, le=1)] = 0.4
    count: Annotated[Count, Ge(60)] = 2400
    seed: Seed = 7
    held_out: Count = 0


@dataclass(frozen=True)
class Student(_Checked):
    """The open_clip model that is made. merges: of open_clip's byte-pair vocabulary, how many are kept."""

    image_tower: str = "hgnetv2_b0"
    image_pixels: Annotated[int, Interval(ge=32, le=512)] = 128
    embedding_width: Annotated[int, Interval(ge=32, le=4096), MultipleOf(8)] = 256
    text_width: Annotated[int, Interval(ge=32, le=4096), MultipleOf(32)] = 256
    text_layers: Annotated[int, Interval(ge=1, le=64)] = 3
    context_length: Annotated[int, Interval(ge=8, le=77)] = 32
    merges: Annotated[int, Interval(ge=0, le=48894)] = 8000


@dataclass(frozen=True)
class Stage(_Checked):
    """One run of the training loop; see engine.config.TrainSettings for what the names mean."""

    epochs: Epochs = 10
    max_minutes: Minutes = 10_000.0  # epochs end a stage, so that no result hangs on a machine's speed
    batch_size: BatchSize = 128
    accumulate: Few = 1
    learning_rate: Rate = 1e-3
    weight_decay: Annotated[float, Interval(ge=0, le=10)] = 0.05
    patience: Epochs = 1000
    seed: Seed = 0


@dataclass(frozen=True)
class Space(HeadSettings):
    """The head between the teacher's features and words; see engine.config.HeadSettings, which have no upper bounds."""

    __pydantic_config__ = _Checked.__pydantic_config__

    epochs: Epochs = 8
    max_minutes: Minutes = 20.0
    batch_size: BatchSize = 1024
    accumulate: Few = 1
    learning_rate: Rate = 2e-3
    weight_decay: Annotated[float, Interval(ge=0, le=10)] = 0.05
    patience: Epochs = 6
    mark_weight: Annotated[float, Interval(gt=0, le=1000)] = 2.0
    seed: Seed = 0


@dataclass(frozen=True)
class Recipe(_Checked):
    """All of one. teacher: a TFLite file below the data's folder. set_aside: pictures training is judged by.

    low_pixels, high_pixels: of the views in the first `low_share` of the epochs, and after them. Crops make things
    larger than they are in whole pictures, so views may be smaller than what the student is to see (Touvron 2019).
    """

    sources: Annotated[tuple[Source, ...], MinLen(1)]
    teacher: str
    space_seeds: Few = 3
    set_aside: Annotated[Count, Ge(1)] = 300
    low_share: Share = 0.6
    low_pixels: Annotated[int, Interval(ge=32, le=512)] = 96
    high_pixels: Annotated[int, Interval(ge=32, le=512)] = 112
    student: Student = field(default_factory=Student)
    space: Space = field(default_factory=Space)
    text: Stage = field(default_factory=Stage)
    image: Stage = field(default_factory=Stage)
    both: Stage = field(default_factory=Stage)


def load_recipe(name: str) -> Recipe:
    """A recipe of Rebus's own by its name, or any TOML file. Raises ConfigError for what is not possible."""
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        path = Path(expanduser(name))  # which leaves the home of an unknown user as it is written
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise ConfigError(f"there is no recipe {name!r}: name a TOML file, or one of {known}")
    try:
        return checked(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:  # ValueError: also of letters and of numbers that are too long
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path} cannot be read as TOML: it is nested too deeply") from None


def checked(values: dict[str, Any], source: str) -> Recipe:
    """Raises ConfigError that names the first value which is not possible."""
    from pydantic import TypeAdapter, ValidationError

    try:
        recipe = TypeAdapter(Recipe).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part)[:40] for part in first["loc"][:8])
        if first["type"] in ("missing", "too_short"):
            raise ConfigError(
                f"{source} does not say {key}, which a recipe needs: {FOLDER / 'free.toml'} shows how"
            ) from None
        raise ConfigError(
            f"{key} = {reprlib.repr(first['input'])} in {source} is not possible: {first['msg']}"
        ) from None
    for wrong in _wrong_sources(recipe):
        raise ConfigError(f"{wrong}: mend it in {source}")
    return recipe


def _wrong_sources(recipe: Recipe) -> Iterator[str]:
    """What is wrong with the names of sources, which name folders of the work, and with where the data lie."""
    names = set[str]()
    for source in recipe.sources:
        if not _NAME.fullmatch(source.name):
            yield f"a source's name is made of letters, digits, _, . and -, and {source.name[:80]!r} is not"
        if source.name.casefold() in names:
            yield f"two sources are named {source.name!r}, and each needs a name of its own"
        if leaves_folder(source.folder):
            yield f"{source.folder[:80]!r} of {source.name!r} is no folder below the data's"
        names.add(source.name.casefold())


def leaves_folder(path: str) -> bool:
    """Whether a path may lead out of the folder that it is meant to be below."""
    return Path(path).is_absolute() or ".." in Path(path).parts
