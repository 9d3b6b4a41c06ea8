"""How times, sizes and places in a file are said, on the page as on the command line."""

import re
from pathlib import PurePath

from engine.media import modality_of
from engine.types import Modality, Results

PAGED = (".pdf", ".tif", ".tiff")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: object) -> str:
    """Text from outside, such as a file's name, for one line that a person reads.

    What would move a terminal's cursor, end the line or turn its direction is written as Python escapes it.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def duration(seconds: float) -> str:
    """A length of time: `40 s`, `3 min`, `2 h 5 min`."""
    if seconds < 59.5:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def counted(count: int, noun: str, one: str = "", many: str = "") -> str:
    """How many there are of something: `1 file`, `1,200 files`; with what one or many do: `1 file is`."""
    said = f"{count:,} {noun}{'' if count == 1 else 's'}"
    return f"{said} {one if count == 1 else many}" if one else said


def readable_bytes(count: int) -> str:
    """A size, in powers of a thousand."""
    if count == 1:
        return "1 byte"
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def clock(milliseconds: int) -> str:
    """A moment of a film or a sound: `1:23`, `1:02:03`."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def place_in(path: str, position: int | None, modality: Modality) -> str | None:
    """Where in its file an item is: `p. 4`, `frame 5` or `1:23`; None for the whole file.

    position: as the item has it: page or frame number from 0, or milliseconds. Words are placed by their file's kind.
    """
    if position is None:
        return None
    suffix, kind = PurePath(path).suffix.lower(), modality_of(path) if modality is Modality.TEXT else modality
    if kind in (Modality.VIDEO, Modality.AUDIO):
        return clock(position)
    if suffix in PAGED:
        return f"p. {position + 1}" if position or suffix == ".pdf" else None
    return f"frame {position + 1}" if position and kind is Modality.IMAGE else None


def explained(results: Results) -> list[str]:
    """What each stage of a search looked at, and its milliseconds: a line each."""
    depths, took = results.depths, results.took_ms
    said = {"refine": f"{depths.get('candidates', 0):,} candidates by their float16 vectors"}
    if "exact" in depths:
        said["exact"] = f"all {depths['exact']:,} vectors that may be found"
    elif "probes" in depths:
        said["recall"] = (
            f"{depths['codes']} codes in {depths['probes']:,} of {counted(depths['lists'], 'list')} of "
            f"{counted(depths['items'], 'item')}"
        )
    else:
        said["recall"] = f"{depths.get('codes')} codes of {counted(depths.get('items', 0), 'item')}"
    if "measured_recall" in depths:
        said["refine"] += f"; recall@10 measured: {depths['measured_recall']:.3f}"
    said["cascade"] = f"{said.get('recall')}; {said['refine']}"
    return [f"{stage:8} {ms:9.2f} ms  {said.get(stage, '')}".rstrip() for stage, ms in took.items()]
