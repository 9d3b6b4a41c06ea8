"""Files as bytes, read with limits. Files are hostile: only regular files are opened, and links are never followed."""

import errno
import io
import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

import xxhash

from engine.errors import MediaError, NotFound
from engine.media.tars import Member, Shard, read_shard

TAR = ".tar"
_BLOCK = 1 << 20
_MOST_REMEMBERED = 300_000  # members of the tars that are remembered: some 60 MB
_MOST_SHARDS = 64
_shards: OrderedDict[Path, tuple[tuple[int, int], Shard | None]] = OrderedDict()
_lock = threading.Lock()


def open_file(path: Path, max_bytes: int) -> BinaryIO:
    """A regular file, or a member of a tar of pictures, open for reading.

    Raises MediaError for a link, a device, an unreadable, empty or large file.
    """
    tar = _tar_of(path)
    file = _open_regular(tar or path)
    try:
        start, size = _member(file, tar, path) if tar else (0, os.fstat(file.fileno()).st_size)
        if size == 0:
            raise MediaError("read", "the file is empty", "copy it again from its source")
        if size > max_bytes:
            reason = f"{size:,} bytes, over the limit of {max_bytes:,}"
            raise MediaError("read", reason, "raise media.max_bytes, or media.max_film_bytes for films and sounds")
    except BaseException:
        file.close()
        raise
    return io.BufferedReader(Member(file, start, size)) if tar else file


def list_shard(tar: Path) -> Shard | None:
    """The members of a tar of pictures, None for any other tar. Raises MediaError when it cannot be opened."""
    with _open_regular(tar) as file:
        return _shard(file, tar)


def _open_regular(path: Path) -> BinaryIO:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise MediaError("read", _os_reason(error), "check that the file exists and may be read") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # open() below would refuse a folder with an error of its own
        os.close(descriptor)
        raise MediaError("read", "not a regular file", "move it out of the media folder")
    return open(descriptor, "rb")


def _tar_of(path: Path) -> Path | None:
    """The tar that a path leads into, if it does."""
    if TAR not in os.fspath(path).lower():
        return None
    tars = (parent for parent in path.parents if parent.name.lower().endswith(TAR) and parent.is_file())
    return next(tars, None)


def _member(file: BinaryIO, tar: Path, path: Path) -> tuple[int, int]:
    """Where a member begins in its tar, and its size."""
    shard = _shard(file, tar)
    place = shard.members.get(path.relative_to(tar).as_posix()) if shard else None
    if place is None:
        raise MediaError("read", "it is gone", "check that the tar still holds it")
    return place


def _shard(file: BinaryIO, tar: Path) -> Shard | None:
    """What the tar holds, remembered while it does not change."""
    facts = os.fstat(file.fileno())
    state = facts.st_size, facts.st_mtime_ns
    with _lock:
        if tar not in _shards or _shards[tar][0] != state:
            _shards[tar] = state, read_shard(file)
        _shards.move_to_end(tar)
        held = sum(len(shard.members) for _, shard in _shards.values() if shard)
        while len(_shards) > 1 and (held > _MOST_REMEMBERED or len(_shards) > _MOST_SHARDS):
            _, dropped = _shards.popitem(last=False)[1]
            held -= len(dropped.members) if dropped else 0
        return _shards[tar][1]


def read_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file. Raises MediaError as `open_file`."""
    with open_file(path, max_bytes) as file:
        try:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            return file.read(size)  # as much is set aside before anything is read
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
    return hash_and_size(path, max_bytes)[0]


def hash_and_size(path: Path, max_bytes: int) -> tuple[str, int]:
    """The content hash, and how many bytes were read for it. Raises MediaError as `open_file`."""
    digest, size = xxhash.xxh3_128(), 0
    with open_file(path, max_bytes) as file:
        try:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
        except OSError as error:
            raise MediaError("read", _os_reason(error), "check the disk the file is on") from None
    return digest.hexdigest(), size


def hash_bytes(data: bytes) -> str:
    """The xxh3 hash of 128 bits, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(data)


def file_inside(root: Path, path: Path) -> Path:
    """`path`, when it is a regular file that lies inside `root` without passing a link, or a member of such a tar.

    Raises NotFound.
    """
    tar = _tar_of(path)
    place = tar or path
    try:
        inside = place.resolve(strict=True) == root.resolve(strict=True) / place.relative_to(root)
        if inside and tar:
            with _open_regular(tar) as file:
                _member(file, tar, path)
    except (OSError, RuntimeError, ValueError, MediaError):  # Python before 3.13: RuntimeError for links in a circle
        inside = False
    if not inside or not place.is_file():
        raise NotFound("the original is no longer where it was indexed: run `rebus index` again")
    return path


def _os_reason(error: OSError) -> str:
    known = {
        errno.EACCES: "no permission to read it",
        errno.ELOOP: "it is a link",
        errno.ENOENT: "it is gone",
        errno.ENXIO: "not a regular file",
    }
    return known.get(error.errno or 0, error.strerror or str(error))
