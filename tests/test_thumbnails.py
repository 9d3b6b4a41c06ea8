"""Thumbnails: one for each content, made once, from the original when it is missing."""

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.config import Config
from engine.errors import MediaError, NotFound
from engine.media.files import hash_file
from engine.media.pictures import thumbnail
from engine.shown import ItemView, ShownItem
from engine.thumbnails import ensure_thumbnail, main_colours, save_thumbnail, thumbnail_file
from tests.conftest import config_at, draw

HASH = "ab" + "0" * 30


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_at(tmp_path / "home", media={"thumbnail_pixels": 48})


@pytest.fixture
def view(tmp_path: Path) -> ItemView:
    """An item whose file is there and whose thumbnail is not."""
    draw(tmp_path / "media" / "boats" / "a.jpg", "red", "boat", 0)
    path = tmp_path / "media" / "boats" / "a.jpg"
    content = hash_file(path, 10**6)
    return ItemView(ShownItem(id=7, path="boats/a.jpg", content_hash=content), str(tmp_path / "media"))


def other(view: ItemView, **facts: Any) -> ItemView:
    """The same item, of which something else is known."""
    return view._replace(item=view.item._replace(**facts))


def test_a_thumbnail_is_found_by_its_content(tmp_path: Path) -> None:
    assert thumbnail_file(tmp_path, HASH) == tmp_path / "thumbs" / "ab" / f"{HASH}.jpg"


def test_a_missing_thumbnail_is_made_from_the_original(config: Config, view: ItemView) -> None:
    path = ensure_thumbnail(view, config)
    assert path == thumbnail_file(config.home, str(view.item.content_hash))
    with Image.open(path) as small:
        assert (small.format, small.size) == ("JPEG", (48, 36))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_thumbnail_is_made_once_and_outlives_its_original(config: Config, view: ItemView) -> None:
    made = ensure_thumbnail(view, config).stat().st_mtime_ns
    view.file.unlink()
    assert ensure_thumbnail(view, config).stat().st_mtime_ns == made


def test_what_was_saved_is_not_made_again(config: Config) -> None:
    for color in ("red", "blue"):
        save_thumbnail(thumbnail_file(config.home, HASH), thumbnail(Image.new("RGB", (60, 40), color), 48))
    with Image.open(thumbnail_file(config.home, HASH)) as small:
        red, _, blue = small.convert("RGB").resize((1, 1)).tobytes()
    assert red > 200 and blue < 50


def test_an_item_that_was_never_decoded_has_no_thumbnail(config: Config, view: ItemView) -> None:
    with pytest.raises(NotFound, match="item 7"):
        ensure_thumbnail(other(view, content_hash=None), config)


def test_a_missing_original_is_not_found(config: Config, view: ItemView) -> None:
    view.file.unlink()
    with pytest.raises(NotFound, match="rebus index"):
        ensure_thumbnail(view, config)


def test_an_original_outside_its_root_is_not_found(config: Config, view: ItemView) -> None:
    (Path(view.root).parent / "secret.jpg").write_bytes(view.file.read_bytes())
    with pytest.raises(NotFound):
        ensure_thumbnail(other(view, path="../secret.jpg"), config)
    assert not (config.home / "thumbs").exists()


def test_a_damaged_original_is_a_media_error_and_leaves_nothing(config: Config, view: ItemView) -> None:
    view.file.write_bytes(view.file.read_bytes()[:400])
    with pytest.raises(MediaError):
        ensure_thumbnail(other(view, content_hash=hash_file(view.file, 1000)), config)
    assert not (config.home / "thumbs").exists()


def test_several_threads_may_make_the_same_thumbnail(config: Config, view: ItemView) -> None:
    barrier, made = threading.Barrier(4), list[Path]()

    def make() -> None:
        barrier.wait()
        made.append(ensure_thumbnail(view, config))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and len(set(made)) == 1
    with Image.open(made[0]) as small:
        small.load()
    assert [entry.name for entry in made[0].parent.iterdir()] == [made[0].name]


def test_what_a_picture_says_of_itself_is_in_no_thumbnail() -> None:
    whole = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    Image.new("RGB", (60, 40), "red").save(whole, "JPEG", comment=b"a secret", exif=exif)
    for pixels in (384, 48):  # small enough as it is, and made smaller
        with Image.open(whole) as image:
            jpeg = thumbnail(image, pixels)
        assert b"a secret" in whole.getvalue() and b"a secret" not in jpeg


def test_the_colours_of_a_progressive_thumbnail_are_read_too(tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 72), "red")
    image.paste("blue", (48, 0, 96, 72))
    for progressive in (False, True):
        image.save(tmp_path / f"{progressive}.jpg", quality=95, progressive=progressive)
        assert main_colours(tmp_path / f"{progressive}.jpg") == 3 * ("f00f00" + "00f00f")


def test_what_is_no_thumbnail_has_no_colours(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(thumbnail(Image.new("RGB", (300, 200)), 384)[:300])
    (tmp_path / "other.jpg").write_bytes(b"GIF89a")
    for name in ("cut.jpg", "other.jpg", "missing.jpg"):
        with pytest.raises(OSError):  # noqa: PT011  # Pillow's and the system's words
            main_colours(tmp_path / name)
