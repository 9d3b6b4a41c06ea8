"""Weights and manifests on disk: written whole or not at all, and checked when loaded.

An artifact is a folder with `manifest.json` and data files. The manifest lists every file with its size and
hash, and its own hash, since format 2; it is written last, and the folder takes its final name only once everything
is on the disk.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash

from engine.errors import ArtifactError

FORMAT = 3  # written; every one up to it is read
MANIFEST = "manifest.json"
_OWN = "xxh3_128"
_TEMPORARY = ".tmp-"


@contextmanager
def write_artifact(folder: Path, manifest: dict[str, Any]) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success it becomes `folder`, complete and synced, in one rename.

    `manifest` (JSON values) may be changed until the block ends. An existing `folder` is replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        yield temporary
        files = {path.name: _describe(path) for path in sorted(temporary.iterdir())}
        facts = {**manifest, "format": FORMAT, "files": files}
        text = json.dumps({**facts, _OWN: _digest(facts)}, indent=1, sort_keys=True)
        (temporary / MANIFEST).write_text(text + "\n", encoding="utf-8")
        for path in (*temporary.iterdir(), temporary):
            sync(path)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_manifest(folder: Path, *, whole: bool = True) -> dict[str, Any]:
    """The manifest of an artifact whose files are all there with the right sizes and hashes.

    whole: False looks at no file but the manifest, for what it tells. Raises ArtifactError for a missing, short or
    altered file, or a format this release does not know.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, number = dict(manifest["files"]), manifest["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{folder} holds no readable {MANIFEST} ({error}): build it again") from None
    if number not in range(1, FORMAT + 1):
        raise ArtifactError(
            f"{folder} has format {number}, this release reads up to {FORMAT}: upgrade Rebus, or build it again"
        )
    own = manifest.pop(_OWN, None)
    if own != _digest(manifest) and (own is not None or number > 1):  # format 1 had no hash of itself
        raise ArtifactError(f"{folder / MANIFEST} was altered: build it again")
    for name, expected in files.items() if whole else ():
        if not (folder / name).is_file() or _describe(folder / name) != expected:
            raise ArtifactError(f"{folder / name} is missing or was altered: build it again")
    return manifest


def remove_leftovers(parent: Path) -> int:
    """Delete temporary folders and files that a killed process left in `parent`; return how many."""
    leftovers = list(parent.glob(f"{_TEMPORARY}*")) if parent.is_dir() else []
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one."""
    temporary = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Flush a file's or a folder's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(facts: dict[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(facts, sort_keys=True).encode())


def _describe(path: Path) -> dict[str, Any]:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return {"bytes": path.stat().st_size, "xxh3_128": digest.hexdigest()}
