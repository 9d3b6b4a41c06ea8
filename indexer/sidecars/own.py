"""The sidecars of one file: words, JSON and XMP beside it."""

import json
from dataclasses import replace
from pathlib import Path

from engine.config import CaptionSettings
from engine.errors import MediaError
from engine.media.files import read_file, read_text
from engine.media.xmp import parse_xmp
from indexer.found import FoundFile
from indexer.sidecars.rows import clean as clean_line
from indexer.sidecars.rows import language, lowered, said_in, title_of, why_no_json
from indexer.sidecars.said import Captions, CaptionText

HINT = "see Captions in the README for the forms that are read"
_LARGEST = 16 << 20  # bytes of what describes one file
_IMG2DATASET = frozenset(("key", "url", "status"))


def read_own(root: Path, source: FoundFile, settings: CaptionSettings) -> Captions:
    """What a file's own sidecar says of it. Raises MediaError."""
    if source.size == 0:
        return Captions()  # no captions is no failure
    limit = min(_LARGEST, settings.max_bytes)
    if source.size > limit:
        reason = f"{source.size:,} bytes of captions of one file, over the limit of {limit:,}"
        raise MediaError("caption", reason, "move it out of the media folder, or shorten it")
    path = root / source.path
    ending = source.path[source.path.rfind(".") :].lower()
    if ending == ".txt":
        return _from_text(read_text(path, limit), settings)
    return (_from_xmp if ending == ".xmp" else _from_json)(read_file(path, limit), settings)


def _from_text(text: str, settings: CaptionSettings) -> Captions:
    """A caption a line."""
    found: list[CaptionText] = []
    for line in text.split("\n"):
        if len(found) < settings.max_per_item and (words := clean_line(line, settings)):
            found.append(CaptionText(words, settings.languages[0], "txt"))
    return Captions(found)


def _from_xmp(data: bytes, settings: CaptionSettings) -> Captions:
    xmp = parse_xmp(data)
    found = []
    for words in xmp.words:
        lang, text = language(words.lang, settings), clean_line(words.text, settings)
        if lang and text and title_of(text):
            found.append(CaptionText(text, lang, "xmp sidecar"))
    facts = replace(xmp.facts, title=title_of(xmp.facts.title))
    return Captions(found, facts=facts, source="xmp sidecar" if facts.keywords else "")


def _from_json(data: bytes, settings: CaptionSettings) -> Captions:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MediaError("caption", f"not JSON: {why_no_json(error)}", HINT) from None
    rows = said if isinstance(said, list) else [said]
    if all(isinstance(each, str) for each in rows):
        rows = [{"captions": rows}]
    found = Captions()
    for row in rows:
        if not isinstance(row, dict):
            raise MediaError("caption", "neither a JSON object nor a list of captions", HINT)
        keyed = lowered(row)
        try:
            found.add(said_in(keyed, "img2dataset" if keyed.keys() >= _IMG2DATASET else "json", settings))
        except ValueError as error:
            raise MediaError("caption", str(error), HINT) from None
        if len(found.texts) > settings.max_per_item:
            break
    return found
