"""Folders of pictures with captions, for tests of what is found beside them."""

import json
from pathlib import Path

from engine.config import CaptionSettings
from indexer.found import Folder, FoundFile
from indexer.sidecars import CaptionReader, Captions
from indexer.walk import walk


def touch(path: Path) -> None:
    """A file that no one decodes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def table(folder: Path, *rows: object, name: str = "captions.jsonl") -> None:
    """A table of JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def found(root: Path, picture: str, **settings: object) -> tuple[CaptionReader, Folder, FoundFile]:
    """A reader, and a picture as a walk finds it."""
    reader = CaptionReader(root, CaptionSettings(**settings))  # type: ignore[arg-type]
    for folder in walk(root, root, root / ".home"):
        for file in folder.media:
            if file.path == picture:
                return reader, folder, file
    raise AssertionError(f"the walk does not find {picture}")


def said(root: Path, picture: str, **settings: object) -> Captions:
    """What the sidecars say of a picture."""
    reader, folder, file = found(root, picture, **settings)
    return reader.read(folder, file)


def texts(root: Path, picture: str, **settings: object) -> list[str]:
    """The captions of a picture."""
    return [caption.text for caption in said(root, picture, **settings).texts]


def stamp(root: Path, picture: str) -> str:
    """The stamp of a picture's sidecars."""
    reader, folder, file = found(root, picture)
    return reader.stamp(folder, file)
