"""Documents: words cut into passages, and the pages of PDFs as pictures with their words."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media import Media, read_media
from engine.media.text import split, tidy, without_marks
from engine.types import Modality
from tests.media_files import encoded, pdf, pdf_of

LIMITS = MediaSettings(max_pages=5)


def read(path: Path, data: bytes, limits: MediaSettings = LIMITS) -> Media:
    path.write_bytes(data)
    return read_media(path, limits, 100)


def refusal(path: Path, data: bytes, limits: MediaSettings = LIMITS) -> str:
    with pytest.raises(MediaError) as error:
        read(path, data, limits)
    assert error.value.hint
    return error.value.reason


# --- words ---


def test_paragraphs_become_passages_in_order(tmp_path: Path) -> None:
    first, second = "A boat lies in the harbour, and nobody is aboard. " * 4, "Then the wind rose.\nIt was night."
    media = read(tmp_path / "a.txt", f"{first}\r\n\r\n{second}\r\n".encode())
    assert (media.modality, media.frames) == (Modality.TEXT, ())
    assert [passage.text for passage in media.passages] == [first.strip(), "Then the wind rose. It was night."]
    assert [(passage.source, passage.position) for passage in media.passages] == [("text", 0), ("text", 1)]


def test_short_paragraphs_stand_together_and_long_ones_are_cut_at_sentences(tmp_path: Path) -> None:
    assert split("Title\n\nA line.\n\nAnother line.", 9) == ["Title A line. Another line."]
    sentence = "The quick brown fox jumps over the lazy dog once more. "
    passages = split(sentence * 30, 99)
    assert all(passage.endswith("more.") and 200 < len(passage) <= 300 for passage in passages[:-1])


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=3000), st.integers(1, 50))
def test_no_passage_is_too_long_and_no_word_is_lost(text: str, most: int) -> None:
    passages = split(text, most)
    assert len(passages) <= most and all(0 < len(passage) <= 300 for passage in passages)
    if len(passages) < most:
        assert "".join("".join(passages).split()) == "".join(tidy(text, len(text)).split())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("船 a boat".encode(), "船 a boat"),
        ("船 a boat".encode("utf-8-sig"), "船 a boat"),
        ("船 a boat".encode("utf-16"), "船 a boat"),
        (b"\xfe\xff" + "船 a boat".encode("utf-16-be"), "船 a boat"),
        ("船 a boat".encode("utf-32"), "船 a boat"),
        ("un café à “Paris”".encode("cp1252"), "un café à “Paris”"),
        (b"one\x81two", "one two"),
        ("a\u202eb\u200bc".encode(), "a b c"),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, text: str) -> None:
    assert [passage.text for passage in read(tmp_path / "a.txt", data).passages] == [text]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"words\0and more", "not text"),
        (encoded(Image.new("RGB", (9, 9)), "PNG"), "not text"),
        (encoded(Image.new("RGB", (9, 9)), "JPEG"), "not text"),
        (b"\xff\xfea", "not text"),
        (" \n\t\n\u200b".encode(), "it holds no words"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    assert reason in refusal(tmp_path / "a.txt", data)


def test_a_long_text_is_read_from_its_beginning(tmp_path: Path) -> None:
    media = read(tmp_path / "a.txt", ("船" * 59 + "。\n\n").encode() * 60_000)
    assert len(media.passages) == 5 * 4 and media.passages[0].text.startswith("船")


def test_markdown_loses_its_marks(tmp_path: Path) -> None:
    marked = (
        "---\ntitle: secret\n---\n# The *boat*\n\n"
        "> A **bold** word, a [link](http://a.b/c_d 'x') and ![a tree](t.png)\n"
        "\n- `code` in a list\n2. some_name stays\n\n| a | b |\n|---|:-:|\n| c | d |\n\n```python\nx = 1\n```\n***\n"
        "<b>set</b><!-- not this -->\n"
    )
    words = " ".join(without_marks(marked).split())
    assert words == ("The boat A bold word, a link and a tree code in a list some_name stays a b c d x = 1 set")
    media = read(tmp_path / "a.md", marked.encode())
    assert media.passages[0].text.startswith("The boat A bold word")


@given(st.text(alphabet="a [](){}<>!*_`#|-\n", max_size=4000))
def test_marks_alone_take_no_time(text: str) -> None:
    without_marks(text)


def test_many_open_brackets_take_no_time(tmp_path: Path) -> None:
    read(tmp_path / "a.md", b"a" + b"[" * 100_000 + b"<a" * 100_000 + b"(" * 100_000 + b"*_" * 100_000)


# --- PDF ---


def test_the_pages_of_a_pdf_are_pictures_with_their_words(tmp_path: Path) -> None:
    data = pdf(
        ["A boat (red)\nin the harbour", "", "The end"], info="/Title (My  book) /Keywords (boats; sea, boats at sea)"
    )
    media = read(tmp_path / "a.pdf", data)
    assert media.modality is Modality.IMAGE
    assert [(frame.image.size, frame.image.mode, frame.position) for frame in media.frames] == [
        ((150, 100), "RGB", number) for number in range(3)
    ]
    assert [(passage.text, passage.source, passage.position) for passage in media.passages] == [
        ("A boat (red) in the harbour", "pdf", 0),
        ("The end", "pdf", 2),
    ]
    assert (media.facts.title, media.facts.pages) == ("My book", 3)
    assert media.facts.keywords == ("boats", "sea", "boats at sea")
    darkest = [int(np.asarray(frame.image).min()) for frame in media.frames]
    assert darkest[0] < 100 and darkest[1] == 255


def test_pages_past_the_limit_are_counted_only(tmp_path: Path) -> None:
    media = read(tmp_path / "a.pdf", pdf([f"page {number}" for number in range(9)]))
    assert [frame.position for frame in media.frames] == [0, 1, 2, 3, 4] and media.facts.pages == 9
    assert media.passages[-1].text == "page 4"


def test_the_words_of_one_page_are_capped(tmp_path: Path) -> None:
    media = read(tmp_path / "a.pdf", pdf(["\n".join(["many words on one line of this page"] * 500)]))
    assert len(media.passages) == 4 and all(len(passage.text) <= 300 for passage in media.passages)


@pytest.mark.parametrize("size", [(14_400, 14_400), (900_000, 900_000), (10, 900_000), (0.5, 0.5), (900_000, 1)])
def test_a_page_is_drawn_at_the_size_wanted_whatever_it_says(tmp_path: Path, size: tuple[float, float]) -> None:
    frame = read(tmp_path / "a.pdf", pdf(["big"], size=size)).frames[0]
    assert max(frame.image.size) <= 1601 and min(frame.image.size) >= 1


def test_a_locked_pdf_says_so(tmp_path: Path) -> None:
    key = "28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a"
    lock = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{key}> /U <{key}> >> /ID [<00> <00>]"
    assert refusal(tmp_path / "a.pdf", pdf(["secret"], extra=lock)) == "it is locked with a password"
    after = refusal(tmp_path / "b.pdf", pdf_of(["<< /Type /Catalog >>"]))
    assert after.startswith("damaged or incomplete: "), "what was wrong with the one before is not said of this"


def endless_tree() -> bytes:
    """Pages whose only child is themselves."""
    return pdf_of(["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Count 9999999 /Kids [2 0 R 2 0 R] >>"])


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\nnothing",
        b"words",
        pdf(["cut"])[:200],
        pdf([]),
        endless_tree(),
        pdf_of(["<< /Type /Catalog >>"]),
    ],
    ids=["head", "words", "cut", "no pages", "endless tree", "no tree"],
)
def test_a_damaged_pdf_is_refused(tmp_path: Path, data: bytes) -> None:
    reason = refusal(tmp_path / "a.pdf", data)
    assert "Success" not in reason
    assert reason.startswith("damaged or incomplete: ") or reason == "it has no pages"


def test_a_damaged_page_among_others_is_left_out(tmp_path: Path) -> None:
    data = pdf(["one", "two", "three"]).replace(b"6 0 obj\n<< /Type /Page ", b"6 0 obj\n<< /Type /Nope ")
    media = read(tmp_path / "a.pdf", data)
    assert 0 in [frame.position for frame in media.frames] and media.passages[0].text == "one"
    assert media.passages[-1].text == "three"
