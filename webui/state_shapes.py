"""What /api/v1 tells of the library itself: status, stats, jobs, versions, facets, lists. Times are UTC seconds."""

from typing import Any

from pydantic import Field

from webui.schemas import CaptionOut, HitOut, Shape, Words
from webui.search_shapes import Narrowed

Counts = dict[str, int]


class JobOut(Shape):
    """A run of index, train or build."""

    id: int = Field(description="The job's number.")
    kind: str = Field(description="What runs: index, train or build.")
    state: str = Field(description="running, done, failed or interrupted.")
    alive: bool = Field(description="Whether it runs and wrote within the last 30 seconds.")
    line: str | None = Field(description="What it is doing, in words; null unless it runs.")
    done: int = Field(description="Items done of the stage that message names.")
    total: int = Field(description="Items of that stage; 0 while unknown.")
    message: str = Field(description="The stage, or why it ended.")
    rate: float | None = Field(description="Items a second; null while unknown.")
    remaining_s: float | None = Field(description="Seconds that are left; null while unknown.")
    files: int = Field(description="Files read in the whole run.")
    failed: int = Field(description="Files that could not be used, in the whole run.")
    bytes: int = Field(description="Bytes read in the whole run.")
    started_at: float = Field(description="When it began, in seconds since 1970 (UTC).")
    finished_at: float | None = Field(description="When it ended, in seconds since 1970 (UTC); null while it runs.")
    heartbeat_at: float = Field(description="When it last wrote, in seconds since 1970 (UTC).")


class JobsOut(Shape):
    """The last jobs, newest first."""

    jobs: list[JobOut] = Field(description="The last ten jobs, newest first.")


class ServedOut(Shape):
    """The version that answers."""

    id: int = Field(description="The version's number.")
    encoder: str = Field(description="The encoder's name.")
    fingerprint: str = Field(description="What tells the encoder's weights apart, in hexadecimal.")
    head: int | None = Field(description="The number of the head that projects its vectors; null: none does.")
    published_at: float = Field(description="When it was published, in seconds since 1970 (UTC).")
    counts: Counts = Field(description="Items by modality.")


class VersionOut(ServedOut):
    """A published version."""

    served: bool = Field(description="Whether it is the one that answers.")


class VersionsOut(Shape):
    """The published versions, newest first."""

    versions: list[VersionOut] = Field(description="The published versions, newest first.")


class HeadOut(Shape):
    """A trained head."""

    id: int = Field(description="The head's number.")
    method: str = Field(description="How it was trained.")
    served: bool = Field(description="Whether the version that answers projects with it.")
    created_at: float = Field(description="When it was trained, in seconds since 1970 (UTC).")
    held_out: dict[str, Any] = Field(description="Its recall on held-out pairs, 0 to 1, by direction and depth.")
    seconds: float = Field(description="How long its training took.")
    curve: bool = Field(description="Whether /heads/ID/curve.svg is there.")


class ReasonOut(Shape):
    """Failures that are alike."""

    count: int = Field(description="How many files failed so.")
    stage: str = Field(description="Where they failed, such as decode.")
    reason: str = Field(description="Why, in words.")


class StatusOut(Shape):
    """What the library holds and what is being done to it."""

    roots: list[str] = Field(description="The library's folders by name, without what they lie in.")
    items: Counts = Field(description="Present items by modality.")
    files: int = Field(description="Present files.")
    pending: int = Field(description="Items that wait for an embedding.")
    no_encoder: int = Field(description="Items that no encoder takes yet.")
    failures: int = Field(description="Files that could not be used.")
    failures_by_stage: Counts = Field(description="The same by the stage at which they failed.")
    failure_reasons: list[ReasonOut] = Field(description="The most frequent reasons.")
    version: ServedOut | None = Field(description="The version that answers; null before one is published.")
    heads: list[HeadOut] = Field(description="The trained heads, by number.")
    jobs: list[JobOut] = Field(description="The last ten jobs, newest first.")
    disk_bytes: int = Field(description="Bytes that the library's own home takes.")


class StatsOut(Shape):
    """Counts and sizes of the library."""

    items: Counts = Field(description="Present items by modality.")
    files: int = Field(description="Present files.")
    media_bytes: Counts = Field(description="Bytes of the files by modality.")
    captions: Counts = Field(description="Captions by language.")
    disk_bytes: int = Field(description="Bytes that the library's own home takes.")


class FacetsRequest(Narrowed):
    """Of which items the facets are counted."""


class FacetOut(Shape):
    """One value, and how many of the items have it."""

    value: str = Field(description="The value.")
    count: int = Field(description="How many of the items have it.")


class FacetsOut(Shape):
    """How many items the filters keep, and their folders, years and cameras: the most frequent, up to 100 of each."""

    total: int = Field(description="How many items the filters keep.")
    modalities: Counts = Field(description="How many of each kind the filters keep.")
    root: list[FacetOut] = Field(
        description="By library folder, of which several may have one name; the filter is root=NAME."
    )
    folder: list[FacetOut] = Field(description="By folder; the filter is path=FOLDER/**.")
    taken: list[FacetOut] = Field(description="By year; the filter is taken=YEAR.")
    camera: list[FacetOut] = Field(description="By camera; the filter is camera=NAME.")


class ItemsRequest(Narrowed):
    """A list of items, the newest first."""

    limit: int = Field(default=100, ge=1, le=1000, description="Items of the page, 1 to 1,000.")
    cursor: Words | None = Field(
        default=None, description="The next of the page before, of the same filters; null: from the start."
    )


class ItemsOut(Shape):
    """A page of items."""

    items: list[HitOut] = Field(description="The items, newest first; they have no score.")
    next: str | None = Field(description="The cursor of the following page; null at the end.")


class CaptionsRequest(Shape):
    """A page of captions."""

    limit: int = Field(default=100, ge=1, le=1000, description="Captions of the page, 1 to 1,000.")
    cursor: Words | None = Field(default=None, description="The next of the page before; null: from the start.")


class CaptionsOut(Shape):
    """Captions in the order they were read."""

    captions: list[CaptionOut] = Field(description="The captions in the order they were read.")
    next: str | None = Field(description="The cursor of the following page; null at the end.")
