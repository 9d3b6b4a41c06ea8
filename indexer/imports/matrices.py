"""Matrices of features: NumPy files read through memory maps, several as one, and checked before they are used."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import InvalidInput
from engine.types import F16, I64, Array
from indexer.jobs import Tell

_BLOCK = 1 << 22  # numbers looked at together: bounds the memory of a check
_WIDEST = 1 << 16
_SHOWN = 3  # bad rows named in a message


@dataclass(frozen=True, slots=True)
class Matrix:
    """(n, d) numbers, the rows of `parts` one after another. names: what messages call each part."""

    names: tuple[str, ...]
    parts: tuple[Array, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, named: Sequence[tuple[str, Array]]) -> "Matrix":
        """Raises InvalidInput unless the parts are matrices of numbers, of one width, with at least a row each."""
        for name, part in named:
            _check_shape(name, part)
            if part.shape[1] != named[0][1].shape[1]:
                raise InvalidInput(
                    f"{name} has rows of {part.shape[1]:,} numbers, {named[0][0]} of {named[0][1].shape[1]:,}: all "
                    "parts must come from one encoder"
                )
        starts = np.cumsum([0, *(len(part) for _, part in named)]).tolist()
        return cls(tuple(name for name, _ in named), tuple(part for _, part in named), tuple(starts))

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def width(self) -> int:
        """d, the numbers in a row."""
        return int(self.parts[0].shape[1])

    def read(self, rows: I64) -> F16:
        """These rows (k, d) as they are stored."""
        out = np.empty((len(rows), self.width), np.float16)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(owner):
            chosen = owner == number
            out[chosen] = self.parts[number][rows[chosen] - self.starts[number]]
        return out

    def where(self, row: int) -> str:
        """What a message calls a row: its file, and its number there from 0 on."""
        number = bisect_right(self.starts, row) - 1
        return f"{self.names[number]}, row {row - self.starts[number]:,}"

    def check(self, what: str, tell: Tell) -> None:
        """Raises InvalidInput, naming rows, unless float16 can hold every number."""
        step = max(1, _BLOCK // self.width)
        for start, block in self._blocks(step):
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                half = block.astype(np.float16)
            self._refuse(start, ~np.all(np.isfinite(block), axis=1), "NaN or infinity", "leave these pictures out")
            self._refuse(start, ~np.all(np.isfinite(half), axis=1), "numbers beyond 65,504", "scale all features down")
            lost = ~np.any(half, axis=1) & np.any(block, axis=1)
            self._refuse(start, lost, "numbers too small for float16 alone", "scale all features up")
            tell(f"checking {what}", start + len(block), len(self))

    def _blocks(self, step: int) -> Iterator[tuple[int, Array]]:
        for start, part in zip(self.starts, self.parts, strict=False):
            for at in range(0, len(part), step):
                yield start + at, np.asarray(part[at : at + step])

    def _refuse(self, start: int, bad: Array, what: str, hint: str) -> None:
        rows = np.flatnonzero(bad)
        if len(rows):
            named = "; ".join(self.where(start + int(row)) for row in rows[:_SHOWN])
            more = f"; and {len(rows) - _SHOWN:,} more nearby" if len(rows) > _SHOWN else ""
            raise InvalidInput(f"features hold {what}: {named}{more}. {hint[0].upper()}{hint[1:]}")


def open_npy(path: Path) -> Array:
    """A NumPy file through a memory map. Raises InvalidInput for one that is missing, cut short or holds objects."""
    if not path.is_file():
        raise InvalidInput(f"no file at {path}")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, OverflowError, SyntaxError) as error:
        if "object" in str(error).lower() or "pickle" in str(error):
            reason = "holds Python objects or is no NumPy file; save plain numbers with numpy.save"
        else:
            reason = f"is damaged, cut short or empty ({error}); copy it again from its source"
        raise InvalidInput(f"{path} {reason}") from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise InvalidInput(f"{path} is an archive of arrays: save the one that is meant with numpy.save")
    return found


def open_owners(path: Path, texts: int, images: int) -> I64:
    """(texts,) the row of the picture that each text vector describes. Raises InvalidInput for what cannot be that."""
    found = open_npy(path)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise InvalidInput(f"{path} has shape {found.shape} of {found.dtype}: owners are one whole number a text")
    if len(found) != texts:
        raise InvalidInput(f"{path} has {len(found):,} owners for {texts:,} text vectors")
    owners = found.astype(np.int64)
    wrong = np.flatnonzero((owners < 0) | (owners >= images))
    if len(wrong):
        raise InvalidInput(f"{path}, row {wrong[0]:,}: {owners[wrong[0]]} is none of the {images:,} rows of pictures")
    return owners


def _check_shape(name: str, part: Array) -> None:
    if part.ndim != 2:
        raise InvalidInput(f"{name} has shape {part.shape}: features are a matrix, with one row a picture or text")
    if part.dtype.kind not in "fiu":
        raise InvalidInput(f"{name} holds {part.dtype}: features are plain numbers, best as float16 or float32")
    if not part.size:
        raise InvalidInput(f"{name} is empty: its shape is {part.shape}")
    if part.shape[1] > _WIDEST:
        raise InvalidInput(f"{name} has rows of {part.shape[1]:,} numbers, over the limit of {_WIDEST:,}")
