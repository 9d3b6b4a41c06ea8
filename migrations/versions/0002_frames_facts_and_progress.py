"""Frames of a file, facts and keywords, near-duplicate groups, progress of jobs, generations of shards"""

from typing import Any

import sqlalchemy as sa
from alembic import op

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FILES = sa.text("parent_id IS NULL")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


# SQLite's batch mode would copy a table and forget that its ids are never used again: columns are added in place.
COLUMNS: dict[str, dict[str, tuple[Any, Any]]] = {
    "items": {
        "folder": (sa.String(), sa.text("''")),
        "position": (INTEGER, None),
        "phash": (sa.String(length=16), None),
        "group_id": (INTEGER, None),
    },
    "encoders": {"generation": (INTEGER, "0"), "grouping": (sa.JSON(), None)},
    "versions": {"generation": (INTEGER, "0")},
    "jobs": {
        "rate": (sa.Float(), None),
        "remaining_s": (sa.Float(), None),
        "files": (INTEGER, "0"),
        "failed": (INTEGER, "0"),
        "bytes": (INTEGER, "0"),
        "heartbeat_at": (sa.Float(), "0"),
    },
}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for name, (kind, default) in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=default is None, server_default=default))
    op.create_index("ix_items_group_id", "items", ["group_id"])
    op.create_index("ix_items_folder", "items", ["root_id", "folder"], sqlite_where=FILES, postgresql_where=FILES)
    _fill_folders()
    op.create_table(
        "facts",
        sa.Column("item_id", INTEGER, autoincrement=False, nullable=False),
        sa.Column("taken_at", sa.Float(), nullable=True),
        sa.Column("camera", sa.String(), nullable=True),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("place", sa.String(), nullable=True),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("duration_ms", INTEGER, nullable=True),
        sa.Column("pages", INTEGER, nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_facts_item_id_items")),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_facts")),
    )
    with op.batch_alter_table("facts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_facts_taken_at"), ["taken_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_facts_camera"), ["camera"], unique=False)
    op.create_table(
        "keywords",
        sa.Column("item_id", INTEGER, autoincrement=False, nullable=False),
        sa.Column("word", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_keywords_item_id_items")),
        sa.PrimaryKeyConstraint("item_id", "word", name=op.f("pk_keywords")),
    )
    with op.batch_alter_table("keywords", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_keywords_word"), ["word"], unique=False)


def _fill_folders() -> None:
    """The part of a path before its name, for the rows that are there."""
    items = sa.table("items", sa.column("id", INTEGER), sa.column("path"), sa.column("folder"))
    connection = op.get_bind()
    rows = connection.execute(sa.select(items.c.id, items.c.path)).all()
    below = [{"i": row.id, "f": row.path.rpartition("/")[0]} for row in rows if "/" in row.path]
    change = sa.update(items).where(items.c.id == sa.bindparam("i")).values(folder=sa.bindparam("f"))
    for start in range(0, len(below), 1000):
        connection.execute(change, below[start : start + 1000])


def downgrade() -> None:
    _drop_frames()
    op.drop_table("keywords")
    op.drop_table("facts")
    op.drop_index("ix_items_folder", "items")
    op.drop_index("ix_items_group_id", "items")
    for table, columns in COLUMNS.items():
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")


def _drop_frames() -> None:
    """Further frames, and the words of frames, are nothing the first schema knows."""
    frames = "SELECT id FROM items WHERE parent_id IS NOT NULL AND modality <> 'text'"
    words = f"SELECT id FROM captions WHERE owner_id IN ({frames})"
    op.execute("CREATE TEMPORARY TABLE gone AS " + f"{frames} UNION {words}")
    for table, column in (("embeddings", "item_id"), ("marks", "item_id"), ("captions", "id"), ("items", "id")):
        op.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM gone)")
    op.execute("DROP TABLE gone")
