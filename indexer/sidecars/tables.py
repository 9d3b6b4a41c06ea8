"""The rows of caption tables, as JSON lines, CSV and Parquet hold them, read a few at a time."""

import csv
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from engine.config import CaptionSettings
from engine.errors import MediaError
from engine.media.files import open_file
from indexer.found import FoundFile
from indexer.sidecars.names import bare, is_shard_table
from indexer.sidecars.own import HINT
from indexer.sidecars.rows import FIXED_KEYS, NAME_KEYS, lowered, why_no_json

Row = dict[str, object]

_LONGEST_LINE = 16 << 20  # bytes
_BATCH, _BATCH_BYTES = 512, 1 << 30  # rows of Parquet in memory at once, and what they can come to at worst
_ROW_BYTES = 64  # that a row counts for besides its words: a few bytes can stand for any number of equal rows
_TOO_LARGE = "raise captions.max_bytes in config.toml, or cut it in parts"
SHARD_KEYS = ("key",)


class ForeignTable(MediaError):
    """A table without a column of pictures' names: it may be another program's."""


def read_rows(root: Path, source: FoundFile, settings: CaptionSettings) -> Iterator[tuple[str, Row | ValueError]]:
    """(where, row with keys in lower case, or what is wrong with it) of each row. Raises MediaError."""
    if source.size == 0:
        return  # no captions is no failure
    if source.size > settings.max_bytes:
        raise MediaError("caption", f"{source.size:,} bytes, over the limit of {settings.max_bytes:,}", _TOO_LARGE)
    kind = {".jsonl": _from_json_lines, ".csv": _from_csv}.get(source.path[source.path.rfind(".") :].lower())
    with open_file(root / source.path, settings.max_bytes) as file:
        try:
            yield from kind(file) if kind else _from_parquet(file, bare(source.path), settings)
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise MediaError("read", reason, "check the disk the file is on") from None


def source_name(table: str) -> str:
    """What the captions of a table at this path are noted to come from."""
    return "img2dataset" if is_shard_table(bare(table)) else f"captions{table[table.rfind('.') :].lower()}"


def is_of_table(source: str) -> bool:
    """Whether words of this source are a table's; img2dataset's may be, which also writes files beside pictures."""
    return source.startswith("captions.") or source == "img2dataset"


def _from_json_lines(file: BinaryIO) -> Iterator[tuple[str, Row | ValueError]]:
    for number, line in enumerate(_lines(file), 1):
        if line is None or line.strip():
            yield f"line {number}", _json_line(line)


def _json_line(line: bytes | None) -> Row | ValueError:
    if line is None:
        return ValueError("too long a line")
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return ValueError(f"not UTF-8 text: {error.reason} at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return ValueError(why_no_json(error))
    return lowered(row) if isinstance(row, dict) else ValueError("not a JSON object")


def _from_csv(file: BinaryIO) -> Iterator[tuple[str, Row | ValueError]]:
    """Rows under a header. Bytes that are not UTF-8 are told of their row alone."""
    lines = ((line or b"\n").decode("utf-8", "surrogateescape") for line in _lines(file))
    heading = next(lines, "").removeprefix("\ufeff")
    reader = csv.reader(chain([heading], lines), delimiter=max(",;\t|", key=heading.count))
    keys: list[str] | None = None
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {reader.line_num}", ValueError(str(error))
            values = []
        if keys is None:
            keys = [key.strip().lower() for key in values]
            if not _is_text(heading) and not set(NAME_KEYS) & set(keys):
                yield "line 1", ValueError("not UTF-8 text")  # no table, or one in another encoding
                return
        elif values:
            yield f"line {reader.line_num}", _csv_row(keys, values)


def _csv_row(keys: list[str], values: list[str]) -> Row | ValueError:
    if len(values) > len(keys):
        return ValueError(f"{len(values)} values under {len(keys)} names of columns: quote what holds a separator")
    if not all(map(_is_text, values)):
        return ValueError("not UTF-8 text")
    return dict(zip(keys, values, strict=False))


def _is_text(value: str) -> bool:
    """Whether it holds no zero bytes, and none that were not UTF-8."""
    return "\0" not in value and (value.isascii() or not any("\udc80" <= c <= "\udcff" for c in value))


def _from_parquet(file: BinaryIO, name: str, settings: CaptionSettings) -> Iterator[tuple[str, Row | ValueError]]:
    import pyarrow.parquet as pq  # a third of a second, and most libraries hold no Parquet

    try:
        table = pq.ParquetFile(file, memory_map=False, pre_buffer=False)
        columns = _columns(table, name, settings)
        number = produced = 0
        for packed in table.iter_batches(_batch_rows(table), columns=list(columns), use_threads=False):
            batch = _unpacked(packed)
            produced += batch.nbytes + _ROW_BYTES * batch.num_rows
            if produced > settings.max_bytes:
                used = f"its first {number:,} rows are used"
                reason = f"more than {settings.max_bytes:,} bytes once it is unpacked; {used}"
                raise MediaError("caption", reason, _TOO_LARGE)
            for row in _rows_of(batch):
                number += 1
                yield f"row {number}", row if isinstance(row, ValueError) else lowered(row)
    except MediaError:
        raise
    except Exception as error:  # Arrow raises nearly anything on damaged data; none of it may stop a run
        reason = f"damaged Parquet: {(str(error).splitlines() or ['it cannot be decoded'])[0]}"
        raise MediaError("caption", reason, "write it again with the program it comes from") from None


def _batch_rows(table: Any) -> int:
    """Rows to read at once: each may be as long as the longest column of a row group, when a dictionary holds it."""
    groups = [table.metadata.row_group(number) for number in range(table.metadata.num_row_groups)]
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    largest: int = max((column.total_uncompressed_size for column in columns), default=1)
    return min(max(_BATCH_BYTES // max(largest, 1), 1), _BATCH)


def _unpacked(batch: Any) -> Any:
    """The Arrow batch with every value in full, so that its size is that of what is read."""
    import pyarrow as pa

    columns = [each.dictionary_decode() if pa.types.is_dictionary(each.type) else each for each in batch.columns]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _rows_of(batch: Any) -> Iterator[Row | ValueError]:
    """The rows of an Arrow batch; of one with bytes that are not UTF-8, those rows that have none."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for number in range(batch.num_rows):
            try:
                yield from batch.slice(number, 1).to_pylist()
            except UnicodeDecodeError:
                yield ValueError("not UTF-8 text")


def _columns(table: Any, name: str, settings: CaptionSettings) -> dict[str, str]:
    """The columns to read, with what they are called in lower case. Raises MediaError when it is no caption table."""
    import pyarrow as pa

    wanted = FIXED_KEYS | {code.lower() for code in settings.languages}
    wanted |= set(SHARD_KEYS) if is_shard_table(name) else set()
    schema, metadata = table.schema_arrow, table.metadata
    found: dict[str, str] = {}
    for each in schema:
        kind = each.type.value_type if pa.types.is_dictionary(each.type) else each.type
        words = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        listed = pa.types.is_list(kind) and pa.types.is_string(kind.value_type)
        key = each.name.strip().lower()
        number = pa.types.is_floating(kind) or (key == "category" and pa.types.is_integer(kind))
        if key in wanted and key not in found.values() and (words or listed or number):
            found[each.name] = key
    names = SHARD_KEYS if is_shard_table(name) else NAME_KEYS
    if not set(names) & set(found.values()):
        reason = f"names no picture: it has no column of strings called {', '.join(names)}"
        raise ForeignTable("caption", reason, HINT)
    size = sum(
        column.total_uncompressed_size
        for group in (metadata.row_group(number) for number in range(metadata.num_row_groups))
        for column in (group.column(number) for number in range(metadata.num_columns))
        if column.path_in_schema.split(".")[0] in found
    )
    if size > settings.max_bytes:
        reason = f"{metadata.num_rows:,} rows of {size:,} bytes, over the limit of {settings.max_bytes:,}"
        raise MediaError("caption", reason, _TOO_LARGE)
    return found


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file; None for one that is too long."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
            pass
        yield None
