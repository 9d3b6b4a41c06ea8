"""The catalog: SQLAlchemy models of everything Rebus knows, sessions, and the reads that a query makes.

Times are UTC seconds since the epoch. Ids are never reused. A removed item keeps its row (a tombstone,
`removed_at`), so that a file which comes back keeps its id.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, sessionmaker

from engine.config import Config
from engine.database import busy_explained, catalog_url, explained, make_home, migrate, shown_url, tune_sqlite
from engine.errors import CatalogError, NotFound
from engine.filters import is_near, latitudes, like_pattern
from engine.shown import ItemView, ShownItem
from engine.types import Modality, Where

T = TypeVar("T")
HEAD = "0009"  # the newest migration; a test holds it to migrations/versions
IMPORT = "import"  # the kind of a root that an import made
NEXT_TURN = sa.text("(SELECT coalesce(max(turn), 0) + 1 FROM versions)")
_CHUNK = 500  # ids in one IN clause, below every database's limit


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can change them on any database."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: sa.JSON, int: sa.BigInteger().with_variant(sa.Integer, "sqlite")}


class _Numbered:
    __table_args__: Any = {"sqlite_autoincrement": True}
    id: Mapped[int] = mapped_column(primary_key=True)


class Root(_Numbered, Base):
    """A folder of the library; `path` is absolute. kind: media, which scans walk, or import, which none does.

    unfinished: a scan of it wrote something and did not come to its end. mounts: folders in it, places of drives.
    """

    __tablename__ = "roots"
    path: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(sa.String(8), default="media", server_default="media")
    unfinished: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    mounts: Mapped[list[str] | None] = mapped_column(sa.JSON)
    added_at: Mapped[float] = mapped_column(default=time.time)


def _sparse(column: str) -> sa.Index:
    """An index of a column of `items` that most rows leave empty, without these.

    With them, SQLite takes `IS NULL` for a search of few rows, and goes through all for want of a better index.
    """
    there = sa.text(f"{column} IS NOT NULL")
    return sa.Index(f"ix_items_{column}", column, sqlite_where=there, postgresql_where=there)


class Item(_Numbered, Base):
    """One file; one caption (modality text) or one further frame of a file, whose `parent_id` is the file's item.

    A file's item is its own first frame: the picture, the first page, the first moment. `path` is relative to the
    root and `folder` the part of it before the name, "" at the top; both are the file's for captions and frames too.
    position: page or frame number, or milliseconds into a film; None for a caption of the whole file.
    stamp: size and mtime of the file's caption sources when they were last read, and which facts they gave. split:
    train, val or test where the captions say so. width, height: pixels, upright. phash: 64 bits of a perceptual hash,
    in hexadecimal.
    group_id: the first item of its group of near-duplicates, None when it has none. told_as: the absolute path at which
    a file that moved lay before, by which caption tables may name it still.
    category: the class that an import names, for methods and measures that need one.
    """

    __tablename__ = "items"
    __table_args__ = (
        sa.Index(
            "uq_items_path",
            "root_id",
            "path",
            unique=True,
            sqlite_where=sa.text("parent_id IS NULL AND removed_at IS NULL"),
            postgresql_where=sa.text("parent_id IS NULL AND removed_at IS NULL"),
        ),
        sa.Index(
            "ix_items_folder",
            "root_id",
            "folder",
            sqlite_where=sa.text("parent_id IS NULL"),
            postgresql_where=sa.text("parent_id IS NULL"),
        ),
        *(_sparse(name) for name in ("parent_id", "group_id", "category", "told_as", "removed_at")),
        {"sqlite_autoincrement": True},
    )
    root_id: Mapped[int] = mapped_column(sa.ForeignKey("roots.id"))
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("items.id"))
    modality: Mapped[str] = mapped_column(sa.String(8))
    path: Mapped[str]
    folder: Mapped[str] = mapped_column(default="", server_default=sa.text("''"))
    position: Mapped[int | None]
    size: Mapped[int]
    mtime_ns: Mapped[int]
    content_hash: Mapped[str | None] = mapped_column(sa.String(32), index=True)
    phash: Mapped[str | None] = mapped_column(sa.String(16))
    group_id: Mapped[int | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    split: Mapped[str | None] = mapped_column(sa.String(16))
    category: Mapped[str | None]
    stamp: Mapped[str] = mapped_column(default="")
    told_as: Mapped[str | None]
    added_at: Mapped[float] = mapped_column(default=time.time)
    removed_at: Mapped[float | None]


class FactsRow(Base):
    """What a file says of itself (see media.Facts). One row a file's item, when it says anything."""

    __tablename__ = "facts"
    item_id: Mapped[int] = mapped_column(sa.ForeignKey("items.id"), primary_key=True, autoincrement=False)
    taken_at: Mapped[float | None] = mapped_column(index=True)
    camera: Mapped[str | None] = mapped_column(index=True)
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    place: Mapped[str | None]
    title: Mapped[str | None]
    duration_ms: Mapped[int | None]
    pages: Mapped[int | None]


class Keyword(Base):
    """A keyword of a file's item, as its metadata or its sidecars give it."""

    __tablename__ = "keywords"
    item_id: Mapped[int] = mapped_column(sa.ForeignKey("items.id"), primary_key=True, autoincrement=False)
    word: Mapped[str] = mapped_column(primary_key=True, index=True)


class Caption(Base):
    """The words of a text item. source: where they were read from, such as `captions.jsonl`, `exif` or `pdf`.

    owner_id: the item they describe: a file, or one of its frames; a document's own words describe themselves.
    """

    __tablename__ = "captions"
    id: Mapped[int] = mapped_column(sa.ForeignKey("items.id"), primary_key=True, autoincrement=False)
    owner_id: Mapped[int] = mapped_column(sa.ForeignKey("items.id"), index=True)
    text: Mapped[str]
    lang: Mapped[str] = mapped_column(sa.String(16))
    source: Mapped[str]


class EncoderRow(_Numbered, Base):
    """An encoder that embedded something here. rows: how many its shards hold; report: how it was trained.

    dim: the width of a stored row. dims: of each modality's own vectors, when some are narrower; zeros pad them.
    generation: which of its shard folders is in use; compaction writes the next one.
    grouping: by what settings near-duplicates were grouped, up to which embedding; None when not by this encoder.
    """

    __tablename__ = "encoders"
    fingerprint: Mapped[str] = mapped_column(sa.String(64), unique=True)
    spec: Mapped[str]
    dim: Mapped[int]
    dims: Mapped[dict[str, Any] | None]
    rows: Mapped[int] = mapped_column(default=0)
    generation: Mapped[int] = mapped_column(default=0, server_default="0")
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    grouping: Mapped[dict[str, Any] | None]
    created_at: Mapped[float] = mapped_column(default=time.time)


class HeadRow(_Numbered, Base):
    """A head that was trained on an encoder's embeddings. folder: its artifact, below the home.

    promoted: whether it was better than what was there, by the figures in `report` (JSON: held-out recall of it, of
    the head before and of the identity, with intervals; curve; seconds; parameters; bytes; settings).
    """

    __tablename__ = "heads"
    encoder_id: Mapped[int] = mapped_column(sa.ForeignKey("encoders.id"))
    method: Mapped[str] = mapped_column(sa.String(32))
    folder: Mapped[str]
    promoted: Mapped[bool] = mapped_column(default=False)
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[float] = mapped_column(default=time.time)


class Embedding(_Numbered, Base):
    """Where an item's embedding by an encoder lies: row `row` of shard `shard`."""

    __tablename__ = "embeddings"
    __table_args__ = (sa.UniqueConstraint("encoder_id", "item_id"), {"sqlite_autoincrement": True})
    item_id: Mapped[int] = mapped_column(sa.ForeignKey("items.id"), index=True)
    encoder_id: Mapped[int] = mapped_column(sa.ForeignKey("encoders.id"))
    shard: Mapped[int]
    row: Mapped[int]


class Failure(_Numbered, Base):
    """A file that could not be used, and why. One row a path; gone once the file changes or works."""

    __tablename__ = "failures"
    __table_args__ = (sa.UniqueConstraint("root_id", "path"), {"sqlite_autoincrement": True})
    root_id: Mapped[int] = mapped_column(sa.ForeignKey("roots.id"))
    item_id: Mapped[int | None] = mapped_column(sa.ForeignKey("items.id"), index=True)
    path: Mapped[str]
    stage: Mapped[str] = mapped_column(sa.String(16))
    reason: Mapped[str]
    hint: Mapped[str]
    failed_at: Mapped[float] = mapped_column(default=time.time)


class Job(_Numbered, Base):
    """One run of index, train or build. state: running, done, failed or interrupted.

    done, total: of the stage that `message` names. rate: items a second; remaining_s: as far as it can be told.
    files, failed, bytes: files read, files that could not be used, bytes read, over the whole run.
    heartbeat_at: when it last wrote; a running job that fell silent was killed.
    """

    __tablename__ = "jobs"
    kind: Mapped[str] = mapped_column(sa.String(16))
    state: Mapped[str] = mapped_column(sa.String(16), default="running")
    pid: Mapped[int]
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(default="")
    rate: Mapped[float | None]
    remaining_s: Mapped[float | None]
    files: Mapped[int] = mapped_column(default=0, server_default="0")
    failed: Mapped[int] = mapped_column(default=0, server_default="0")
    bytes: Mapped[int] = mapped_column(default=0, server_default="0")
    heartbeat_at: Mapped[float] = mapped_column(default=time.time, server_default="0")
    started_at: Mapped[float] = mapped_column(default=time.time)
    finished_at: Mapped[float | None]


class IndexVersion(_Numbered, Base):
    """A published index. watermark: the last embedding id it holds. counts: items by modality.

    generation: the shard folder of its encoder that its places point into. head_id: what projects; None: nothing does.
    turn: grows with every version published or chosen; the one with the greatest is served. calibration: what makes
    confidences of its scores (see engine.confidence), None where there was too little to tell by.
    """

    __tablename__ = "versions"
    encoder_id: Mapped[int] = mapped_column(sa.ForeignKey("encoders.id"))
    head_id: Mapped[int | None]
    folder: Mapped[str]
    watermark: Mapped[int]
    generation: Mapped[int] = mapped_column(default=0, server_default="0")
    counts: Mapped[dict[str, Any]]
    published_at: Mapped[float] = mapped_column(default=time.time)
    turn: Mapped[int] = mapped_column(default=NEXT_TURN, server_default="0")
    calibration: Mapped[dict[str, Any] | None]


class Mark(_Numbered, Base):
    """A person's word that an item is a good or a bad answer to a query.

    query: its words; "" for a query that is more than words, which is known again by its vector: (dim,) little-endian
    float16 of unit length, in the joint space that `space` names.
    """

    __tablename__ = "marks"
    item_id: Mapped[int] = mapped_column(sa.ForeignKey("items.id"), index=True)
    query: Mapped[str]
    vector: Mapped[bytes | None]
    space: Mapped[str | None] = mapped_column(sa.String(40))
    good: Mapped[bool]
    marked_at: Mapped[float] = mapped_column(default=time.time)


class Catalog:
    """Sessions on one library's database. Safe to share between threads."""

    def __init__(self, config: Config, *, create: bool = False) -> None:
        """Open the catalog; on SQLite bring its schema up to date.

        create: make the home and its database when missing; otherwise a missing one raises CatalogError.
        """
        self.home = config.home
        self.url = catalog_url(config)
        if not config.catalog.url and not create and not (config.home / "catalog.db").is_file():
            raise CatalogError(f"no library at {config.home}: make one with `rebus index FOLDER`")
        if create:
            make_home(config.home)
        with explained(self.url):
            # Connections that are opened for a search alone would take longer than it; the last one knows most pages.
            self.engine = sa.create_engine(self.url, pool_size=max(5, config.serve.threads), pool_use_lifo=True)
            if self.engine.dialect.name == "sqlite":
                sa.event.listen(self.engine, "connect", tune_sqlite)
            try:
                self._ensure_schema()
            except BaseException:
                self.engine.dispose()
                raise
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    def _ensure_schema(self) -> None:
        with self.engine.connect() as connection:
            known = sa.inspect(connection).has_table("alembic_version")
            revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version")) if known else None
        if revision == HEAD:
            return
        if (revision or "") > HEAD:
            raise CatalogError(
                f"the catalog {shown_url(self.url)} has schema {revision}, newer than this release's {HEAD}: "
                "upgrade Rebus"
            )
        if self.engine.dialect.name != "sqlite":
            raise CatalogError(
                f"the catalog {shown_url(self.url)} has schema {revision}, this release needs {HEAD}: "
                "run `rebus migrate`"
            )
        with FileLock(self.home / "migrate.lock"):  # two processes may open a new library at once
            migrate(self.url)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction: committed at the end, rolled back on an error. Raises LibraryBusy while it is locked."""
        with busy_explained(self.home), self._sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read by: half the time of a session, of which a search would need several. Raises as that."""
        with busy_explained(self.home), self.engine.connect() as connection:
            yield connection

    def items(self, ids: Sequence[int]) -> list[ItemView]:
        """What a hit shows of each item, in the order asked for, in one SELECT a chunk; missing ids are left out."""
        found: dict[int, ItemView] = {}
        with self.reading() as connection:
            for chunk in chunks([i for i in ids if 0 < i < 2**63], _CHUNK):  # a larger one is no integer of a database
                for row in connection.execute(_VIEWS, {"ids": chunk}).all():
                    found[row[0]] = ItemView(ShownItem._make(row[:_SHOWN]), *row[_SHOWN:])
        return [found[int(i)] for i in ids if int(i) in found]

    def item(self, item_id: int) -> ItemView:
        """One item that is present (not removed). Raises NotFound."""
        views = self.items([item_id])
        if not views or views[0].item.removed_at is not None:
            raise NotFound(f"no item {item_id} in this library")
        return views[0]

    def captions_of(self, item_id: int) -> list[Caption]:
        """The present captions of a picture, in the order they were read."""
        with self.session() as session:
            query = sa.select(Caption).join(Item, Item.id == Caption.id)
            query = query.where(Caption.owner_id == item_id, Item.removed_at.is_(None)).order_by(Caption.id)
            return list(session.scalars(query))

    def facts_of(self, item_id: int) -> tuple[FactsRow | None, list[str]]:
        """What an item's file says of itself, and its keywords in the order of the alphabet."""
        with self.session() as session:
            file = sa.select(_file(Item)).where(Item.id == item_id).scalar_subquery()
            words = sa.select(Keyword.word).where(Keyword.item_id == file).order_by(Keyword.word)
            return session.scalar(sa.select(FactsRow).where(FactsRow.item_id == file)), list(session.scalars(words))

    def ids_matching(self, where: Where, modality: Modality) -> list[int]:
        """Ids of the present items of a modality that a filter keeps."""
        present = sa.func.coalesce(Item.removed_at, 0) == 0  # nearly all are: its index would be a detour
        query = sa.select(Item.id).where(Item.modality == modality, present, *matches(where, modality))
        with self.session() as session:
            if where.near is None:  # as one text: to hand over half a million rows takes longer than to find them
                ids = sa.func.aggregate_strings(sa.cast(query.subquery().c.id, sa.String), ",")
                return [int(number) for number in (session.scalar(sa.select(ids)) or "").split(",") if number]
            query = query.join(FactsRow, FactsRow.item_id == _file(Item))
            places = session.execute(query.add_columns(FactsRow.latitude, FactsRow.longitude))
            return [item for item, north, east in places if is_near(where.near, north, east)]

    def current_version(self) -> IndexVersion | None:
        """The version to serve: the one that was published or chosen last."""
        with self.session() as session:
            return session.scalar(sa.select(IndexVersion).order_by(IndexVersion.turn.desc()).limit(1))

    def versions(self) -> list[IndexVersion]:
        """All versions, the one to serve first, then those that it would be rolled back to."""
        with self.session() as session:
            return list(session.scalars(sa.select(IndexVersion).order_by(IndexVersion.turn.desc())))


def dims_of(encoder: EncoderRow) -> dict[Modality, int]:
    """The width of each modality's own vectors, in the stored rows of an encoder."""
    if encoder.dims is None:
        return dict.fromkeys(Modality, encoder.dim)
    return {Modality(name): int(width) for name, width in encoder.dims.items()}


_shown, _owner, _SHOWN = aliased(Item), aliased(Item), len(ShownItem._fields)


def _file(item: type[Item]) -> sa.ColumnElement[int]:
    """The item of the file that an item is, or belongs to."""
    return sa.func.coalesce(item.parent_id, item.id)


def is_scanned() -> sa.ColumnElement[bool]:
    """Whether an item lies in a folder that scans walk. What was imported is brought up to date by imports alone."""
    return Item.root_id.not_in(sa.select(Root.id).where(Root.kind == IMPORT))


def matches(where: Where, modality: Modality) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions on Item of a filter; of `near` only its latitudes: see `Catalog.ids_matching`."""
    if where.path is not None:
        yield Item.path.like(like_pattern(where.path), escape="\\")
    if where.root is not None:  # told by its name alone: asking on and on would find where it lies
        path = sa.func.lower(sa.func.replace(Root.path, "\\", "/"))
        named = path.endswith(f"/{where.root.lower()}", autoescape=True)
        yield Item.root_id.in_(sa.select(Root.id).where(named))
    files: list[sa.Select[tuple[int]]] = [
        sa.select(Keyword.item_id).where(Keyword.word == word) for word in where.keywords
    ]
    if facts := list(_facts(where)):
        files.append(sa.select(FactsRow.item_id).where(*facts))
    if where.source is not None:
        of = aliased(Item)
        named = sa.or_(
            *(Caption.source.like(like_pattern(glob), escape="\\") for glob in (where.source, f"*/{where.source}"))
        )
        if modality is Modality.TEXT:
            yield Item.id.in_(sa.select(Caption.id).where(named))
        else:
            files.append(sa.select(_file(of)).join(Caption, Caption.id == of.id).where(named, of.removed_at.is_(None)))
    if files:
        chosen = sa.select(sa.intersect(*files).cte("chosen"))
        yield sa.or_(Item.id.in_(chosen), Item.parent_id.in_(chosen))  # coalesce of both could use no index


def _facts(where: Where) -> Iterator[sa.ColumnElement[bool]]:
    if where.taken_from is not None:
        yield FactsRow.taken_at >= where.taken_from
    if where.taken_to is not None:
        yield FactsRow.taken_at < where.taken_to
    for column, part in ((FactsRow.camera, where.camera), (FactsRow.place, where.place)):
        if part is not None:  # the same few names again and again: each is looked at once
            names = sa.select(column.label("name")).distinct().subquery()
            holds = sa.func.lower(names.c.name).contains(part.lower(), autoescape=True)
            yield column.in_(sa.select(names.c.name).where(holds))
    if where.near is not None:
        yield FactsRow.latitude.between(*latitudes(where.near)) & FactsRow.longitude.is_not(None)


def _own_caption() -> sa.ScalarSelect[Any]:
    own = aliased(Caption)
    return sa.select(own.id).where(own.id == _shown.id).correlate(_shown).scalar_subquery()


def _views() -> sa.Select[Any]:
    """The fields of `ShownItem` and `ItemView`, of the ids that are given it."""
    first_caption = (
        sa.select(sa.func.min(Caption.id))
        .join(Item, Item.id == Caption.id)
        .where(Caption.owner_id == _shown.id, Item.removed_at.is_(None))
        .correlate(_shown)
        .scalar_subquery()
    )
    of_item = (getattr(_shown, name) for name in ShownItem._fields)
    of_owner = (_owner.modality, _owner.content_hash, _owner.position)
    return (
        sa.select(*of_item, Root.path, Caption.text, Caption.owner_id, *of_owner)
        .join(Root, Root.id == _shown.root_id)
        .outerjoin(Caption, Caption.id == sa.func.coalesce(_own_caption(), first_caption))
        .outerjoin(_owner, _owner.id == Caption.owner_id)
        .where(_shown.id.in_(sa.bindparam("ids", expanding=True)))
    )


_VIEWS = _views()  # made once: that takes longer than reading a page of hits


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Runs of at most `size` items, in order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
