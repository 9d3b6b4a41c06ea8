"""Settings: config.toml, overridden by REBUS_* variables, overridden by flags, as frozen dataclasses.

The file is the first of: `--config` or REBUS_CONFIG, `config.toml` in the library's home, the one shipped with
Rebus (whose settings are all commented out: it is the documentation).
"""

import functools
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, MinLen, MultipleOf
from platformdirs import user_data_path

from engine.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

# pydantic checks what is read, and is imported only then: decoder processes are handed settings that were checked.
Positive = Annotated[int, Gt(0)]


class _Checked:
    """What pydantic holds each table to, beside the types."""

    __pydantic_config__ = {"extra": "forbid", "str_strip_whitespace": True}


_SHIPPED = (Path(__file__).parent.parent / "config.toml", Path(__file__).parent / "assets" / "config.toml")


@dataclass(frozen=True)
class CatalogSettings(_Checked):
    url: str = ""


@dataclass(frozen=True)
class EncoderSettings(_Checked):
    model: str = "starter"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: Positive = 64


@dataclass(frozen=True)
class MediaSettings(_Checked):
    max_pixels: Positive = 200_000_000
    max_bytes: Positive = 512 * 2**20
    max_film_bytes: Positive = 64 * 2**30
    max_seconds: Annotated[float, Gt(0)] = 60.0
    max_memory: Annotated[int, Ge(256 * 2**20)] = 4 * 2**30
    max_frames: Positive = 8
    max_pages: Positive = 100
    max_moments: Positive = 120
    moment_seconds: Annotated[float, Gt(0)] = 10.0
    thumbnail_pixels: Annotated[int, Interval(ge=32, le=2048)] = 384
    workers: Annotated[int, Ge(0)] = 0
    ocr: bool = False
    ocr_languages: str = "eng"


@dataclass(frozen=True)
class IndexSettings(_Checked):
    exclude: tuple[str, ...] = ()
    near_bits: Annotated[int, Interval(ge=0, le=16)] = 6
    near_cosine: Annotated[float, Interval(ge=0, le=1)] = 0.92
    keep_versions: Positive = 3


@dataclass(frozen=True)
class CaptionSettings(_Checked):
    languages: Annotated[tuple[str, ...], MinLen(1)] = ("en",)
    max_per_item: Positive = 64
    max_characters: Positive = 2000
    max_bytes: Positive = 512 * 2**20


@dataclass(frozen=True)
class CodecSettings(_Checked):
    kind: Literal["hashing", "rabitq", "pq", "vq"] = "hashing"
    bits: Annotated[int, Interval(ge=64, le=4096), MultipleOf(8)] = 256
    lists_from: Positive = 48_000  # up to as many, all vectors are compared: engine.filtering
    parts: Annotated[int, Interval(ge=8, le=512), MultipleOf(2)] = 64
    rotation: Literal["drawn", "itq", "trained"] = "drawn"


@dataclass(frozen=True)
class SearchSettings(_Checked):
    mode: Literal["hybrid", "vector", "text"] = "hybrid"
    candidates: Positive = 2000
    recall: Annotated[float, Interval(gt=0, lt=1)] = 0.95
    limit: Annotated[int, Interval(ge=1, le=1000)] = 24
    threads: Positive = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class TrainSettings(_Checked):
    start: str = "starter"
    image_pixels: Annotated[int, Interval(ge=32, le=512)] = 96
    image_tower: str = "regnetx_004"
    text_width: Annotated[int, Ge(32), MultipleOf(32)] = 128
    text_layers: Positive = 2
    context_length: Annotated[int, Interval(ge=8, le=77)] = 28
    embedding_width: Annotated[int, Ge(32), MultipleOf(8)] = 256
    epochs: Positive = 40
    max_minutes: Annotated[float, Gt(0)] = 60.0
    batch_size: Annotated[int, Ge(2)] = 128
    accumulate: Positive = 1
    learning_rate: Annotated[float, Gt(0)] = 3e-4
    weight_decay: Annotated[float, Ge(0)] = 0.2
    captions_per_image: Positive = 3
    smallest_crop: Annotated[float, Interval(gt=0, le=1)] = 0.4
    patience: Positive = 10
    held_out: Annotated[float, Interval(gt=0, lt=1)] = 0.1
    seed: int = 0


@dataclass(frozen=True)
class HeadSettings(_Checked):
    method: str = "infonce"
    text: Literal["auto", "encoder", "lexical", "tokens"] = "auto"
    dim: Annotated[int, Interval(ge=8, le=4096), MultipleOf(8)] = 512
    layers: Annotated[int, Interval(ge=0, le=8)] = 0
    width: Annotated[int, Interval(ge=8, le=8192), MultipleOf(8)] = 1024
    shared: bool = False
    sequence: Literal["none", "gru", "transformer"] = "none"
    pooling: Literal["mean", "max", "attention"] = "max"
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.3
    vocabulary: Annotated[int, Interval(ge=256, le=200_000)] = 8000
    context_length: Annotated[int, Interval(ge=8, le=512)] = 77
    epochs: Positive = 8
    max_minutes: Annotated[float, Gt(0)] = 20.0
    batch_size: Annotated[int, Ge(2)] = 1024
    accumulate: Positive = 1
    learning_rate: Annotated[float, Gt(0)] = 2e-3
    weight_decay: Annotated[float, Ge(0)] = 0.05
    patience: Positive = 6
    mark_weight: Annotated[float, Gt(0)] = 2.0
    seed: int = 0


@dataclass(frozen=True)
class ServeSettings(_Checked):
    host: str = "127.0.0.1"
    port: Annotated[int, Interval(ge=0, le=65535)] = 8765
    threads: Positive = 8
    token: str = ""
    names: tuple[str, ...] = ()
    proxy: str = ""
    origins: tuple[str, ...] = ()
    read_only: bool = False
    show_places: bool = False
    requests_per_minute: Annotated[int, Ge(0)] = 300
    max_upload_bytes: Positive = 20 * 2**20
    max_upload_pixels: Positive = 50_000_000
    max_upload_seconds: Annotated[float, Gt(0)] = 10.0
    image_url: bool = False
    image_url_hosts: tuple[str, ...] = ()
    access_log: str = ""
    log_queries: bool = False


@dataclass(frozen=True)
class Config(_Checked):
    """All settings of one library. `home` is where its catalog, embeddings, versions and thumbnails live."""

    home: Path
    catalog: CatalogSettings = field(default_factory=CatalogSettings)
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    media: MediaSettings = field(default_factory=MediaSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    captions: CaptionSettings = field(default_factory=CaptionSettings)
    codec: CodecSettings = field(default_factory=CodecSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)


SECTIONS: dict[str, type] = {
    "catalog": CatalogSettings,
    "encoder": EncoderSettings,
    "media": MediaSettings,
    "index": IndexSettings,
    "captions": CaptionSettings,
    "codec": CodecSettings,
    "search": SearchSettings,
    "train": TrainSettings,
    "head": HeadSettings,
    "serve": ServeSettings,
}
_LISTS = {
    ("captions", "languages"), ("index", "exclude"),
    ("serve", "names"), ("serve", "origins"), ("serve", "image_url_hosts"),
}  # fmt: skip


def load_config(
    home: str | Path | None = None,
    file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """Read the settings. `overrides` are flags as {"section.key": value}; None values are left out.

    Raises ConfigError for an unknown key, an impossible value, or a file that cannot be read.
    """
    where = Path(home or environ.get("REBUS_HOME") or user_data_path("rebus", appauthor=False))
    where = where.expanduser().absolute()
    tables = _read_file(_choose_file(where, file or environ.get("REBUS_CONFIG")))
    for name, raw in environ.items():
        if name.startswith("REBUS_") and name not in ("REBUS_HOME", "REBUS_CONFIG"):
            section, key = _env_key(name)
            tables.setdefault(section, {})[key] = _split(raw) if (section, key) in _LISTS else raw
    for dotted, value in (overrides or {}).items():
        if value is not None:
            section, key = dotted.split(".")
            tables.setdefault(section, {})[key] = value
    from pydantic import ValidationError

    try:
        return _adapter().validate_python({**tables, "home": where})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"setting {key} = {first['input']!r} is not possible: {first['msg']}. "
            "Mend it in config.toml, in its REBUS_ variable, or in the flag."
        ) from None


@functools.cache
def _adapter() -> "TypeAdapter[Config]":
    """Made once: it takes a hundred times as long as reading with it."""
    from pydantic import TypeAdapter

    return TypeAdapter(Config)


def _split(raw: str) -> list[str]:
    return [part.strip() for part in raw.split(",") if part.strip()]


def _choose_file(home: Path, named: str | Path | None) -> Path | None:
    if named:
        if not Path(named).is_file():
            raise ConfigError(f"no configuration file at {named}: check --config or REBUS_CONFIG")
        return Path(named)
    return next((path for path in (home / "config.toml", *_SHIPPED) if path.is_file()), None)


def _read_file(path: Path | None) -> dict[str, dict[str, Any]]:
    if path is None:
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None
    for section, values in tables.items():
        if section not in SECTIONS or not isinstance(values, dict):
            known = ", ".join(SECTIONS)
            raise ConfigError(f"unknown section [{section}] in {path}; the sections are: {known}")
        _check_keys(section, values, str(path))
    return tables


def _check_keys(section: str, keys: Mapping[str, Any] | list[str], source: str) -> None:
    known = [f.name for f in fields(SECTIONS[section])]
    for key in keys:
        if key not in known:
            raise ConfigError(f"unknown setting {section}.{key} in {source}; known: {', '.join(known)}")


def _env_key(name: str) -> tuple[str, str]:
    section, _, key = name.removeprefix("REBUS_").lower().partition("_")
    if section not in SECTIONS:
        raise ConfigError(f"unknown variable {name}: use REBUS_HOME, REBUS_CONFIG or REBUS_SECTION_KEY")
    _check_keys(section, [key], name)
    return section, key
