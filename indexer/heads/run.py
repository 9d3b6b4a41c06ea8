"""`rebus train`: fit heads on stored embeddings, and keep one only where it helps. `rebus heads` chooses among them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

import sqlalchemy as sa

from engine.catalog import Catalog, EncoderRow, HeadRow, IndexVersion, dims_of
from engine.config import Config, HeadSettings
from engine.curves import draw_curves
from engine.devices import choose_device
from engine.encoders import load_encoder, resolved_spec
from engine.errors import ArtifactError, InvalidInput, NotReady
from engine.heads import CURVE, HOME_FOLDER, Head
from engine.types import F32, Modality
from engine.versions import load_head
from indexer.build import build
from indexer.calibration import calibrate
from indexer.heads.fitting import Fitted, Hear, fit_head, spoil, text_of
from indexer.heads.judging import Ranked, Verdict, judge, lost_elsewhere, rank
from indexer.heads.methods import METHODS, Method
from indexer.heads.stored_pairs import Sides, load_pairs
from indexer.jobs import Tell, writing

Note = Callable[[str], None]
MISMATCHED = 0.2  # of the training pairs, where robustness is measured


@dataclass(slots=True)
class Trained:
    """What `train_heads` did. heads: by the order of the methods. best: one of them. version: what was published."""

    heads: list[HeadRow] = field(default_factory=list)
    best: HeadRow | None = None
    version: IndexVersion | None = None


class _Workshop:
    """One encoder's stored pairs, and heads fitted to them."""

    def __init__(
        self, catalog: Catalog, config: Config, encoder: EncoderRow, languages: Sequence[str], hear: Hear
    ) -> None:
        self.catalog, self.config, self.encoder, self.hear = catalog, config, encoder, hear
        self.dims, self.languages = dims_of(encoder), languages
        self.pairs = cache(self._load)

    def _load(self, reads_words: bool) -> Sides:
        return load_pairs(
            self.catalog, self.config, self.encoder, self.languages, None if reads_words else self._encode
        )

    def _encode(self, words: Sequence[str]) -> F32:
        return load_encoder(
            resolved_spec(self.catalog.home, self.encoder.spec), self.config.encoder.device
        ).encode_text(words)

    def fit(self, method: Method, settings: HeadSettings, mismatched: float = 0.0) -> Fitted:
        """Fit to the stored pairs. mismatched: the share of them to spoil before. Raises as `fit_head` does."""
        text = text_of(method, settings, embedded=Modality.TEXT in self.dims)
        train = self.pairs(text != "encoder").train
        return fit_head(
            method,
            settings,
            spoil(train, mismatched, settings.seed) if mismatched else train,
            text,
            self.dims,
            self.encoder.fingerprint,
            choose_device(self.config.encoder.device),
            self.config.home / "training",
            self.hear,
        )

    def rank(self, head: Head) -> dict[str, Ranked]:
        """The head's ranks on what is held out, by language."""
        return {lang: rank(head, pairs) for lang, pairs in self.pairs(head.texts is not None).held_out.items()}

    def rivals(self, served: IndexVersion | None, note: Note) -> dict[str, dict[str, Ranked]]:
        """What a new head must beat, by language: the present head, and the encoder's own space where there is one."""
        heads: dict[str, Head] = {}
        if served is not None and served.encoder_id == self.encoder.id and served.head_id is not None:
            try:
                heads[f"head {served.head_id}"] = load_head(self.catalog, served.head_id, self.encoder)
            except ArtifactError as error:
                note(f"The present head cannot be compared with: {error}")
        identity = Head.identity(self.dims)
        if identity.reads_words and identity.compares(Modality.IMAGE, Modality.TEXT):
            heads["the identity"] = identity
        return {name: self.rank(head) for name, head in heads.items()}


def train_heads(
    config: Config, names: Sequence[str], languages: Sequence[str], tell: Tell, hear: Hear, note: Note = lambda _: None
) -> Trained:
    """Fit a head by each method, keep all of them, and publish the best if it beats what is there.

    Of several, those that this library cannot teach are passed over with a note. Raises InvalidInput for an unknown
    method, or when there is nothing to learn from; NotReady when nothing is embedded; ArtifactError for a damaged
    checkpoint.
    """
    methods = [_method(name) for name in names]
    catalog = Catalog(config)
    with writing(catalog, "train", tell) as job:
        shop = _Workshop(catalog, config, _encoder(catalog), languages or config.captions.languages, hear)
        served, out = catalog.current_version(), Trained()
        rivals, verdicts = shop.rivals(served, note), dict[int, Verdict]()
        for done, method in enumerate(methods):
            job(f"training by {method.name}", done, len(methods))
            try:
                fitted = shop.fit(method, config.head)
            except InvalidInput as error:
                if len(methods) == 1:
                    raise
                note(f"{method.name} was passed over: {error}")
                continue
            ranked = shop.rank(fitted.head)
            verdict = _judged(ranked, rivals, len(shop.pairs(fitted.text != "encoder").train))
            row = _keep(shop, method, fitted, ranked, verdict)
            out.heads.append(row)
            verdicts[row.id] = verdict
        if not out.heads:
            raise InvalidInput("no method could learn from this library: see the notes above")
        out.best = max(out.heads, key=lambda row: float(row.report["held_out"]["r10"]))
        if verdicts[out.best.id].better:
            out.version = build(catalog, config, shop.encoder, job, out.best.id)
            if out.version is not None:
                calibrate(catalog, config, out.version, job)
            out.best.promoted = True
            _update(catalog, out.best, promoted=True)
    catalog.engine.dispose()
    return out


def _judged(ranked: dict[str, Ranked], rivals: dict[str, dict[str, Ranked]], trained_on: int) -> Verdict:
    """By the first language; and in the others a head must not fall behind the one that is served."""
    language = next(iter(ranked))
    verdict = judge(ranked[language], {name: by_lang[language] for name, by_lang in rivals.items()}, trained_on)
    served = next((by_lang for name, by_lang in rivals.items() if name.startswith("head ")), {})
    lost = lost_elsewhere(ranked, served) if verdict.better else ""
    return replace(verdict, better=False, why=lost) if lost else verdict


def _keep(shop: _Workshop, method: Method, fitted: Fitted, ranked: dict[str, Ranked], verdict: Verdict) -> HeadRow:
    """Write the head as an artifact of the library, then its row."""
    sides = shop.pairs(fitted.text != "encoder")
    aligner = fitted.head.aligner
    report: dict[str, Any] = {
        "held_out": next(iter(ranked.values())).figures,
        "interval": verdict.interval,
        "languages": {lang: one.figures for lang, one in ranked.items()},
        "against": verdict.against,
        "verdict": verdict.why or "better",
        "text": fitted.text,
        "dim": aligner.dim,
        "parameters": sum(tensor.numel() for tensor in aligner.state_dict().values()),
        "seconds": round(fitted.seconds, 3),
        "best": fitted.best,
        "pictures": len(sides.train),
        "pairs": len(sides.train.words),
        "marks": sides.marks,
        "held_out_pictures": len(next(iter(sides.held_out.values()))),
        "settings": asdict(shop.config.head),
        "curve": fitted.curve,
    }
    with shop.catalog.session() as session:
        number = (session.scalar(sa.select(sa.func.max(HeadRow.id))) or 0) + 1
    folder = shop.catalog.home / HOME_FOLDER / f"{number:06d}-{method.name}"
    files = {CURVE: draw_curves({method.name: fitted.curve}, {})} if fitted.curve else {}
    fitted.head.save(folder, {"method": method.name, "encoder": shop.encoder.fingerprint, "report": report}, files)
    report["bytes"] = sum(path.stat().st_size for path in folder.iterdir())
    row = HeadRow(id=number, encoder_id=shop.encoder.id, method=method.name, report=report)
    row.folder = str(folder.relative_to(shop.catalog.home))
    with shop.catalog.session() as session:
        session.add(row)
    return row


def use_head(config: Config, head_id: int | None, tell: Tell) -> IndexVersion:
    """Publish a version with this head; None: with none. Raises InvalidInput for one of another encoder."""
    catalog = Catalog(config)
    with writing(catalog, "build", tell) as job:
        encoder = _encoder(catalog)
        with catalog.session() as session:
            row = session.get(HeadRow, head_id) if head_id is not None else None
        if head_id is not None and row is None:
            raise InvalidInput(f"there is no head {head_id}: `rebus heads` lists them, and 0 is none")
        if row is not None and row.encoder_id != encoder.id:
            raise InvalidInput(
                f"head {head_id} was trained on embeddings of another encoder than the one that is served"
            )
        version = build(catalog, config, encoder, job, head_id)
        if version is not None:
            calibrate(catalog, config, version, job)
    catalog.engine.dispose()
    assert version is not None  # the encoder has embedded something
    return version


def measure_robustness(config: Config, tell: Tell, hear: Hear, note: Note) -> None:
    """Train each head of the served encoder anew on pairs of which a fifth is mismatched, where that is not known yet.

    Their held-out figures go into the reports, as "mismatched". The heads stay as they are.
    """
    catalog = Catalog(config)
    with writing(catalog, "train", tell) as job:
        encoder = _encoder(catalog)
        with catalog.session() as session:
            rows = list(session.scalars(sa.select(HeadRow).where(HeadRow.encoder_id == encoder.id)))
        todo = [row for row in rows if row.method in METHODS and "mismatched" not in row.report]
        for done, row in enumerate(todo):
            job(f"{row.method} on mismatched pairs", done, len(todo))
            shop = _Workshop(catalog, config, encoder, tuple(row.report["languages"]), hear)
            try:
                fitted = shop.fit(METHODS[row.method], HeadSettings(**row.report["settings"]), MISMATCHED)
            except InvalidInput as error:
                note(f"head {row.id}, {row.method}: {error}")
                continue
            figures = next(iter(shop.rank(fitted.head).values())).figures
            _update(catalog, row, report={**row.report, "mismatched": figures})
    catalog.engine.dispose()


def _method(name: str) -> Method:
    if name not in METHODS:
        raise InvalidInput(f"there is no method {name!r}; the methods are: {', '.join(METHODS) or 'none'}")
    return METHODS[name]


def _encoder(catalog: Catalog) -> EncoderRow:
    """The encoder that is served, else the newest that embedded something."""
    served = catalog.current_version()
    with catalog.session() as session:
        if served is not None:
            return session.get_one(EncoderRow, served.encoder_id)
        newest = sa.select(EncoderRow).where(EncoderRow.rows > 0).order_by(EncoderRow.id.desc()).limit(1)
        row = session.scalar(newest)
    if row is None:
        raise NotReady(
            "nothing is embedded yet: run `rebus index FOLDER` with an encoder, or `rebus train --encoder`, before a "
            "head can be trained"
        )
    return row


def _update(catalog: Catalog, row: HeadRow, **values: Any) -> None:
    with catalog.session() as session:
        session.execute(sa.update(HeadRow).where(HeadRow.id == row.id).values(**values))
