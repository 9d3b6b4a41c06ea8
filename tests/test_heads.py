"""Heads over a library: what a version with one serves, text without embeddings, and what training keeps."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

import rebus
from engine.catalog import Caption, Catalog, EncoderRow, HeadRow, IndexVersion, Item
from engine.config import Config
from engine.errors import ArtifactError, EncoderUnavailable, InvalidInput, NotReady
from engine.search import Searcher
from engine.status import summarize
from engine.types import Modality, Query, Term
from engine.versions import load_head
from indexer.build import is_current
from indexer.care.collect import collect
from indexer.care.doctor import examine, healthy, repair
from indexer.evaluation.evaluate import evaluate
from indexer.heads.fitting import spoil
from indexer.heads.run import Trained, measure_robustness, train_heads, use_head
from tests.conftest import silent
from tests.learned_library import Made, add_caption, add_marks, make_learnable, publish, register
from tests.web_library import copy_library
from webui import create_app


@pytest.fixture(autouse=True)
def _methods(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.fixture(scope="module")
def wordless(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Pictures alone have vectors; nothing is trained."""
    return make_learnable(tmp_path_factory.mktemp("wordless"))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Words have narrower vectors of another space."""
    return make_learnable(tmp_path_factory.mktemp("embedded"), texts=True, categories=True)


@pytest.fixture
def made(wordless: Made, tmp_path: Path) -> Made:
    return dataclasses.replace(wordless, config=copy_library(wordless.config, tmp_path))


@pytest.fixture
def known(embedded: Made, tmp_path: Path) -> Made:
    return dataclasses.replace(embedded, config=copy_library(embedded.config, tmp_path))


@pytest.fixture
def catalog(made: Made) -> Iterator[Catalog]:
    catalog = Catalog(made.config)
    yield catalog
    catalog.engine.dispose()


def train(config: Config, *names: str, languages: tuple[str, ...] = ()) -> Trained:
    return train_heads(config, names or ("maps",), languages, silent, silent)


def find(searcher: Searcher, term: Term, modality: Modality = Modality.IMAGE, **options: Any) -> list[int]:
    return [hit.id for hit in searcher.search(Query((term,), modality, fold=False, **options)).hits]


def change(config: Config, statement: Any) -> None:
    catalog = Catalog(config)
    with catalog.session() as session:
        session.execute(statement)
    catalog.engine.dispose()


# --- without a head ---


def test_pictures_alone_find_pictures_and_words_name_the_way_out(made: Made, catalog: Catalog) -> None:
    searcher = Searcher(made.config, catalog)
    assert searcher.version.indexes.keys() == {Modality.IMAGE}
    first = next(iter(made.said))
    assert find(searcher, Term(item=first), limit=3)[0] == first
    caption = catalog.captions_of(first)[0].id
    for term, modality in ((Term(text="w1"), Modality.IMAGE), (Term(item=first), Modality.TEXT)):
        with pytest.raises(NotReady, match="run `rebus train`"):
            find(searcher, term, modality)
    with pytest.raises(Exception, match="no indexed item"):
        find(searcher, Term(item=caption))
    facts = summarize(catalog)
    assert facts["pending"] == 0 and facts["no_encoder"] == 320
    page = create_app(made.config, searcher).test_client().get(f"/items/{first}")
    assert page.status_code == 200 and page.text.count("/thumbs/") > 5  # pictures like it, and no words


def test_spaces_of_different_width_are_not_compared(known: Made) -> None:
    searcher = Searcher(known.config, Catalog(known.config))
    first = next(iter(known.said))
    caption = searcher.catalog.captions_of(first)[0].id
    assert find(searcher, Term(item=caption), Modality.TEXT)[0] in {c.id for c in searcher.catalog.captions_of(first)}
    with pytest.raises(NotReady, match="different spaces: run `rebus train`"):
        find(searcher, Term(item=caption), Modality.IMAGE)


# --- with one ---


def test_a_head_that_reads_words_serves_them_without_embeddings(made: Made, catalog: Catalog) -> None:
    trained = train(made.config)
    assert trained.version is not None and trained.version.counts == {"image": 160, "text": 320}
    searcher = Searcher(made.config, catalog)
    right = sum(find(searcher, Term(text=words), limit=3).count(item) for item, words in made.said.items())
    assert right > 0.9 * len(made.said)
    first, words = next(iter(made.said.items()))
    assert find(searcher, Term(text=words), limit=20) == find(searcher, Term(text=words), limit=20, exact=True)
    captions = [caption.id for caption in catalog.captions_of(first)]
    assert set(find(searcher, Term(item=first), Modality.TEXT, limit=2)) == set(captions)
    assert find(searcher, Term(item=captions[0]), limit=20) == find(searcher, Term(text=words), limit=20)
    with pytest.raises(InvalidInput, match="no word of 'zebra' occurs"):
        find(searcher, Term(text="zebra"))
    facts = summarize(catalog)
    assert (facts["version"]["head"], facts["pending"], facts["no_encoder"]) == (1, 0, 0)


def test_a_head_over_embeddings_makes_two_spaces_one(known: Made) -> None:
    train(known.config)
    searcher = Searcher(known.config, Catalog(known.config))
    version = searcher.version
    assert version.head.dims == {Modality.IMAGE: 16, Modality.TEXT: 12} and version.head_id == 1
    folder = known.config.home / "versions" / f"{version.id:06d}"
    assert (folder / "000000.f16").stat().st_size == 480 * 2 * version.head.aligner.dim
    found = [find(searcher, Term(item=searcher.catalog.captions_of(item)[0].id), limit=3) for item in known.said]
    assert sum(item in ids for item, ids in zip(known.said, found, strict=True)) > 0.5 * len(
        known.said
    )  # 12 of 30 words
    with pytest.raises(EncoderUnavailable):  # the made encoder has no weights to read words with
        find(searcher, Term(text="w1 w2"))


def test_what_is_embedded_later_is_projected_in_memory_and_then_kept(known: Made) -> None:
    train(known.config)
    catalog = Catalog(known.config)
    searcher = Searcher(known.config, catalog)
    item, words = list(known.said.items())[-1]
    caption = catalog.captions_of(item)[0].id
    before = find(searcher, Term(item=caption), limit=10)
    scores = searcher.search(Query((Term(item=caption),), fold=False)).hits
    # The same embeddings again, as of files embedded after the version: they pass from its base into the delta.
    change(known.config, sa.text("UPDATE embeddings SET id = id + 10000 WHERE item_id IN (SELECT id FROM items WHERE "
                                 "modality = 'image')"))  # fmt: skip
    assert searcher.refresh() and len(searcher.version.indexes[Modality.IMAGE].delta) == 160
    assert len(searcher.version.indexes[Modality.IMAGE].base) == 0
    assert find(searcher, Term(item=caption), limit=10) == before
    again = searcher.search(Query((Term(item=caption),), fold=False)).hits
    assert [hit.score for hit in again] == pytest.approx([hit.score for hit in scores], abs=1e-5)
    publish(known.config)
    assert searcher.refresh() and len(searcher.version.indexes[Modality.IMAGE].base) == 160
    assert searcher.version.head_id == 1 and find(searcher, Term(item=caption), limit=10) == before


def test_new_words_make_a_version_with_such_a_head_stale(made: Made, catalog: Catalog) -> None:
    train(made.config)
    with catalog.session() as session:
        encoder, picture = session.get_one(EncoderRow, 1), session.get_one(Item, next(iter(made.said)))
    assert is_current(catalog, encoder)
    with catalog.session() as session:
        added = add_caption(session, picture, "w1 w2 w3")
    assert not is_current(catalog, encoder)
    publish(made.config)
    assert is_current(catalog, encoder)
    assert added in find(Searcher(made.config, catalog), Term(text="w1 w2 w3"), Modality.TEXT, limit=1)
    with catalog.session() as session:
        session.execute(sa.update(Item).where(Item.id == added).values(removed_at=1e10))
    assert not is_current(catalog, encoder)


# --- training and promotion ---


def test_a_report_says_what_was_learned_and_against_what(known: Made) -> None:
    report = train(known.config).heads[0].report
    assert report["held_out_pictures"] == 40 and report["pictures"] == 120 and report["pairs"] == 240
    assert report["held_out"]["r10"] > 0.7 and report["held_out"]["t2i_map"] > 0.4
    assert report["against"].keys() == {"chance"} and report["against"]["chance"]["r10"] < 0.3
    assert report["parameters"] == 16 * 16 + 12 * 16 and report["bytes"] > 4 * report["parameters"]
    low, high = report["interval"]
    assert low <= report["held_out"]["r10"] <= high and report["settings"]["method"] == "infonce"


def test_a_head_that_is_not_surely_better_is_kept_aside(made: Made, catalog: Catalog) -> None:
    first = train(made.config)
    again = train(made.config)
    assert first.version is not None and again.version is None
    against = again.heads[0].report["against"]["head 1"]
    assert against["difference"] == 0 and against["interval"] == [0, 0]
    assert "does not surely beat head 1" in again.heads[0].report["verdict"]
    assert train(made.config, "nothing").version is None
    with catalog.session() as session:
        rows = list(session.scalars(sa.select(HeadRow).order_by(HeadRow.id)))
    assert [row.promoted for row in rows] == [True, False, False]
    assert catalog.current_version().head_id == 1  # type: ignore[union-attr]


def test_of_several_methods_the_best_is_judged_and_the_others_are_kept(made: Made) -> None:
    notes: list[str] = []
    trained = train_heads(made.config, ["nothing", "classes", "maps"], (), silent, silent, notes.append)
    assert [row.method for row in trained.heads] == ["nothing", "maps"] and trained.best is trained.heads[1]
    assert len(notes) == 1 and "classes was passed over" in notes[0] and "categories" in notes[0]
    assert trained.version is not None and trained.version.head_id == 2
    with pytest.raises(InvalidInput, match="no picture here has one"):
        train(made.config, "classes")
    with pytest.raises(InvalidInput, match="no method 'magic'"):
        train(made.config, "magic")


def test_the_same_seed_gives_the_same_head(made: Made) -> None:
    first, second = train(made.config), train(made.config)
    figures = [dict(out.heads[0].report["held_out"]) for out in (first, second)]
    weights = [(made.config.home / out.heads[0].folder / "aligner.safetensors").read_bytes() for out in (first, second)]
    assert figures[0] == figures[1] and weights[0] == weights[1]


def test_ten_pairs_may_be_tried_and_are_never_promoted(tmp_path: Path) -> None:
    few = make_learnable(tmp_path, 10)
    trained = train(few.config)
    assert trained.version is None and "too few to tell" in trained.heads[0].report["verdict"]


def test_no_captions_says_what_can_still_be_done(made: Made) -> None:
    change(made.config, sa.update(Caption).values(lang="zh"))
    with pytest.raises(InvalidInput, match=r"some in zh: name these with --lang.*searched with pictures as they are"):
        train(made.config)
    assert train(made.config, languages=("zh",)).version is not None


def test_several_languages_are_learned_together_and_told_apart(made: Made, catalog: Catalog) -> None:
    with catalog.session() as session:
        for item, words in made.said.items():
            add_caption(session, session.get_one(Item, item), words.replace("w", "词"), "zh")
    languages = train(made.config, languages=("en", "zh")).heads[0].report["languages"]
    assert languages.keys() == {"en", "zh"} and all(figures["r10"] > 0.9 for figures in languages.values())
    searcher = Searcher(made.config, catalog)
    first, words = next(iter(made.said.items()))
    assert find(searcher, Term(text=words.replace("w", "词")), limit=3).count(first) == 1


def test_words_without_embeddings_refuse_what_needs_them(made: Made) -> None:
    config = dataclasses.replace(made.config, head=dataclasses.replace(made.config.head, text="encoder"))
    with pytest.raises(InvalidInput, match="--text encoder needs"):
        train(config)


def test_nothing_embedded_says_what_to_run(tmp_path: Path) -> None:
    config = dataclasses.replace(Config(home=tmp_path / "home"))
    Catalog(config, create=True).engine.dispose()
    with pytest.raises(NotReady, match="nothing is embedded yet"):
        train(config)


def test_good_marks_pull_and_count(made: Made) -> None:
    learned = [item for n, item in enumerate(made.said) if n % 4]
    add_marks(made.config, [(learned[0], "sunset", True), (learned[5], "sunset", False)])
    assert train(made.config).heads[0].report["marks"] == 2
    assert find(Searcher(made.config, Catalog(made.config)), Term(text="sunset"), limit=1) == learned[:1]


def test_mismatched_pairs_cost_recall_and_are_measured_once(made: Made, catalog: Catalog) -> None:
    train(made.config)
    measure_robustness(made.config, silent, silent, silent)
    with catalog.session() as session:
        report = session.get_one(HeadRow, 1).report
    assert 0.3 < report["mismatched"]["r10"] <= report["held_out"]["r10"]
    with catalog.session() as session:
        session.execute(sa.update(HeadRow).values(report={**report, "mismatched": {"r10": -1.0}}))
    measure_robustness(made.config, silent, silent, silent)
    with catalog.session() as session:
        assert session.get_one(HeadRow, 1).report["mismatched"] == {"r10": -1.0}


# --- choosing ---


def test_another_head_or_none_can_be_used(made: Made, catalog: Catalog) -> None:
    train(made.config, "nothing")
    train(made.config)
    version = use_head(made.config, None, silent)
    assert version.head_id is None and version.counts == {"image": 160}
    assert use_head(made.config, 1, silent).head_id == 1
    assert Searcher(made.config, catalog).version.head.aligner.dim == 8
    publish(made.config)  # as `rebus index` does: the head stays
    assert catalog.current_version().head_id == 1  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match="there is no head 9"):
        use_head(made.config, 9, silent)


def test_a_damaged_head_is_told_and_the_published_version_stays(made: Made, catalog: Catalog) -> None:
    train(made.config)
    train(made.config, "nothing")
    folder = made.config.home / "heads" / "000002-nothing"
    (folder / "aligner.safetensors").write_bytes((folder / "aligner.safetensors").read_bytes()[:50])
    with pytest.raises(ArtifactError, match="altered"):
        use_head(made.config, 2, silent)
    assert catalog.current_version().head_id == 1  # type: ignore[union-attr]


def test_a_damaged_checkpoint_is_told_and_the_present_head_stays(made: Made, catalog: Catalog) -> None:
    train(made.config)
    checkpoint = made.config.home / "training" / "head-gradient.pt"
    config = dataclasses.replace(made.config, head=dataclasses.replace(made.config.head, epochs=3))

    def stop(_figures: dict[str, float], epoch: int, _epochs: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_heads(config, ["gradient"], (), silent, stop)
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:500])
    with pytest.raises(ArtifactError, match=r"is damaged: delete it to start afresh. The present model is kept"):
        train(config, "gradient")
    assert catalog.current_version().head_id == 1  # type: ignore[union-attr]
    checkpoint.write_bytes(whole)
    heard: list[int] = []
    trained = train_heads(config, ["gradient"], (), silent, lambda _figures, epoch, _epochs: heard.append(epoch))
    assert heard == [3] and len(trained.heads[0].report["curve"]) == 3 and not checkpoint.exists()


# --- eval and care ---


@pytest.mark.parametrize("kind", ["made", "known"])
def test_eval_measures_a_version_with_a_head(kind: str, request: pytest.FixtureRequest) -> None:
    config = request.getfixturevalue(kind).config
    report = train(config).heads[0].report
    figures = evaluate(config, silent)
    assert figures["latency_of"] == ("words" if kind == "made" else "indexed captions")  # no encoder reads words there
    assert figures["head"] == 1 and (figures["images"], figures["captions"]) == (40, 80)
    assert figures["exact"]["t2i_r10"] == pytest.approx(report["held_out"]["t2i_r10"])
    assert figures["cascade"]["t2i_r10"] == figures["exact"]["t2i_r10"]
    assert figures["bytes_per_item"]["embedding"] == 2 * report["dim"]


def test_eval_without_what_reads_words_says_so(made: Made) -> None:
    with pytest.raises(NotReady, match="rebus train"):
        evaluate(made.config, silent)


def test_the_doctor_finds_a_damaged_head_and_serves_without_it(made: Made, catalog: Catalog) -> None:
    train(made.config)
    assert healthy(examine(made.config))
    next((made.config.home / "heads").glob("*/aligner.safetensors")).write_bytes(b"short")
    findings = examine(made.config)
    assert any(finding.what.startswith("head 1 is damaged") for finding in findings) and not healthy(findings)
    assert Searcher(made.config, catalog).version.head_id is None  # the version before it answers
    assert healthy(repair(made.config, False, silent))
    version = Searcher(made.config, catalog).version
    assert version.head_id is None and not list((made.config.home / "heads").glob("0*"))


def test_the_doctor_keeps_the_head_when_a_version_is_damaged(made: Made, catalog: Catalog) -> None:
    train(made.config)
    next((made.config.home / "versions").glob("000002/*.f16")).write_bytes(b"")
    assert healthy(repair(made.config, False, silent)) and Searcher(made.config, catalog).version.head_id == 1


def test_gc_keeps_heads_that_are_named_and_compacts_beneath_them(known: Made, tmp_path: Path) -> None:
    train(known.config)
    (known.config.home / "heads" / "000009-left").mkdir()
    searcher = Searcher(known.config, Catalog(known.config))
    kept = list(known.said)[80:]
    captions = {item: searcher.catalog.captions_of(item)[0].id for item in kept}
    before = {item: find(searcher, Term(item=captions[item]), limit=160) for item in kept[:5]}
    gone = set(list(known.said)[:80])
    change(
        known.config, sa.update(Item).where(sa.or_(Item.id.in_(gone), Item.parent_id.in_(gone))).values(removed_at=1.0)
    )
    for path in (known.config.home.parent / "media1").glob("00[0-7]*.jpg"):
        path.unlink()
    report = collect(known.config, silent)
    assert report.rows == 240 and report.leftovers == 1
    assert sorted(path.name for path in (known.config.home / "heads").iterdir()) == ["000001-maps"]
    searcher.refresh()
    assert searcher.version.head_id == 1 and searcher.version.generation == 1
    for item, found in before.items():
        assert find(searcher, Term(item=captions[item]), limit=160) == [i for i in found if i not in gone]
    assert healthy(examine(known.config))


def test_a_backup_brings_heads_with_it(made: Made, tmp_path: Path) -> None:
    from indexer.care.backup import backup
    from indexer.care.restore import restore

    train(made.config, "epochs")
    backup(made.config, tmp_path / "b.tar", silent)
    restore(tmp_path / "b.tar", tmp_path / "other", silent)
    config = dataclasses.replace(made.config, home=tmp_path / "other")
    catalog = Catalog(config)
    first, words = next(iter(made.said.items()))
    assert first in find(Searcher(config, catalog), Term(text=words), limit=3)
    assert (config.home / "heads" / "000001-epochs" / "curve.svg").read_bytes().startswith(b"<?xml")
    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, 1)
    assert load_head(catalog, 1, encoder).texts is not None


def test_a_version_of_another_head_than_the_catalog_says_is_refused(made: Made, catalog: Catalog) -> None:
    train(made.config)
    train(made.config, "nothing")
    change(made.config, sa.update(IndexVersion).values(head_id=2))
    with pytest.raises(ArtifactError, match="another encoder or head"):
        Searcher(made.config, catalog).version  # noqa: B018


def test_spoiled_pairs_keep_their_pictures_and_words() -> None:
    from tests.test_stored_pairs import pairs_of

    pairs = pairs_of(50)
    spoilt = spoil(pairs, 0.2, 0)
    assert (spoilt.owner != pairs.owner).sum() == 10
    assert sorted(spoilt.owner.tolist()) == sorted(pairs.owner.tolist())
    assert np.array_equal(spoil(pairs, 0.2, 0).owner, spoilt.owner)


# --- the command line ---


@pytest.fixture
def run(made: Made, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            rebus.main(["--home", str(made.config.home), *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_train_lists_compares_and_uses(run: Any, tmp_path: Path) -> None:
    assert "No head is trained yet" in run("heads")[1]
    plot = tmp_path / "curves.svg"
    code, out, _ = run("train", "--method", "epochs", "--epochs", "3", "--plot", str(plot))
    assert code == 0 and "Head 1, epochs: held-out R@10" in out and "is published with head 1" in out
    assert b"<svg" in plot.read_bytes()
    code, out, _ = run("train", "--method", "nothing")
    assert code == 0 and "Kept the present model: of head 2, it does not surely beat head 1" in out
    facts = json.loads(run("heads", "--json")[1])["heads"]
    assert [(head["id"], head["served"], len(head["curve"])) for head in facts] == [(1, True, 3), (2, False, 0)]
    assert "served" in run("heads")[1]
    table = run("heads", "compare")[1]
    assert "epochs" in table and "nothing" in table and "R@10" in table
    assert "mismatched" in json.loads(run("heads", "compare", "--robustness", "--json")[1])["heads"][0]
    assert json.loads(run("heads", "use", "identity", "--json")[1])["head"] is None
    assert "is published with head 1" in run("heads", "use", "1")[1]
    assert run("heads", "use", "best")[0] == 2


def test_train_in_json_and_by_all_methods(run: Any) -> None:
    said = json.loads(run("train", "--all", "--json")[1])
    assert [head["method"] for head in said["heads"]] == ["maps", "epochs", "gradient", "nothing"]
    assert said["promoted"] in (1, 2, 3) and said["index_version"] == 2


def test_flags_of_heads_and_of_encoders_do_not_mix(run: Any) -> None:
    code, _, err = run("train", "--encoder", "--method", "maps")
    assert code == 2 and "leave out --method" in err


# --- the page ---


def test_the_page_shows_heads_and_serves_their_curves_alone(made: Made, catalog: Catalog) -> None:
    train(made.config, "epochs")
    train(made.config, "nothing")
    client = create_app(made.config, Searcher(made.config, catalog)).test_client()
    page = client.get("/training").text
    assert 'src="/training/curves.svg"' in page and "epochs" in page
    for drawn in ("/heads/1/curve.svg", "/training/curves.svg"):
        picture = client.get(drawn)
        assert picture.mimetype == "image/svg+xml" and b"<svg" in picture.data
    for address in (
        "/heads/2/curve.svg",
        "/heads/3/curve.svg",
        "/heads/1/aligner.safetensors",
        "/heads/1/manifest.json",
    ):
        assert client.get(address).status_code == 404
    change(made.config, sa.update(HeadRow).where(HeadRow.id == 1).values(folder="versions/../heads/../../media1"))
    assert client.get("/heads/1/curve.svg").status_code == 404
