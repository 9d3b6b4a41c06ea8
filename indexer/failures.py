"""Rows for files that could not be used. A path has one, the latest."""

import time
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Failure
from engine.errors import MediaError


def record_failure(session: Session, root_id: int, item_id: int | None, path: str, error: MediaError) -> None:
    """Write why a file could not be used, in place of what was written before; what holds still stays as it is."""
    facts = {"item_id": item_id, "stage": error.stage, "reason": error.reason[:500], "hint": error.hint}
    row = session.scalar(sa.select(Failure).where(Failure.root_id == root_id, Failure.path == path))
    if row is None:
        session.add(Failure(root_id=root_id, path=path, **facts))
    elif any(getattr(row, name) != value for name, value in facts.items()):
        for name, value in (*facts.items(), ("failed_at", time.time())):
            setattr(row, name, value)
    session.flush()


def forget_failures(session: Session, item_ids: Sequence[int]) -> None:
    """Drop the failures of items whose files changed, went or work again."""
    session.execute(sa.delete(Failure).where(Failure.item_id.in_(item_ids)))
