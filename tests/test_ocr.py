"""Words inside pictures, read by the real tesseract where it is installed."""

import os
import shutil
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from PIL import Image, ImageDraw, ImageFont

from engine.catalog import Caption, Catalog
from engine.config import MediaSettings
from engine.decoding import Decoded, DecoderPool, Wanted
from engine.errors import ConfigError
from engine.media.contract import Frame, Media, Passage
from engine.media.fitting import ImageInput
from engine.media.ocr import MOST_CHARACTERS, check_ocr, enough_pixels, words_in
from engine.types import Modality
from indexer.library import index_folders
from tests.conftest import config_at, silent

ON = MediaSettings(ocr=True, workers=1)
needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed here")


def sign(text: str, size: tuple[int, int] = (900, 300), letters: float = 60) -> Image.Image:
    image = Image.new("RGB", size, "white")
    font = ImageFont.load_default(size=letters)
    ImageDraw.Draw(image).multiline_text((40, 40), text, font=font, fill="black")
    return image


def media(*images: Image.Image, passages: tuple[Passage, ...] = ()) -> Media:
    frames = (Frame(image, *image.size, position=number) for number, image in enumerate(images))
    return Media(Modality.IMAGE, tuple(frames), passages)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called tesseract that comes first on the path, to be written by the test."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return tmp_path / "tesseract"


ANSWERS = r"""case "$1" in
--version) echo 'tesseract 5.3.0'; echo ' leptonica-1.82.0'; exit ;;
--list-langs) printf 'List of available languages in "/usr/share" (2):\neng\nosd\n'; exit ;;
esac"""


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def is_alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] not in ("Z", "X")


# --- before anything is read ---


def test_when_it_is_off_nothing_is_asked_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    off = replace(ON, ocr=False)
    check_ocr(off)
    assert words_in(media(sign("Fish market")), off, time.monotonic()) == ()
    assert (enough_pixels(off, 224), enough_pixels(ON, 224), enough_pixels(ON, 1200)) == (224, 1000, 1200)


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="install tesseract-ocr, or set media.ocr = false"):
        check_ocr(ON)


def test_a_program_that_answers_as_tesseract_does_is_taken_and_a_missing_language_named(program: Path) -> None:
    write(program, ANSWERS)
    check_ocr(ON)
    with pytest.raises(ConfigError, match=r"'deu', which tesseract has not \(it has eng\): install tesseract-ocr-deu"):
        check_ocr(replace(ON, ocr_languages="eng+deu"))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 1", "does not say which tesseract it is .it says: nothing"),
        ("kill -SEGV $$", "does not say which tesseract it is .it says: nothing"),
        ("echo error while loading libtesseract.so.5; exit 127", "it says: error while loading libtesseract.so.5"),
        ("echo tesseract of another kind", "it says: tesseract of another kind"),
        (r"printf '\377\376'", "does not say which tesseract it is"),
        ("echo tesseract 3.04.01", "tesseract 3.04 is older than 3.05"),
        ("exec sleep 60", "does not run .*timed out"),
    ],
)
def test_a_program_that_is_broken_lies_or_is_too_old_is_told_at_the_start(
    program: Path, script: str, reason: str
) -> None:
    write(program, script)
    with pytest.raises(ConfigError, match=f"media.ocr is on, but .*{reason}.*: install tesseract-ocr, or"):
        check_ocr(replace(ON, max_seconds=1.0))


def test_a_program_that_may_not_be_run_is_told_at_the_start(program: Path) -> None:
    program.mkdir()
    with pytest.raises(ConfigError, match="does not run .*denied"):
        check_ocr(ON)


@needs_tesseract
def test_a_language_that_the_real_program_has_not_is_named() -> None:
    check_ocr(ON)
    with pytest.raises(ConfigError, match="'tlh'.*eng.*tesseract-ocr-tlh"):
        check_ocr(replace(ON, ocr_languages="eng+tlh"))


# --- reading ---


@needs_tesseract
def test_words_of_every_frame_with_their_place() -> None:
    found = words_in(
        media(sign("Fish market\nopen until 18:30"), Image.new("RGB", (300, 200), "teal"), sign("Harbour Street")),
        ON,
        time.monotonic(),
    )
    assert found == (Passage("Fish market open until 18:30", "ocr", 0), Passage("Harbour Street", "ocr", 2))


@needs_tesseract
def test_noise_is_no_words() -> None:
    noise = Image.effect_noise((800, 600), 90).convert("RGB")
    assert words_in(media(noise), ON, time.monotonic()) == ()


@needs_tesseract
def test_a_page_with_text_of_its_own_is_not_read_again() -> None:
    page = media(sign("Fish market"), sign("Harbour"), passages=(Passage("Fish market", "pdf", 0),))
    assert words_in(page, ON, time.monotonic()) == (Passage("Harbour", "ocr", 1),)


@needs_tesseract
def test_a_huge_picture_is_reduced() -> None:
    huge = sign("Harbour Street", (9000, 3000), 600)
    assert [passage.text for passage in words_in(media(huge), ON, time.monotonic())] == ["Harbour Street"]


def test_only_words_that_are_sure_are_kept_and_not_without_end(program: Path, tmp_path: Path) -> None:
    lines = ["conf\ttext", "60\tfog", "59.9\tfrog", "99\t--", "-1\t", "95\t18"]
    (tmp_path / "answer").write_text("\n".join(lines))
    write(program, f"cat {tmp_path}/answer")
    assert words_in(media(sign("")), ON, time.monotonic()) == (Passage("fog 18", "ocr"),)
    (tmp_path / "answer").write_text("\n".join([lines[0], *["96\tharbour"] * 9000]))
    (passage,) = words_in(media(sign("")), ON, time.monotonic())
    assert MOST_CHARACTERS - 10 < len(passage.text) <= MOST_CHARACTERS


def test_a_program_that_hangs_is_stopped_in_time_for_the_picture_to_be_kept(program: Path) -> None:
    write(program, "exec sleep 60")
    settings = replace(ON, max_seconds=40.0)
    started = time.monotonic() - 28.5  # three quarters are for words
    assert words_in(media(sign("Fish"), sign("market")), settings, started) == ()
    assert 30 <= time.monotonic() - started < settings.max_seconds


@pytest.mark.parametrize("script", ["exit 1", "kill -SEGV $$", "echo nonsense", r"printf '\377\376'"])
def test_a_program_that_fails_leaves_the_picture_without_words(program: Path, script: str) -> None:
    write(program, script)
    assert words_in(media(sign("Fish")), ON, time.monotonic()) == ()


# --- in a decoder process ---


def test_what_the_program_reads_becomes_a_caption_that_says_so(
    program: Path, tmp_path: Path, encoder_folder: Path
) -> None:
    """It is given the picture, the language and nothing of the file's name, which a shell might take for a command."""
    asked, place = tmp_path / "asked", tmp_path / "media"
    table = r"printf 'conf\ttext\n96\tfish\n95\tmarket\n'"
    write(program, f'{ANSWERS}\nfor one; do echo "$one"; done > {asked}\ncat > /dev/null\n{table}')
    place.mkdir()
    sign("Fish market").save(place / "$(touch oops);-l x.png")
    config = config_at(
        tmp_path / "home", encoder={"model": str(encoder_folder)}, media={"ocr": True, "ocr_languages": "eng"}
    )
    index_folders(config, [place], silent)
    with Catalog(config).session() as session:
        assert list(session.execute(sa.select(Caption.text, Caption.source)).tuples()) == [("fish market", "ocr")]
    assert asked.read_text().split() == ["stdin", "stdout", "-l", "eng", "-c", "tessedit_create_tsv=1"]
    assert not list(tmp_path.rglob("oops"))


@needs_tesseract
def test_a_decoder_reads_words_from_more_pixels_than_the_encoder_wants(tmp_path: Path) -> None:
    path = tmp_path / "sign.jpg"
    sign("Fish market, open until late", (2400, 1600), 64).save(path)
    wanted = Wanted(ImageInput(32, 32), thumbnail_pixels=64, phash=False)
    with DecoderPool(ON, wanted) as pool:
        decoded = pool.submit(path).result()
    assert isinstance(decoded, Decoded)
    assert decoded.passages == (Passage("Fish market, open until late", "ocr", 0),)
    assert decoded.frames[0].pixels.shape == (32, 32, 3)


def test_closing_decoders_ends_the_program_too(program: Path, tmp_path: Path) -> None:
    write(program, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    path = tmp_path / "sign.png"
    sign("Fish").save(path)
    with DecoderPool(ON, Wanted(ImageInput(32, 32), phash=False)) as pool:
        future = pool.submit(path)
        until = time.monotonic() + 60
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()):
            assert time.monotonic() < until and not future.done()
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < until, "it lives on"
