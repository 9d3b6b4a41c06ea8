"""Decoder processes: their answers equal a read in process; one that crashes, hangs or grows too large ends alone."""

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from engine.config import MediaSettings
from engine.decoding import Decoded, DecoderPool, Wanted, decode_all
from engine.decoding.hashes import perceptual_hash
from engine.errors import MediaError
from engine.media import read_media
from engine.media.files import hash_file
from engine.media.fitting import ImageInput
from engine.media.pictures import thumbnail
from engine.thumbnails import thumbnail_file
from tests.conftest import draw
from tests.late import wait_until_asked
from tests.media_files import animated, encoded, film, pdf, png, raw_file, shades, slow_drawing, sound, svg

WANTED = Wanted(ImageInput(32, 32), thumbnail_pixels=48)
LIMITS = MediaSettings(workers=1, max_seconds=20, max_frames=3)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose thumbnails the pool stores."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def pool(home: Path) -> Iterator[DecoderPool]:
    with DecoderPool(LIMITS, dataclasses.replace(WANTED, home=str(home))) as pool:
        yield pool


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "boat.jpg"
    draw(path, "red", "boat", 0)
    return path


def crashing(path: Path) -> Path:
    """A drawing whose pattern is larger than any memory: resvg aborts."""
    size = 'width="1000000" height="1000000" patternUnits="userSpaceOnUse"'
    pattern = f'<pattern id="p" {size}><rect width="1" height="1" fill="red"/></pattern>'
    path.write_bytes(svg(f'{pattern}<rect fill="url(#p)" width="100" height="50"/>'))
    return path


def outcome(pool: DecoderPool, path: Path) -> Decoded | MediaError:
    return pool.submit(path).result(timeout=60)


def decoded(pool: DecoderPool, path: Path) -> Decoded:
    found = outcome(pool, path)
    assert isinstance(found, Decoded), found
    return found


def reason(pool: DecoderPool, path: Path) -> str:
    found = outcome(pool, path)
    assert isinstance(found, MediaError) and found.hint
    return found.reason


# --- answers ---


def make_kinds(folder: Path) -> list[Path]:
    """One file of each kind."""
    draw(folder / "a.jpg", "blue", "tree", 3)
    for name, data in {
        "b.gif": animated("GIF", shades(9)),
        "c.tif": animated("TIFF", shades(2)),
        "d.heic": encoded(Image.new("RGB", (64, 48), "green"), "HEIF"),
        "e.svg": svg('<title>A circle</title><circle cx="50" cy="25" r="20" fill="red"/>'),
        "f.pdf": pdf(["one", "two"], info="/Title (A book) /Keywords (a, b)"),
        "g.dng": raw_file(),
        "h.txt": "A boat. 船\n\nAnother.".encode(),
    }.items():
        (folder / name).write_bytes(data)
    film(folder / "i.mp4", 2, metadata={"title": "A film"})
    sound(folder / "j.flac", "flac", metadata={"title": "A song"})
    return sorted(folder.iterdir())


def test_answers_equal_a_read_in_this_process(tmp_path: Path, pool: DecoderPool, home: Path) -> None:
    for path in make_kinds(tmp_path):
        found, media = decoded(pool, path), read_media(path, LIMITS, WANTED.at_least)
        assert (found.modality, found.passages, found.facts) == (media.modality, media.passages, media.facts), path
        assert (found.content_hash, found.bytes) == (hash_file(path, 10**9), path.stat().st_size)
        assert len(found.frames) == len(media.frames)
        for ours, theirs in zip(found.frames, media.frames, strict=True):
            assert (ours.position, ours.width, ours.height) == (theirs.position, theirs.width, theirs.height)
            assert np.array_equal(ours.pixels, WANTED.input.fit(theirs.image)), path
            stored = thumbnail_file(home, found.content_hash, ours.position).read_bytes()
            assert stored == thumbnail(theirs.image, 48) and len(stored) == ours.thumbnail
            assert ours.phash == perceptual_hash(theirs.image)


def test_no_thumbnail_and_no_hash_when_none_is_wanted(picture: Path) -> None:
    with DecoderPool(LIMITS, Wanted(ImageInput(32, 24), phash=False)) as pool:
        (frame,) = decoded(pool, picture).frames
    assert (frame.pixels.shape, frame.thumbnail, frame.phash) == ((32, 24, 3), 0, None)


def test_a_thumbnail_that_cannot_be_stored_is_no_fault_of_the_file(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "thumbs").write_bytes(b"where a folder should be")
    with DecoderPool(LIMITS, dataclasses.replace(WANTED, home=str(tmp_path))) as pool:
        with pytest.raises(NotADirectoryError):
            pool.submit(picture).result(timeout=60)


def test_the_perceptual_hash_is_bit_for_bit_that_of_imagehash(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        coarse = Image.fromarray(rng.integers(0, 256, (number % 9 + 1, number % 7 + 1, 3), dtype=np.uint8))
        image = coarse.resize((97, 64 + number), Image.Resampling.BICUBIC)
        small = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=2.0)
        assert perceptual_hash(image) == str(imagehash.phash(small)), number


def test_outcomes_come_in_order_with_failures_among_them(tmp_path: Path, pool: DecoderPool) -> None:
    paths = []
    for number in range(12):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(b"words" if number % 5 == 0 else encoded(Image.new("RGB", (number + 1, 9)), "PNG"))
    outcomes = list(decode_all(pool, paths, window=3))
    assert [found.frames[0].width if isinstance(found, Decoded) else 0 for found in outcomes] == [
        0 if number % 5 == 0 else number + 1 for number in range(12)
    ]


def test_a_name_of_any_bytes_is_found(tmp_path: Path, pool: DecoderPool, picture: Path) -> None:
    for name in (b"line\nbreak.jpg", b"\xff\xfe.jpg", "\u202egpj.jpg".encode(), b"x" * 251 + b".jpg"):
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(picture.read_bytes())
        assert decoded(pool, path).frames


# --- one that must be ended ---


def test_a_decoder_that_crashes_ends_alone(tmp_path: Path, pool: DecoderPool, picture: Path) -> None:
    assert "its decoder crashed (signal 6)" in reason(pool, crashing(tmp_path / "a.svg"))
    assert decoded(pool, picture).frames


def test_a_decoder_that_is_killed_ends_alone(tmp_path: Path, pool: DecoderPool, picture: Path) -> None:
    future = pool.submit(slow_drawing(tmp_path / "a.svg"))
    process = wait_until_asked(pool._decoders[0])._process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    found = future.result(timeout=30)
    assert isinstance(found, MediaError) and "its decoder crashed (signal 9)" in found.reason
    assert decoded(pool, picture).frames


def test_a_file_that_takes_too_long_is_stopped(tmp_path: Path, picture: Path) -> None:
    with DecoderPool(MediaSettings(workers=1, max_seconds=0.5), WANTED) as pool:
        started = time.monotonic()
        assert reason(pool, slow_drawing(tmp_path / "a.svg")) == "reading it took longer than 0.5 seconds"
        assert time.monotonic() - started >= 0.5
        pool._decoders[0].settings = LIMITS  # a busy machine may take half a second for anything
        assert decoded(pool, picture).frames


def test_one_that_answered_just_when_its_time_was_up_is_no_crash_of_the_next_file(picture: Path) -> None:
    with DecoderPool(LIMITS, WANTED) as pool:
        decoder = pool._decoders[0]
        decoder.start()
        with decoder._limited(0.0):
            while not decoder._late:  # the watch of the pool ends it
                os.sched_yield()
        assert decoder._process is None and decoded(pool, picture).frames


def test_a_file_that_takes_too_much_memory_is_refused(tmp_path: Path, picture: Path) -> None:
    limits = MediaSettings(workers=1, max_memory=256 * 2**20)
    path = tmp_path / "a.png"
    path.write_bytes(png(14_000, 14_000, bytes(14_000 * (14_000 * 3 + 1))))
    with DecoderPool(limits, WANTED) as pool:
        assert "memory" in reason(pool, path)
        assert decoded(pool, picture).frames


def test_every_kind_can_be_read_in_the_least_memory_that_may_be_set(tmp_path: Path) -> None:
    with DecoderPool(MediaSettings(workers=1, max_memory=256 * 2**20), WANTED) as pool:
        for path in make_kinds(tmp_path):
            decoded(pool, path)


# --- the end ---


def test_closing_ends_at_once_and_leaves_no_process(tmp_path: Path, picture: Path) -> None:
    pool = DecoderPool(MediaSettings(workers=2, max_seconds=100), WANTED)
    decoded(pool, picture)
    futures = [pool.submit(slow_drawing(tmp_path / f"{number}.svg")) for number in range(5)]
    while not futures[1].running():
        os.sched_yield()
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 50  # each file was given a hundred
    for future in futures[:2]:
        found = future.result(timeout=0)
        assert isinstance(found, MediaError) and found.reason == "indexing was stopped"
    assert all(future.cancelled() for future in futures[2:])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode") and not thread.daemon]


def test_a_decoder_ends_when_its_caller_is_gone(picture: Path) -> None:
    pool = DecoderPool(LIMITS, WANTED)
    decoded(pool, picture)
    process = pool._decoders[0]._process
    assert process is not None and process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    pool.close()
