"""Calibrate a version: what the cosine of words and the nearest picture says of whether the thing is there at all.

Questions are made of the library's own captions, of held-out pictures where there are enough: single words, a few words
in a row, and whole captions. Each is asked twice: of all pictures, and of the half of them that is least like its own
picture, a library that has nothing of the kind. A logistic regression tells the two apart by the cosine of the best
hit and the number of words (Platt 1999).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from engine.catalog import Catalog, EncoderRow, IndexVersion
from engine.confidence import Calibration
from engine.config import Config
from engine.encoders import Encoder, load_encoder, resolved_spec
from engine.errors import EncoderUnavailable
from engine.index import PlacedRows
from engine.types import F32, I64, Bool, Modality
from engine.versions import Version
from indexer.jobs import Tell
from indexer.sources import sample
from indexer.splits import Captioned, captioned, held_out

LEAST = 100  # captioned pictures that can be asked for
_ASKED = 200  # questions of each of the three kinds, at most
_PRODUCTS = 30_000_000  # cosines reckoned, about
_PICTURES = 200_000  # compared with
_COMMON = 0.1  # words in the captions of more pictures than this share are not asked for alone
_TOLD = 0.6  # area under the curve below which nothing can be told apart
_CHANGED = 1.25  # how much a library may grow or shrink before it is calibrated anew
_WORD = re.compile(r"\w+")


class _Question(NamedTuple):
    picture: int
    words: list[str]


def calibrate(
    catalog: Catalog, config: Config, row: IndexVersion, tell: Tell, encoder: Encoder | None = None
) -> Calibration | None:
    """Calibrate a published version and keep it with that; None where there is too little to tell by.

    What came over from the version before it is kept while the library is of about the same size. encoder: the
    version's, when it is loaded already.
    """
    known, count = Calibration.read(row.calibration), row.counts.get(str(Modality.IMAGE), 0)
    if known is not None and 1 / _CHANGED < count / max(1, known.pictures) < _CHANGED:
        return known
    found = _calibrated(catalog, config, row, tell, encoder) if count >= LEAST else None
    with catalog.session() as session:
        kept = session.get(IndexVersion, row.id)
        if kept is not None:
            kept.calibration = row.calibration = None if found is None else found.facts()
    return found


def _calibrated(
    catalog: Catalog, config: Config, row: IndexVersion, tell: Tell, encoder: Encoder | None
) -> Calibration | None:
    version = Version.load(catalog, row)
    index = version.indexes.get(Modality.IMAGE)
    if index is None or not version.head.reads_words or not version.head.compares(Modality.TEXT, Modality.IMAGE):
        return None
    base = index.base
    assert isinstance(base, PlacedRows)  # as it is loaded; only a searcher places it elsewhere
    with catalog.session() as session:
        encoder_row = session.get_one(EncoderRow, row.encoder_id)
    chosen = sample(len(base.row_ids), _PICTURES)
    place = {int(item): n for n, item in enumerate(base.row_ids[chosen])}
    asked = _asked_of(catalog, config, place, learned_here=row.head_id is not None or bool(encoder_row.report))
    if len(asked) < LEAST:
        return None
    tell("calibrating", 0, 0)
    questions = _questions(asked, min(_ASKED, max(LEAST // 2, _PRODUCTS // (3 * len(chosen)))))
    try:
        rows = _encoded(catalog, config, version, encoder_row, encoder, [" ".join(one.words) for one in questions])
    except EncoderUnavailable:
        return None
    own = np.array([place[one.picture] for one in questions], np.int64)
    here, gone = _nearest(rows, base.vectors[chosen], own)
    return _fitted(here, gone, np.array([len(one.words) for one in questions]), own, len(place))


def _asked_of(catalog: Catalog, config: Config, place: dict[int, int], *, learned_here: bool) -> list[Captioned]:
    """Pictures whose captions are asked: held out where there are enough, or where any was learned from."""
    known = [picture for picture in captioned(catalog, config.captions.languages[0]) if picture.id in place]
    held = list(held_out(known, config.train))
    return held if learned_here or len(held) >= LEAST else known


def _questions(asked: Sequence[Captioned], count: int) -> list[_Question]:
    """As many single words, runs of two to five, and whole captions."""
    rng = np.random.default_rng(0)
    said = [(picture.id, [_WORD.findall(text.lower()) for text in picture.texts]) for picture in asked]
    shown = Counter(word for _, captions in said for word in {word for words in captions for word in words})
    made = []
    for number in range(3 * count):
        picture, captions = said[int(rng.integers(len(said)))]
        words = captions[int(rng.integers(len(captions)))]
        if number % 3 == 0:
            rare = [word for word in words if shown[word] <= max(1, _COMMON * len(said))]
            words = [rare[int(rng.integers(len(rare)))]] if rare else []
        elif number % 3 == 1:
            length = int(rng.integers(2, 6))
            start = int(rng.integers(max(1, len(words) - length + 1)))
            words = words[start : start + length]
        if words:
            made.append(_Question(picture, words))
    return made


def _encoded(
    catalog: Catalog, config: Config, version: Version, row: EncoderRow, encoder: Encoder | None, texts: list[str]
) -> F32:
    """Unit rows (n, d) of the joint space."""
    if version.head.texts is not None:
        return version.head.project_texts(texts)
    if encoder is None:
        encoder = load_encoder(resolved_spec(catalog.home, row.spec), config.encoder.device)
    return version.head.project(encoder.encode_text(texts), Modality.TEXT)


def _nearest(rows: F32, pictures: F32, own: I64) -> tuple[F32, F32]:
    """The best cosine (n,) of each question among all pictures, and among the half least like its own picture."""
    here, gone = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    for n, (row, picture) in enumerate(zip(rows, own, strict=True)):
        cosines, alike = pictures @ row, pictures @ pictures[picture]
        here[n] = cosines.max()
        gone[n] = cosines[alike < np.median(alike)].max(initial=-1.0)
    return here, gone


def _fitted(here: F32, gone: F32, words: I64, own: I64, pictures: int) -> Calibration | None:
    """Fitted to all; how well it tells is measured on the half of the pictures that a first fit has not seen."""
    from sklearn.metrics import roc_auc_score

    x = np.stack([np.concatenate([here, gone]), np.log(np.concatenate([words, words]))], axis=1)
    there = np.concatenate([np.ones(len(here), np.bool_), np.zeros(len(gone), np.bool_)])
    seen = np.concatenate([own, own]) % 2 == 0
    if seen.all() or not seen.any():
        return None
    first = _fit(x[seen], there[seen], pictures)
    auc = float(roc_auc_score(there[~seen], first.cosine * x[~seen, 0] + first.log_words * x[~seen, 1]))
    if auc < _TOLD:
        return None
    return replace(_fit(x, there, pictures), auc=round(auc, 4))


def _fit(x: F32, there: Bool, pictures: int) -> Calibration:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1000.0, max_iter=1000).fit(x, there)
    cosine, log_words = (round(float(value), 6) for value in model.coef_[0])
    return Calibration(cosine, log_words, round(float(model.intercept_[0]), 6), len(x), pictures, 0.0)
