"""Files as bytes, read with limits. Files are hostile: only regular files are opened, and links are never followed."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

import xxhash

from engine.errors import MediaError, NotFound

_BLOCK = 1 << 20


def open_file(path: Path, max_bytes: int) -> BinaryIO:
    """A regular file, open for reading. Raises MediaError for a link, a device, an unreadable, empty or large file."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise MediaError("read", _os_reason(error), "check that the file exists and may be read") from None
    facts = os.fstat(descriptor)
    problem: tuple[str, str] | None = None
    if not stat.S_ISREG(facts.st_mode):  # open() below would refuse a folder with an error of its own
        problem = "not a regular file", "move it out of the media folder"
    elif facts.st_size == 0:
        problem = "the file is empty", "copy it again from its source"
    elif facts.st_size > max_bytes:
        problem = f"{facts.st_size:,} bytes, over the limit of {max_bytes:,}", "raise max_bytes in config.toml"
    if problem:
        os.close(descriptor)
        raise MediaError("read", *problem)
    return open(descriptor, "rb")


def read_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file. Raises MediaError as `open_file`."""
    with open_file(path, max_bytes) as file:
        try:
            return file.read(os.fstat(file.fileno()).st_size)  # as much is set aside before anything is read
        except OSError as error:
            raise MediaError("read", _os_reason(error), "check the disk the file is on") from None


def read_text(path: Path, max_bytes: int) -> str:
    """The text of a UTF-8 file, with or without a byte order mark. Raises MediaError, for bad bytes too."""
    try:
        return read_file(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(
            "caption", f"not UTF-8 text: {error.reason} at byte {error.start}", "save it as UTF-8"
        ) from None


def hash_file(path: Path, max_bytes: int) -> str:
    """The content hash by which moved and copied files are known again. Raises MediaError as `open_file`."""
    digest = xxhash.xxh3_128()
    with open_file(path, max_bytes) as file:
        try:
            while block := file.read(_BLOCK):
                digest.update(block)
        except OSError as error:
            raise MediaError("read", _os_reason(error), "check the disk the file is on") from None
    return digest.hexdigest()


def hash_bytes(data: bytes) -> str:
    """The xxh3 hash of 128 bits, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(data)


def file_inside(root: Path, path: Path) -> Path:
    """`path`, when it is a regular file that lies inside `root` without passing a link. Raises NotFound."""
    try:
        inside = path.resolve(strict=True) == root.resolve(strict=True) / path.relative_to(root)
    except (OSError, RuntimeError, ValueError):  # Python before 3.13 raises RuntimeError for links in a circle
        inside = False
    if not inside or not path.is_file():
        raise NotFound("the original is no longer where it was indexed: run `rebus index` again")
    return path


def _os_reason(error: OSError) -> str:
    known = {
        errno.EACCES: "no permission to read it",
        errno.ELOOP: "it is a link",
        errno.ENOENT: "it is gone",
    }
    return known.get(error.errno or 0, error.strerror or str(error))
