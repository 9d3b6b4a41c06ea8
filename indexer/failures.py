"""Rows for files that could not be used. A path has one, the latest."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Failure
from engine.errors import MediaError


def record_failure(session: Session, root_id: int, item_id: int | None, path: str, error: MediaError) -> None:
    """Write why a file could not be used, in place of what was written before."""
    session.execute(sa.delete(Failure).where(Failure.root_id == root_id, Failure.path == path))
    facts = {"stage": error.stage, "reason": error.reason[:500], "hint": error.hint}
    session.add(Failure(root_id=root_id, item_id=item_id, path=path, **facts))
    session.flush()


def forget_failures(session: Session, item_ids: Sequence[int]) -> None:
    """Drop the failures of items whose files changed, went or work again."""
    session.execute(sa.delete(Failure).where(Failure.item_id.in_(item_ids)))
