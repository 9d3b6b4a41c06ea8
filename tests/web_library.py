"""What the tests of the web share: changed copies of the session's library, and answers read whole."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import av
import sqlalchemy as sa
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from engine.catalog import Caption, Catalog, Embedding, Item, Root
from engine.config import Config
from engine.media.files import hash_file
from engine.media.pictures import thumbnail
from engine.status import MAPS
from engine.thumbnails import save_thumbnail, thumbnail_file

HOSTILE = '<img src=x onerror="window.hacked=1">'


def copy_library(library: Config, folder: Path) -> Config:
    """An independent copy, its media folder included; without the map that is drawn for who looks at a library."""
    shutil.copytree(library.home, folder / "home", ignore=shutil.ignore_patterns(MAPS))
    config = replace(library, home=folder / "home")
    catalog = Catalog(config)
    with catalog.session() as session:
        for root in session.scalars(sa.select(Root)):
            copy = folder / f"media{root.id}"
            shutil.copytree(root.path, copy)
            root.path = str(copy)
    catalog.engine.dispose()
    return config


def make_hostile(config: Config) -> int:
    """Every caption and one file's name become markup; return that file's item."""
    catalog = Catalog(config)
    with catalog.session() as session:
        session.execute(sa.update(Caption).values(text=HOSTILE))
        first = session.scalars(sa.select(Item).where(Item.modality == "image").order_by(Item.id)).first()
        assert first is not None
        root = Path(session.get_one(Root, first.root_id).path)
        old, new = first.path, str(Path(first.path).with_name(f"{HOSTILE}.png"))
        (root / old).rename(root / new)
        session.execute(sa.update(Item).where(Item.path == old).values(path=new))
        item = first.id
    catalog.engine.dispose()
    return item


def fetch(client: FlaskClient, address: str, **headers: str) -> TestResponse:
    """GET; the answer is read whole, so that no file stays open."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = client.get(address, headers=named)
    _ = response.data
    response.close()
    return response


@dataclass(frozen=True, slots=True)
class Kinds:
    """Items of the kinds beside pictures: files, and one further part of each."""

    film: int
    moment: int
    pdf: int
    page: int
    sound: int
    document: int
    passage: int


def add_kinds(config: Config) -> Kinds:
    """A film, a PDF, a sound and a document, in rows and files as indexing leaves them; embeddings are borrowed."""
    catalog = Catalog(config)
    with catalog.session() as session:
        media = Path(session.get_one(Root, 1).path)
        write_film(media / "film.webm")
        for name in ("paper.pdf", "song.mp3", "notes.txt"):
            (media / name).write_bytes(f"the bytes of {name}".encode())
        add = partial(_add, session, media)
        film = add("film.webm", "video", position=0, width=160, height=120)
        moment = add("film.webm", "video", parent=film, position=83_000, width=160, height=120)
        pdf = add("paper.pdf", "image", position=0, width=210, height=297)
        page = add("paper.pdf", "image", parent=pdf, position=3, width=210, height=297)
        sound = add("song.mp3", "audio")
        document, passage = add("notes.txt", "text"), 0
        for owner, parent, position, text, source in (
            (document, None, None, "The first words of the notes.", "text"),
            (None, document, 1, "Further words, about a harbour.", "text"),
            (film, film, None, "a film of the harbour", "film.txt"),
            (pdf, pdf, None, "What the first page says.", "pdf"),
            (page, pdf, 3, "What the fourth page says.", "pdf"),
            (sound, sound, None, "a song of the sea", "song.txt"),
        ):
            path = session.get_one(Item, parent or owner).path
            text_id = document if parent is None else add(path, "text", parent=parent, position=position)
            session.add(Caption(id=text_id, owner_id=owner or text_id, text=text, lang="en", source=source))
            passage = text_id if owner is None else passage
        _borrow_embeddings(session, images=(film, moment, pdf, page))
    save_thumbnails(catalog, config, (film, moment, pdf, page))
    catalog.engine.dispose()
    return Kinds(film, moment, pdf, page, sound, document, passage)


def write_film(path: Path, seconds: int = 100) -> None:
    """A small real film, one picture a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=1)
        stream.width, stream.height = 160, 120
        for second in range(seconds):
            image = Image.new("RGB", (160, 120), (second * 2, 60, 200 - second))
            frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def save_thumbnails(catalog: Catalog, config: Config, ids: Sequence[int]) -> None:
    """Thumbnails as indexing makes them, each of its own colour."""
    for number, view in enumerate(catalog.items(ids)):
        content = view.item.content_hash
        assert content is not None
        jpeg = thumbnail(Image.new("RGB", (80, 60), (60 * number, 90, 120)), 64)
        save_thumbnail(thumbnail_file(config.home, content, view.item.position), jpeg)


def _add(session: Session, media: Path, path: str, modality: str, parent: int | None = None, **values: object) -> int:
    facts, content = (media / path).stat(), None
    if modality != "text" or parent is None:
        content = hash_file(media / path, 10**9)
    size = facts.st_size if parent is None else 0
    item = Item(root_id=1, parent_id=parent, modality=modality, path=path, size=size, mtime_ns=facts.st_mtime_ns)
    item.content_hash = content
    for name, value in values.items():
        setattr(item, name, value)
    session.add(item)
    session.flush()
    return item.id


def _borrow_embeddings(session: Session, images: Sequence[int]) -> None:
    """Vectors of the library's own pictures for these, and of its captions for all words that have none."""
    embedded = sa.select(Embedding.shard, Embedding.row).join(Item, Item.id == Embedding.item_id)
    bare = sa.select(Item.id).where(Item.modality == "text", Item.id.not_in(sa.select(Embedding.item_id)))
    words = session.scalars(bare).all()
    for modality, ids in (("image", images), ("text", words)):
        places = session.execute(embedded.where(Item.modality == modality).order_by(Item.id)).all()
        for item, place in zip(ids, places, strict=False):
            session.add(Embedding(item_id=item, encoder_id=1, shard=place.shard, row=place.row))
