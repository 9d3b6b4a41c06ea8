"""What a library holds and what is being done to it: for the command line, the page and /metrics. Nothing heavy here.

Counting a large library takes a moment: whoever asks again and again asks a `LiveStatus`.
"""

import os
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import (
    Catalog,
    Embedding,
    EncoderRow,
    Failure,
    HeadRow,
    IndexVersion,
    Item,
    Job,
    Root,
    dims_of,
    is_scanned,
)
from engine.types import Modality
from engine.words import duration, readable_bytes

T = TypeVar("T")
REPORT = "evaluation.html"  # in the home: the last report of `rebus eval`
MAPS = "maps"  # below a home: the map of each version, by its number
SILENT_S = 30.0  # a running job writes about once a second
_ENCODABLE = (Modality.IMAGE, Modality.TEXT, Modality.VIDEO)
_ORDER = (*_ENCODABLE, Modality.AUDIO)
_SHARE = 20  # a value is kept for so many times as long as reading it took
_DISK_S = 60.0
_JOBS_SHOWN, _REASONS_SHOWN = 10, 20
_NUMBERS = re.compile(r"\d[\d,.]*\d|\d")

_PLACE_BYTES = 16  # of an item in a version: its id and its place
_ROW_BYTES = 104  # of an embedding's row in the catalog, with its indexes, and of its checksum


def summarize(catalog: Catalog) -> dict[str, Any]:
    """Counts, the version served, the last jobs and bytes on the disk, as JSON values."""
    return LiveStatus(catalog).read()


class Remembered(Generic[T]):
    """A value that takes time to read, kept for `seconds`, and for twenty times as long as reading it took."""

    def __init__(self, read: Callable[[], T], seconds: float = 0.0) -> None:
        self._read, self._seconds = read, seconds
        self._lock, self._until = threading.Lock(), float("-inf")
        self._value: T

    def __call__(self) -> T:
        """The value; callers that come while it is being read wait for it."""
        with self._lock:
            began = time.monotonic()
            if began >= self._until:
                self._value = self._read()
                ended = time.monotonic()
                self._until = ended + max(self._seconds, _SHARE * (ended - began))
            return self._value


class LiveStatus:
    """The state of one library for those who ask every second or two: jobs are always new, counts nearly so."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.counts = Remembered(lambda: counts(catalog))
        self.disk_bytes = Remembered(lambda: _disk_bytes(catalog.home), _DISK_S)

    def read(self) -> dict[str, Any]:
        """What `summarize` says."""
        jobs = latest_jobs(self._catalog)
        return {"home": str(self._catalog.home), **self.counts(), "jobs": jobs, "disk_bytes": self.disk_bytes()}


def counts(catalog: Catalog) -> dict[str, Any]:
    """Folders, items by modality, files, what waits for an embedding, failures, and the version served.

    pending: items that can be embedded and are not; no_encoder: recognised ones that no encoder takes yet, nor a head.
    """
    version = catalog.current_version()
    with catalog.session() as session:
        items, files = _present(session)
        encoder = session.get(EncoderRow, version.encoder_id) if version else None
        read = {m for m in _ENCODABLE if encoder is None or m in dims_of(encoder)}
        embeddable = sum(items.get(modality, 0) for modality in read)
        beside = {m for m in items if m not in read and version is not None and m in version.counts}
        stages, groups = _failures_grouped(session)
        return {
            "roots": list(session.scalars(sa.select(Root.path).order_by(Root.id))),
            "items": items,
            "files": files,
            "pending": embeddable - _settled(session, version.encoder_id if version else None, read),
            "no_encoder": sum(items.values()) - embeddable - sum(items[modality] for modality in beside),
            "failures": sum(stages.values()),
            "failures_by_stage": stages,
            "failure_reasons": groups,
            "version": version_facts(version, encoder) if version and encoder else None,
        }


def failures(catalog: Catalog, limit: int = 1000, offset: int = 0) -> list[dict[str, str]]:
    """Files that could not be used, by path: root, path, stage, reason, hint."""
    query = sa.select(Failure, Root.path).join(Root, Root.id == Failure.root_id)
    query = query.order_by(Root.path, Failure.path).limit(limit).offset(offset)
    with catalog.session() as session:
        return [
            {"root": root, "path": row.path, "stage": row.stage, "reason": row.reason, "hint": row.hint}
            for row, root in session.execute(query)
        ]


def head_facts(catalog: Catalog) -> list[dict[str, Any]]:
    """Every trained head by id, with its report. served: the version that answers projects with it."""
    version = catalog.current_version()
    with catalog.session() as session:
        return [
            {
                "id": row.id,
                "method": row.method,
                "promoted": row.promoted,
                "served": version is not None and version.head_id == row.id,
                "created_at": row.created_at,
                "mismatched": {},
                **row.report,
            }
            for row in session.scalars(sa.select(HeadRow).order_by(HeadRow.id))
        ]


def latest_jobs(catalog: Catalog) -> list[dict[str, Any]]:
    """The last jobs, newest first. alive: it runs and wrote of late; line: what a running one is doing, in words."""
    now = time.time()
    with catalog.session() as session:
        return [_job(job, now) for job in session.scalars(sa.select(Job).order_by(Job.id.desc()).limit(_JOBS_SHOWN))]


def running_job(catalog: Catalog) -> dict[str, Any] | None:
    """The newest job that is alive."""
    return next((job for job in latest_jobs(catalog) if job["alive"]), None)


def job_totals(catalog: Catalog) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    """How many jobs ended by (kind, state), and the files, failed and bytes of all jobs together."""
    ended = sa.select(Job.kind, Job.state, sa.func.count()).where(Job.state != "running").group_by(Job.kind, Job.state)
    sums = sa.select(*(sa.func.coalesce(sa.func.sum(column), 0) for column in (Job.files, Job.failed, Job.bytes)))
    with catalog.session() as session:
        numbers = {(kind, state): count for kind, state, count in session.execute(ended)}
        files, failed, size = session.execute(sums).one()
    return numbers, {"files": int(files), "failed": int(failed), "bytes": int(size)}


def embedded_after(encoder_id: int, watermark: int) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions on Embedding and Item for present items embedded after the watermark.

    Nearly all embeddings are of one encoder: arithmetic keeps a database from looking these up by their index, which
    takes a thousand times as long as beginning at the watermark.
    """
    return Embedding.id > watermark, Embedding.encoder_id + 0 == encoder_id, Item.removed_at.is_(None)


def lacking(catalog: Catalog, version: IndexVersion) -> tuple[int, int]:
    """How many embeddings a version does not hold, and how many of its items were removed since it was published."""
    newer = sa.select(sa.func.count()).select_from(Embedding).join(Item, Item.id == Embedding.item_id)
    newer = newer.where(*embedded_after(version.encoder_id, version.watermark))
    removed = sa.select(Item.id).where(Item.removed_at > version.published_at)
    with catalog.session() as session:
        return session.scalar(newer) or 0, _held(catalog.home / version.folder, session.scalars(removed).all())


def _held(folder: Path, ids: Sequence[int]) -> int:
    """How many of these items a version holds: a file that fails again was in none, and is not missed."""
    parts = sorted(folder.glob("*.ids.npy")) if ids else []
    if not parts:
        return len(ids)
    import numpy as np  # `rebus status` and most runs do without

    try:
        return sum(int(np.isin(ids, np.load(part, mmap_mode="r", allow_pickle=False)).sum()) for part in parts)
    except (OSError, ValueError):  # damaged, or dropped in this moment
        return len(ids)


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Bytes that embedding some items will take, and bytes free on the library's disk."""

    items: int
    bytes: int
    free: int


def disk_needed(catalog: Catalog, dim: int, bits: int, encoder_id: int | None = None) -> DiskNeed:
    """What it takes to embed the present items and publish them, with embeddings of `dim` and codes of `bits`.

    encoder_id: leave out what this encoder has embedded already. A version is counted once for the one that is built
    and once for the one it replaces.
    """
    query = sa.select(sa.func.count()).where(Item.removed_at.is_(None), Item.modality.in_(_ENCODABLE), is_scanned())
    if encoder_id is not None:
        done = sa.select(Embedding.id).where(Embedding.item_id == Item.id, Embedding.encoder_id == encoder_id)
        query = query.where(~done.exists())
    with catalog.session() as session:
        items = session.scalar(query) or 0
    size = items * (2 * dim + 2 * (bits // 8 + _PLACE_BYTES) + _ROW_BYTES)
    return DiskNeed(items, size, shutil.disk_usage(catalog.home).free)


def _present(session: Session) -> tuple[dict[str, int], int]:
    is_file = Item.parent_id.is_(None)
    query = sa.select(Item.modality, is_file, sa.func.count()).where(Item.removed_at.is_(None))
    items: Counter[str] = Counter()
    files = 0
    for modality, whole, count in session.execute(query.group_by(Item.modality, is_file)):
        items[modality] += count
        files += count if whole else 0
    return {modality: items[modality] for modality in _ORDER if items[modality]}, files


def _settled(session: Session, encoder_id: int | None, modalities: set[Modality]) -> int:
    """Items of these modalities that wait for no embedding: what this encoder has embedded, and what was imported."""
    present = sa.and_(Item.removed_at.is_(None), Item.modality.in_(modalities))
    imported = sa.select(sa.func.count()).select_from(Item).where(present, ~is_scanned())
    embedded = sa.select(sa.func.count()).select_from(Embedding).join(Item, Item.id == Embedding.item_id)
    embedded = embedded.where(Embedding.encoder_id == encoder_id, present, is_scanned())
    return sum(session.scalar(query) or 0 for query in (imported, embedded))


def _failures_grouped(session: Session) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Failures by stage, and the commonest reasons. Reasons that differ in a number alone are one."""
    query = sa.select(Failure.stage, Failure.reason, sa.func.count()).group_by(Failure.stage, Failure.reason)
    stages: Counter[str] = Counter()
    alike: dict[tuple[str, str], tuple[str, int]] = {}
    for stage, reason, count in session.execute(query.order_by(Failure.stage, Failure.reason)):
        stages[stage] += count
        key = stage, _NUMBERS.sub("…", reason)
        before = alike.get(key)
        alike[key] = (key[1], before[1] + count) if before else (reason, count)
    common = sorted(((count, stage, reason) for (stage, _), (reason, count) in alike.items()), key=lambda row: -row[0])
    rows = [{"count": count, "stage": stage, "reason": reason} for count, stage, reason in common[:_REASONS_SHOWN]]
    return dict(stages), rows


def _disk_bytes(home: Path) -> int:
    """Bytes of the files under the home. A file may go while they are counted: a running index makes temporaries."""
    total = 0
    for folder, _, names in os.walk(home):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def version_facts(version: IndexVersion, encoder: EncoderRow) -> dict[str, Any]:
    """What is told of a published version."""
    return {
        "id": version.id,
        "encoder": encoder.spec if encoder.spec.startswith("open_clip:") else Path(encoder.spec).name,
        "spec": encoder.spec,
        "fingerprint": encoder.fingerprint,
        "head": version.head_id,
        "published_at": version.published_at,
        "counts": version.counts,
    }


def _job(job: Job, now: float) -> dict[str, Any]:
    fields = (
        "id", "kind", "state", "done", "total", "message", "rate", "remaining_s", "files", "failed", "bytes",
        "started_at", "finished_at", "heartbeat_at",
    )  # fmt: skip
    facts: dict[str, Any] = {name: getattr(job, name) for name in fields}
    facts["alive"] = job.state == "running" and now - job.heartbeat_at <= SILENT_S
    facts["line"] = _line(facts) if facts["alive"] else None
    return facts


def _line(job: dict[str, Any]) -> str:
    """What a job is doing: "indexing: 1,240 of 7,000, 3 min left"."""
    doing = {"index": "indexing", "train": "training", "build": "building"}.get(job["kind"], job["kind"])
    parts = [f"{job['done']:,}" + (f" of {job['total']:,}" if job["total"] else " so far")]
    if job["remaining_s"] is not None:
        parts.append(f"{duration(job['remaining_s'])} left")
    return f"{doing}: {', '.join(parts)}"


def job_state(job: dict[str, Any]) -> str:
    """A job's state in words."""
    silent = job["state"] == "running" and not job["alive"]
    return "silent: it may have been killed" if silent else str(job["state"])


def status_lines(facts: dict[str, Any]) -> list[str]:
    """What `summarize` says, for a terminal."""
    items = ", ".join(f"{count:,} {modality}" for modality, count in sorted(facts["items"].items())) or "none"
    waiting = f"{facts['pending']:,} waiting for an embedding"
    if facts["no_encoder"]:
        waiting += f"; {facts['no_encoder']:,} recognised, no encoder yet"
    version = facts["version"]
    lines = [
        f"Library   {facts['home']}  ({facts['disk_bytes'] / 2**20:,.1f} MiB)",
        f"Folders   {', '.join(facts['roots']) or 'none'}",
        f"Items     {items}; from {facts['files']:,} files; {waiting}",
        f"Failures  {facts['failures']:,}" + ("  (rebus status --failures)" if facts["failures"] else ""),
        *(f"          {row['count']:,} × {row['reason']} ({row['stage']})" for row in facts["failure_reasons"]),
        _version_words(version) if version else "Version   none published yet",
    ]
    newest = facts["jobs"][:1]
    lines += [f"Job       {words}" for job in newest if (words := _job_words(job))]
    return lines


def _version_words(version: dict[str, Any]) -> str:
    head = f", head {version['head']}" if version["head"] else ""
    return f"Version   {version['id']}, encoder {version['spec']}{head}"


def _job_words(job: dict[str, Any]) -> str | None:
    """A running job in one line; None for one that ended."""
    if job["state"] != "running":
        return None
    if not job["alive"]:
        return f"{job['kind']}, {job_state(job)}; the same command goes on"
    rate = f", {job['rate']:,.1f} a second" if job["rate"] is not None else ""
    stage = f" ({job['message']})" if job["message"] else ""
    read = f"; {job['files']:,} files read, {job['failed']:,} failed, {readable_bytes(job['bytes'])}"
    return f"{job['line']}{rate}{stage}{read}"
