"""What a feature library consists of, found in a folder by its layout or named by options."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.config import CaptionSettings
from engine.errors import InvalidInput
from engine.types import I64
from indexer.imports.matrices import Matrix, open_npy, open_owners
from indexer.imports.mats import is_mat_library, load_mat, read_lists
from indexer.imports.tables import ENDINGS, Described, Record, Records, read_names, read_table

_TABLES = tuple(f"{name}{end}" for name in ("captions", "metadata") for end in ENDINGS)
_PART = re.compile(r"_(\d+)\.(npy|parquet)", re.ASCII)
_PICTURES = "images"  # the folder below a library's in which its pictures may lie


@dataclass(frozen=True, slots=True)
class Files:
    """What `rebus import` was told; None for what is to be found. folder: the library's."""

    folder: Path
    images: Path | None = None
    names: Path | None = None
    captions: Path | None = None
    texts: Path | None = None
    owners: Path | None = None
    media: Path | None = None


@dataclass(frozen=True, slots=True)
class Library:
    """A feature library as it lies on the disk.

    images: (n, d). texts: (m, d'), or None. owners: (m,) the row of the picture that each text vector belongs to; None
    when the order of the captions, or of the pictures, says so. records: what is said of each of the n rows. media:
    the folder that names of pictures start from. described: the table that says more of them, by their names.
    """

    folder: Path
    images: Matrix
    texts: Matrix | None
    owners: I64 | None
    records: Records
    media: Path
    described: Described | None = None


def find_library(files: Files, settings: CaptionSettings) -> Library:
    """Raises InvalidInput when nothing is found, or what is found cannot be read."""
    folder = _folder(files.folder)
    named = any((files.images, files.names, files.captions, files.texts, files.owners))
    if not named and (folder / "img_emb").is_dir():
        return _clip_retrieval(folder, files, settings)
    if not named and is_mat_library(folder):
        return _mat(folder, files, settings)
    return _arrays(folder, files, settings)


def _folder(path: Path) -> Path:
    try:
        place = path.expanduser().resolve(strict=True)
        str(place).encode("utf-8")
        next(place.iterdir(), None)
    except UnicodeEncodeError:
        raise InvalidInput(f"the path of {path!r} is not valid UTF-8: rename the folder") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be imported: {error.strerror}") from None
    return place


def _media(folder: Path, files: Files, records: Records) -> Path:
    """The folder given, else the one in which the first picture lies, else the library's own."""
    if files.media is not None:
        return _folder(files.media)
    first = next(records(), None)
    below = folder / _PICTURES
    try:
        inside = first is not None and not (folder / first.name).exists() and below.is_dir()
    except (OSError, ValueError):  # a name that no file can have is told of later
        inside = False
    return below if inside else folder


def _clip_retrieval(folder: Path, files: Files, settings: CaptionSettings) -> Library:
    """img_emb/img_emb_N.npy, text_emb/text_emb_N.npy and metadata/metadata_N.parquet, row by row."""
    images = _parts(folder / "img_emb", "img_emb", ".npy")
    tables = _parts(folder / "metadata", "metadata", ".parquet")
    texts = _parts(folder / "text_emb", "text_emb", ".npy") if (folder / "text_emb").is_dir() else {}
    for name, other in (("metadata", tables), ("text_emb", texts)):
        if (other or name == "metadata") and other.keys() != images.keys():
            odd = min(images.keys() ^ other.keys())
            raise InvalidInput(f"part {odd} is not in both img_emb and {name} of {folder}: each needs the same parts")
    matrices = {name: _matrix(folder, parts) for name, parts in (("images", images), ("texts", texts)) if parts}
    records = partial(_row_by_row, [tables[number] for number in images], matrices["images"], settings)
    media = _media(folder, files, records)
    return Library(folder, matrices["images"], matrices.get("texts"), None, records, media)


def _parts(folder: Path, name: str, ending: str) -> dict[int, Path]:
    """The numbered files of a folder, by number."""
    if not folder.is_dir():
        raise InvalidInput(f"there is no folder {folder}: clip-retrieval writes it beside img_emb")
    found = {}
    for path in folder.iterdir():
        match = _PART.fullmatch(path.name.removeprefix(name))
        if path.name.startswith(name) and match and path.suffix == ending:
            found[int(match[1])] = path
    if not found:
        raise InvalidInput(f"{folder} holds no {name}_0{ending}")
    return dict(sorted(found.items()))


def _row_by_row(tables: Sequence[Path], images: Matrix, settings: CaptionSettings) -> Iterator[Record]:
    """The rows of numbered tables, each as long as its part of the features."""
    captions = 0
    for path, part in zip(tables, images.parts, strict=True):
        rows = 0
        for record in read_table(path, settings, captions):
            captions += len(record.texts)
            rows += 1
            yield record
        if rows != len(part):
            raise InvalidInput(f"{path.name} has {rows:,} rows for {len(part):,} rows of image features")


def _mat(folder: Path, files: Files, settings: CaptionSettings) -> Library:
    found = sorted(folder.glob("*.mat"))
    if len(found) != 1:
        raise InvalidInput(f"{folder} holds {len(found)} .mat files beside its lists: one is needed")
    images, texts = load_mat(found[0])
    records = partial(read_lists, folder, settings.languages[0])
    return Library(folder, images, texts, None, records, _media(folder, files, records))


def _arrays(folder: Path, files: Files, settings: CaptionSettings) -> Library:
    """.npy files with names and tables beside them. Options name what the folder alone does not tell."""
    files = files if files.images else _detected(folder, files)
    assert files.images is not None
    images = _matrix(folder, {0: files.images})
    texts = _matrix(folder, {0: files.texts}) if files.texts else None
    if files.owners and texts is None:
        raise InvalidInput(f"{files.owners} says whose each text vector is: name their file too, with --texts")
    owners = open_owners(files.owners, len(texts), len(images)) if files.owners and texts else None
    described = None
    if files.names is None and files.captions is not None:
        records: Records = partial(read_table, files.captions, settings)
    else:
        records = partial(read_names, files.names) if files.names else partial(_numbered, len(images))
        described = Described(read_table(files.captions, settings)) if files.captions else None
    return Library(folder, images, texts, owners, records, _media(folder, files, records), described)


def _numbered(rows: int) -> Iterator[Record]:
    """Names for features that have none."""
    return (Record(f"row-{row:07}", f"row {row:,}") for row in range(rows))


def _matrix(folder: Path, paths: dict[int, Path]) -> Matrix:
    return Matrix.of([(_shown(folder, path), open_npy(path)) for path in paths.values()])


def _shown(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _detected(folder: Path, files: Files) -> Files:
    """The files of a folder by their names and shapes. Raises InvalidInput, naming the option, when in doubt."""
    arrays = {path: open_npy(path).ndim for path in sorted(folder.glob("*.npy"))}
    owners = [path for path, ndim in arrays.items() if ndim == 1 and "owner" in path.stem]
    matrices = [path for path in arrays if path not in owners]
    of_texts = [path for path in matrices if path.stem.startswith(("text", "caption"))]
    of_images = [path for path in matrices if path not in of_texts]
    if len(of_images) > 1:  # one that says so among others that do not
        of_images = [path for path in of_images if path.stem.startswith(("image", "img"))] or of_images
    if len(of_images) != 1:
        raise InvalidInput(
            f"{folder} is no layout that is known: {len(of_images)} files in it may hold image features"
            f"{' (' + ', '.join(path.name for path in of_images) + ')' if of_images else ''}. Name one with --images"
        )
    return Files(
        folder,
        of_images[0],
        files.names or _only(sorted(folder.glob("*names*.txt")), "--names"),
        files.captions or next((folder / name for name in _TABLES if (folder / name).is_file()), None),
        files.texts or _only(of_texts, "--texts"),
        files.owners or _only(owners, "--owners"),
        files.media,
    )


def _only(paths: Sequence[Path], option: str) -> Path | None:
    if len(paths) > 1:
        raise InvalidInput(f"{', '.join(path.name for path in paths)}: say which one is meant with {option}")
    return paths[0] if paths else None
