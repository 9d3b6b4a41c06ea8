"""What one picture shows, as both its captions and its drawing read it."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.samples.catalog import Subject


@dataclass(frozen=True)
class View:
    """COUNT things of one COLOUR on one SIDE of a SETTING, with an optional DETAIL beside them."""

    subject: Subject
    colour: str
    setting: str
    count: int
    side: str
    detail: str
