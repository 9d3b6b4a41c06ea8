"""The first schema"""

import sqlalchemy as sa
from alembic import op

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "encoders",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.String(), nullable=False),
        sa.Column("dim", INTEGER, nullable=False),
        sa.Column("rows", INTEGER, nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_encoders")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_encoders_fingerprint")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "jobs",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("pid", INTEGER, nullable=False),
        sa.Column("done", INTEGER, nullable=False),
        sa.Column("total", INTEGER, nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "roots",
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roots")),
        sa.UniqueConstraint("path", name=op.f("uq_roots_path")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "items",
        sa.Column("root_id", INTEGER, nullable=False),
        sa.Column("parent_id", INTEGER, nullable=True),
        sa.Column("modality", sa.String(length=8), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("size", INTEGER, nullable=False),
        sa.Column("mtime_ns", INTEGER, nullable=False),
        sa.Column("content_hash", sa.String(length=32), nullable=True),
        sa.Column("width", INTEGER, nullable=True),
        sa.Column("height", INTEGER, nullable=True),
        sa.Column("split", sa.String(length=16), nullable=True),
        sa.Column("stamp", sa.String(), nullable=False),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.Column("removed_at", sa.Float(), nullable=True),
        sa.Column("id", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["items.id"], name=op.f("fk_items_parent_id_items")),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"], name=op.f("fk_items_root_id_roots")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("items", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_items_content_hash"), ["content_hash"], unique=False)
        batch_op.create_index(batch_op.f("ix_items_parent_id"), ["parent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_items_removed_at"), ["removed_at"], unique=False)
        batch_op.create_index(
            "uq_items_path",
            ["root_id", "path"],
            unique=True,
            sqlite_where=sa.text("parent_id IS NULL AND removed_at IS NULL"),
            postgresql_where=sa.text("parent_id IS NULL AND removed_at IS NULL"),
        )

    op.create_table(
        "versions",
        sa.Column("encoder_id", INTEGER, nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("watermark", INTEGER, nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("published_at", sa.Float(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoders.id"], name=op.f("fk_versions_encoder_id_encoders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "captions",
        sa.Column("id", INTEGER, autoincrement=False, nullable=False),
        sa.Column("owner_id", INTEGER, nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("lang", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["id"], ["items.id"], name=op.f("fk_captions_id_items")),
        sa.ForeignKeyConstraint(["owner_id"], ["items.id"], name=op.f("fk_captions_owner_id_items")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_captions")),
    )
    with op.batch_alter_table("captions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_captions_owner_id"), ["owner_id"], unique=False)

    op.create_table(
        "embeddings",
        sa.Column("item_id", INTEGER, nullable=False),
        sa.Column("encoder_id", INTEGER, nullable=False),
        sa.Column("shard", INTEGER, nullable=False),
        sa.Column("row", INTEGER, nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoders.id"], name=op.f("fk_embeddings_encoder_id_encoders")),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_embeddings_item_id_items")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embeddings")),
        sa.UniqueConstraint("encoder_id", "item_id", name=op.f("uq_embeddings_encoder_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("embeddings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_embeddings_item_id"), ["item_id"], unique=False)

    op.create_table(
        "failures",
        sa.Column("root_id", INTEGER, nullable=False),
        sa.Column("item_id", INTEGER, nullable=True),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("failed_at", sa.Float(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_failures_item_id_items")),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"], name=op.f("fk_failures_root_id_roots")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failures")),
        sa.UniqueConstraint("root_id", "path", name=op.f("uq_failures_root_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("failures", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_failures_item_id"), ["item_id"], unique=False)

    op.create_table(
        "marks",
        sa.Column("item_id", INTEGER, nullable=False),
        sa.Column("query", sa.String(), nullable=False),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("marked_at", sa.Float(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_marks_item_id_items")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_marks")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("marks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_marks_item_id"), ["item_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("marks", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_marks_item_id"))

    op.drop_table("marks")
    with op.batch_alter_table("failures", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_failures_item_id"))

    op.drop_table("failures")
    with op.batch_alter_table("embeddings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_embeddings_item_id"))

    op.drop_table("embeddings")
    with op.batch_alter_table("captions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_captions_owner_id"))

    op.drop_table("captions")
    op.drop_table("versions")
    with op.batch_alter_table("items", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_items_path",
            sqlite_where=sa.text("parent_id IS NULL AND removed_at IS NULL"),
            postgresql_where=sa.text("parent_id IS NULL AND removed_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_items_removed_at"))
        batch_op.drop_index(batch_op.f("ix_items_parent_id"))
        batch_op.drop_index(batch_op.f("ix_items_content_hash"))

    op.drop_table("items")
    op.drop_table("roots")
    op.drop_table("jobs")
    op.drop_table("encoders")
