"""Tars of pictures, as webdataset and img2dataset write them, read as if they were folders. Nothing is extracted.

A tar is hostile as any file: its headers are read with a bound, and no size in them is believed past the tar's end.
"""

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from engine.media.values import one_line

_FIRST = frozenset((".jpg", ".jpeg", ".png", ".webp", ".txt", ".json"))
_MOST_MEMBERS = 250_000
_LARGEST_HEADER = 1 << 18  # bytes before one member: its header, a long name, facts
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)


@dataclass(frozen=True, slots=True)
class Shard:
    """members: (offset, size) in bytes by name, in the order of the tar. problem: why there may be more, or None."""

    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    problem: str | None = None


class _CutOff(tarfile.ReadError):
    """A member of a shard reaches past the end."""


class _Bounded:
    """A file for tarfile, which would read as much for a header as a tar claims that it has."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.tell, self.seek = file, file.tell, file.seek
        self.left = _LARGEST_HEADER

    def read(self, size: int) -> bytes:
        self.left -= size
        if size < 0 or self.left < 0:
            raise tarfile.ReadError("a header without measure")
        return self.file.read(size)


def read_shard(file: BinaryIO) -> Shard | None:
    """The members of a tar; None for what is no tar of pictures, captions and facts, at most one folder deep."""
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    bounded, last = _Bounded(file), -1
    members: dict[str, tuple[int, int]] = {}
    try:
        tar = tarfile.open(fileobj=cast(BinaryIO, bounded), mode="r:")
        while (member := tar.next()) is not None:
            bounded.left = _LARGEST_HEADER
            tar.members = []  # type: ignore[attr-defined]  # it would keep them all
            if member.offset <= last:
                raise tarfile.ReadError("its headers run in a circle")
            last = member.offset
            if not _take_in(member, end, members):
                return None
            if len(members) >= _MOST_MEMBERS:
                return Shard(members, f"more than {_MOST_MEMBERS:,} files in one tar: the others are left out")
        file.seek(tar.offset)
        whole = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)  # tarfile takes any odd block for the end
        return Shard(members, None if whole else "the tar is damaged or ends early") if members else None
    except Exception as error:  # tarfile raises nearly anything on damaged headers; none of it may stop a run
        if not members and not isinstance(error, _CutOff):  # a shard that is cut off in its first member is one, too
            return None
        return Shard(members, f"the tar is damaged or ends early: {one_line(str(error), 200)}")


def _take_in(member: tarfile.TarInfo, end: int, members: dict[str, tuple[int, int]]) -> bool:
    """Note a member. False when no shard holds such a one."""
    if member.isdir():
        return True
    path = PurePosixPath(member.name)
    parts = path.parts
    if (
        member.type not in _REGULAR
        or member.issparse()
        or member.size < 0
        or not 1 <= len(parts) <= 2
        or "\0" in member.name
    ):
        return False
    if ".." in parts or path.is_absolute() or not (members or path.suffix.lower() in _FIRST):
        return False
    if member.offset_data + member.size > end:
        raise _CutOff(f"{path} is cut off")
    members[path.as_posix()] = member.offset_data, member.size
    return True


class Member(io.RawIOBase):
    """A member as a file of its own: `size` bytes of `file` from `start`. Closing it closes the file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes from the member's start."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the member."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, at most to the member's end."""
        wanted = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close it, and the tar."""
        self._file.close()
        super().close()
