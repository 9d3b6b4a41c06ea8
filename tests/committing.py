"""Another process on a library of tests/served.py: told `HOME COMMAND ID`, it commits and says when it had."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from engine.catalog import Catalog, Embedding, EncoderRow, Item
from engine.config import load_config
from engine.store import EmbeddingStore, store_folder
from indexer.changes import mark_removed, renew_embeddings


def commit(home: Path, command: str, item_id: int) -> float:
    """Add an item beside the one named, or remove or restore that one; the time after it."""
    catalog = Catalog(replace(load_config(home, environ={}), home=home))
    with catalog.session() as session:
        if command == "remove":
            mark_removed(session, [item_id])
        elif command == "restore":
            session.execute(sa.update(Item).where(Item.id == item_id).values(removed_at=None))
            renew_embeddings(session, [item_id])
        else:
            encoder = session.get_one(EncoderRow, 1)
            store = EmbeddingStore(store_folder(home, encoder.fingerprint, encoder.generation), encoder.dim)
            row = np.full((1, encoder.dim), encoder.dim**-0.5, np.float32)
            shard, place = (int(part[0]) for part in store.append(row))
            name = f"new-{time.monotonic_ns()}.jpg"
            item = Item(root_id=1, modality="image", path=name, size=1, mtime_ns=1)
            session.add(item)
            session.flush()
            session.add(Embedding(item_id=item.id, encoder_id=1, shard=shard, row=place))
            encoder.rows += 1
    committed = time.monotonic()
    catalog.engine.dispose()
    return committed


if __name__ == "__main__":
    for line in sys.stdin:
        home, command, item_id = line.rsplit(maxsplit=2)
        sys.stdout.write(f"{commit(Path(home), command, int(item_id))}\n")
        sys.stdout.flush()
