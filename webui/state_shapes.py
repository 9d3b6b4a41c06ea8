"""What /api/v1 tells of the library itself: status, stats, jobs, versions, facets, lists. Times are UTC seconds."""

from typing import Any

from pydantic import Field

from webui.schemas import CaptionOut, HitOut, Narrowed, Shape, Words

Counts = dict[str, int]


class JobOut(Shape):
    """A run of index, train or build. alive: it runs and wrote of late; line: what it is doing, in words.

    done, total: of the stage that `message` names. files, failed, bytes: over the whole run.
    """

    id: int
    kind: str
    state: str
    alive: bool
    line: str | None
    done: int
    total: int
    message: str
    rate: float | None
    remaining_s: float | None
    files: int
    failed: int
    bytes: int
    started_at: float
    finished_at: float | None
    heartbeat_at: float


class JobsOut(Shape):
    """The last jobs, newest first."""

    jobs: list[JobOut]


class ServedOut(Shape):
    """The version that answers. counts: items by modality."""

    id: int
    encoder: str
    fingerprint: str
    head: int | None
    published_at: float
    counts: Counts


class VersionOut(ServedOut):
    """A published version. served: it is the one that answers."""

    served: bool


class VersionsOut(Shape):
    """The published versions, newest first."""

    versions: list[VersionOut]


class HeadOut(Shape):
    """A trained head. held_out: its recall on held-out pairs. curve: whether /heads/ID/curve.svg is there."""

    id: int
    method: str
    served: bool
    created_at: float
    held_out: dict[str, Any]
    seconds: float
    curve: bool


class ReasonOut(Shape):
    """Failures that are alike."""

    count: int
    stage: str
    reason: str


class StatusOut(Shape):
    """What the library holds and what is being done to it.

    pending: items that wait for an embedding; no_encoder: those that no encoder takes yet.
    """

    roots: list[str]
    items: Counts
    files: int
    pending: int
    no_encoder: int
    failures: int
    failures_by_stage: Counts
    failure_reasons: list[ReasonOut]
    version: ServedOut | None
    heads: list[HeadOut]
    jobs: list[JobOut]
    disk_bytes: int


class StatsOut(Shape):
    """Sizes. media_bytes: of the files, by modality; captions: by language; disk_bytes: of the library's own home."""

    items: Counts
    files: int
    media_bytes: Counts
    captions: Counts
    disk_bytes: int


class FacetsRequest(Narrowed):
    """Of which items the facets are counted."""


class FacetOut(Shape):
    """One value, and how many of the items have it."""

    value: str
    count: int


class FacetsOut(Shape):
    """How many items the filters keep, and of which folders, years and cameras: the most frequent, up to 100 of each.

    The filters for a value are root=NAME, path=FOLDER/**, taken=YEAR and camera=NAME. root: the library's own folders,
    of which several may have one name. modalities: of all kinds.
    """

    total: int
    modalities: Counts
    root: list[FacetOut]
    folder: list[FacetOut]
    taken: list[FacetOut]
    camera: list[FacetOut]


class ItemsRequest(Narrowed):
    """A list of items, the newest first. cursor: the `next` of the page before."""

    limit: int = Field(default=100, ge=1, le=1000)
    cursor: Words | None = None


class ItemsOut(Shape):
    """A page of items, which have no score. next: the cursor of the following page, or null at the end."""

    items: list[HitOut]
    next: str | None


class CaptionsRequest(Shape):
    """A page of captions. cursor: the `next` of the page before."""

    limit: int = Field(default=100, ge=1, le=1000)
    cursor: Words | None = None


class CaptionsOut(Shape):
    """Captions in the order they were read. next: the cursor of the following page, or null at the end."""

    captions: list[CaptionOut]
    next: str | None
