"""Documents of plain words, and words from elsewhere made tidy: cut into passages that a text encoder can take in."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media.contract import Media, Passage
from engine.media.files import open_file
from engine.types import Modality

_LONGEST = 300  # characters: about the 77 tokens that text encoders read
_MOST_BYTES = 4 * 2**20  # of a document; what follows is not read
_PASSAGES_A_PAGE = 4  # passages kept for each page that a PDF could have

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")  # not tab, line ends, form feed, escape
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffe\uffff]")
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|(?<=[。！？；])")
_MARKS = (  # Markdown's, each with what stands for it; none of them looks far ahead, whatever the text
    (re.compile(r"^---\n.*?\n---\n", re.DOTALL), ""),  # front matter
    (re.compile(r"^(?:```|~~~).*$", re.MULTILINE), ""),
    (re.compile(r"</?[a-zA-Z][^<>]{0,500}>"), " "),
    (re.compile(r"!?\[([^\[\]]{0,500})\](?:\([^()\s]{0,2000}(?:\s[^()]{0,500})?\)|\[[^\[\]]{0,200}\])"), r"\1"),
    (re.compile(r"^[ \t]{0,3}(?:#{1,6}[ \t]+|>[ \t]?|[-*+][ \t]+|\d{1,9}[.)][ \t]+)", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*(?:[-*_=][ \t]*){3,}$", re.MULTILINE), ""),
    (re.compile(r"^(?=[ \t:-]*\|)[ \t:|-]{3,}$", re.MULTILINE), ""),
    (re.compile(r"(\*\*|__|~~|`)(?=\S)|(?<=\S)(\*\*|__|~~|`)"), ""),
    (re.compile(r"(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)"), ""),
    (re.compile(r"\|"), " "),
)


def read_words(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """A document of words as passages, the first of them its own. Raises MediaError for what is no text."""
    with open_file(path, settings.max_bytes) as file:
        words = decode_words(file.read(_MOST_BYTES))
    if path.suffix.lower() == ".md":
        words = without_marks(words)
    most = settings.max_pages * _PASSAGES_A_PAGE
    passages = tuple(Passage(text, "text", number) for number, text in enumerate(split(words, most)))
    if not passages:
        raise MediaError("decode", "it holds no words", "remove it, or write something into it")
    return Media(Modality.TEXT, passages=passages)


def decode_words(data: bytes) -> str:
    """The text of a file, or of the beginning of one: by its byte order mark, else UTF-8, else Windows Latin.

    Raises MediaError for what is no text.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None)
    for name in (encoding,) if encoding else ("utf-8", "cp1252", "latin-1"):
        try:
            # what is not final may end within a character
            text = codecs.getincrementaldecoder(name)().decode(data, final=len(data) < _MOST_BYTES)
        except UnicodeDecodeError:
            continue
        if _CONTROLS.search(text) is None:
            return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        break
    raise MediaError(
        "decode", "not text: it holds bytes that no text has", "check that the name's ending tells the truth"
    )


def without_marks(markdown: str) -> str:
    """The words of Markdown, without most of its marks."""
    kept: list[str] = []
    for part in markdown.split("<!--"):
        comment, end, after = part.partition("-->")
        kept.append(after if kept and end else comment)
    markdown = " ".join(kept)
    for pattern, instead in _MARKS:
        markdown = pattern.sub(instead, markdown)
    return markdown


def tidy(text: str, most: int = 2000) -> str:
    """One line without characters that cannot be seen, of at most `most` characters."""
    return " ".join(_INVISIBLE.sub(" ", text[: 4 * most]).split())[:most].strip()


def split(text: str, most: int) -> list[str]:
    """At most `most` passages of some 300 characters: whole paragraphs where they fit, else sentences, else words."""
    passages: list[str] = []
    current = ""
    for part, begins in _parts(text):
        if current and (begins and len(current) > _LONGEST // 3 or len(current) + 1 + len(part) > _LONGEST):
            passages.append(current)
            if len(passages) == most:
                return passages
            current = ""
        current = f"{current} {part}" if current else part
    return [*passages, current] if current else passages


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The sentences of a text, none too long, and whether each begins a paragraph."""
    for paragraph in _PARAGRAPH.split(text):
        begins = True
        for sentence in _SENTENCE.split(paragraph):
            words = tidy(sentence, len(sentence))
            while words:
                end = len(words) if len(words) <= _LONGEST else words.rfind(" ", _LONGEST // 2, _LONGEST + 1)
                end = _LONGEST if end < 0 else end
                yield words[:end], begins
                words, begins = words[end:].lstrip(), False
