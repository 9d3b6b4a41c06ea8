"""What a backup is: an uncompressed tar of a library's files, and last a manifest of their sizes and hashes."""

import re
from pathlib import PurePosixPath
from typing import BinaryIO

import xxhash

from engine.errors import RebusError

FORMAT = 1
MANIFEST = "manifest.json"
CATALOG = "catalog.db"
ALONE = (CATALOG, "config.toml")
FOLDERS = {
    "embeddings": 3,
    "versions": 3,
    "thumbs": 3,
    "encoders": 8,
    "heads": 3,
}  # the parts that a path below them may have
_PART = re.compile(r"[^./\\:*?\"<>|\x00-\x1f\x7f][^/\\:*?\"<>|\x00-\x1f\x7f]{0,199}")


class BackupError(RebusError):
    """A backup cannot be written here, or a file is none, or it was damaged."""


def belongs(name: str) -> bool:
    """Whether a library has a file of this name, relative to its home, with `/`. No hidden names, no way out of it."""
    parts = PurePosixPath(name).parts
    if name != "/".join(parts) or not all(_PART.fullmatch(part) for part in parts):
        return False
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return name in ALONE or (1 < len(parts) <= FOLDERS.get(parts[0], 0))


class Hashed:
    """Reads at most `size` bytes of a file and hashes them on the way."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left, self._digest = file, size, xxhash.xxh3_128()
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        """As a file does, up to the bytes that were asked for."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._digest.update(data)
        self._left -= len(data)
        self.bytes += len(data)
        return data

    @property
    def facts(self) -> dict[str, str | int]:
        """The manifest's entry of what was read."""
        return {"bytes": self.bytes, "xxh3_128": self._digest.hexdigest()}
