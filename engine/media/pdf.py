"""PDFs: each page as a picture, with its words."""

from pathlib import Path

import pypdfium2

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media.contract import Facts, Frame, Media, Passage
from engine.media.files import read_file
from engine.media.limits import damaged, deadline, passed
from engine.media.text import split, tidy
from engine.types import Modality

_TIME_SHARE = 0.5
_LONGEST_SHAPE = 16  # to 1: a page that is longer is drawn smaller
_MOST_CHARACTERS = 20_000  # of a page's words that are looked at
_PASSAGES_A_PAGE = 4


def read_pdf(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """The pages of a PDF, the shorter side of each `at_least` pixels, and passages at the places of their pages.

    Pages past the limit, pages that cannot be drawn, and those for which time is lacking are left out; without its
    first page a file is damaged. width and height are as drawn: a page has no pixels of its own.
    """
    data = read_file(path, settings.max_bytes)
    pypdfium2.raw.FPDF_LoadMemDocument64(b"", 0, None)  # fails: what was wrong with an earlier file is not said of this
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise MediaError("decode", "it is locked with a password", "save a copy without one") from None
        raise _damaged(error) from None
    frames: list[Frame] = []
    passages: list[Passage] = []
    try:
        until = deadline(settings.max_seconds, _TIME_SHARE)
        for number in range(min(len(document), settings.max_pages)):
            try:
                frame, words = _page(document, number, settings, at_least)
            except (pypdfium2.PdfiumError, ValueError) as error:
                if number == 0:
                    raise _damaged(error) from None
                continue
            frames.append(frame)
            passages += [Passage(text, "pdf", number) for text in words]
            if passed(until):
                break
        if not frames:
            raise MediaError("decode", "it has no pages", "copy it again from its source")
        return Media(Modality.IMAGE, tuple(frames), tuple(passages), _facts(document))
    finally:
        document.close()


def _damaged(error: Exception) -> MediaError:
    """PDFium calls it a success where it gave up without a reason."""
    return damaged(ValueError(str(error).replace(" (PDFium: Success)", "")))


def _page(
    document: pypdfium2.PdfDocument, number: int, settings: MediaSettings, at_least: int
) -> tuple[Frame, list[str]]:
    page = document[number]
    try:
        width, height = page.get_size()
        if not (0 < width < 1e6 and 0 < height < 1e6):
            raise ValueError(f"a page of {width:g} x {height:g} points")
        longest = min(_LONGEST_SHAPE * at_least, settings.max_pixels // at_least)
        scale = min(at_least / min(width, height), longest / max(width, height))
        bitmap = page.render(scale=scale, may_draw_forms=False)
        image = bitmap.to_pil().convert("RGB")
        bitmap.close()
        return Frame(image, image.width, image.height, number), _words(page)
    finally:
        page.close()


def _words(page: pypdfium2.PdfPage) -> list[str]:
    """The words of a page in passages; none when they cannot be read."""
    try:
        text_page = page.get_textpage()
        try:
            count = min(text_page.count_chars(), _MOST_CHARACTERS)
            text = text_page.get_text_range(0, count) if count > 0 else ""
        finally:
            text_page.close()
    except pypdfium2.PdfiumError:
        return []
    return split(text.replace("\r\n", "\n").replace("\ufffe", ""), _PASSAGES_A_PAGE)


def _facts(document: pypdfium2.PdfDocument) -> Facts:
    told = document.get_metadata_dict(skip_empty=True)
    keywords = (tidy(word, 100) for word in told.get("Keywords", "").replace(";", ",").split(",")[:64])
    title = tidy(told.get("Title", ""), 500) or None
    return Facts(title=title, keywords=tuple(filter(None, keywords)), pages=len(document))
