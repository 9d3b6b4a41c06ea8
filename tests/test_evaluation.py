"""`rebus eval`: figures against their plain definitions, what it says of a library, and the page it writes."""

import dataclasses
import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import sqlalchemy as sa

import rebus
from engine.catalog import Caption, Catalog, Embedding, Item
from engine.config import Config
from engine.errors import InvalidInput
from engine.search import Searcher
from engine.status import REPORT
from engine.types import F32, I64, Modality
from indexer.evaluation.cascade import compare
from indexer.evaluation.evaluate import evaluate
from indexer.evaluation.report import check_target, render, write_report
from indexer.evaluation.sheets import summary
from indexer.heads.run import train_heads, use_head
from tests.conftest import silent
from tests.learned_library import IMAGE_DIM, Made, add_caption, make_learnable, publish, register
from tests.made_library import unit_rows
from tests.web_library import copy_library

HOSTILE = "</td></svg><script>alert('x')</script> & <b onclick=\"x\">"
README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _methods(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Pictures and words have vectors of one width, in spaces of their own; pictures have categories."""
    place = tmp_path_factory.mktemp("evaluated")
    return make_learnable(place, texts=True, categories=True, text_dim=IMAGE_DIM)


@pytest.fixture(scope="module")
def measured(first: Made) -> tuple[Config, dict[str, Any]]:
    """The same, served with a head, and what was measured of it."""
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        train_heads(first.config, ["maps"], (), silent, silent)
        use_head(first.config, 1, silent)
        return first.config, evaluate(first.config, silent)


@pytest.fixture
def own(measured: tuple[Config, dict[str, Any]], tmp_path: Path) -> Config:
    return copy_library(measured[0], tmp_path)


def change(config: Config, *statements: Any) -> None:
    catalog = Catalog(config)
    with catalog.session() as session:
        for statement in statements:
            session.execute(statement)
    catalog.engine.dispose()


def held_out_by_hand(config: Config) -> tuple[F32, F32, I64, list[str]]:
    """Projected held-out pictures and captions, the row of each caption's picture, and the pictures' categories."""
    catalog = Catalog(config)
    version = Searcher(config, catalog).version
    query = sa.select(Item.id, Item.category, Embedding.shard, Embedding.row).join(Embedding)
    with catalog.session() as session:
        shown = list(session.execute(query.where(Item.split == "val").order_by(Item.id)))
        place = {row.id: n for n, row in enumerate(shown)}
        words = query.add_columns(Caption.owner_id).join(Caption, Caption.id == Item.id).order_by(Item.id)
        read = [row for row in session.execute(words.where(Caption.lang == "en")) if row.owner_id in place]
    catalog.engine.dispose()
    images, texts = (
        version.head.project(version.store.read(np.array([r.shard for r in x]), np.array([r.row for r in x])), of)
        for x, of in ((shown, Modality.IMAGE), (read, Modality.TEXT))
    )
    return images, texts, np.array([place[row.owner_id] for row in read]), [row.category for row in shown]


def precision(right: list[bool]) -> float:
    places = [place for place, hit in enumerate(right, 1) if hit]
    return float(np.mean([count / place for count, place in enumerate(places, 1)])) if places else 0.0


def test_figures_equal_their_plain_definitions(measured: tuple[Config, dict[str, Any]]) -> None:
    config, figures = measured
    images, texts, owner, of = held_out_by_hand(config)
    scores = (texts.astype(np.float64) @ images.astype(np.float64).T).astype(np.float32)
    orders = {"t2i": np.argsort(-scores, axis=1, kind="stable"), "i2t": np.argsort(-scores.T, axis=1, kind="stable")}
    rows, of_texts = np.arange(len(images)), [of[own] for own in owner]
    by_way = {
        "t2i": [(order, {own}, of[own], of) for order, own in zip(orders["t2i"], owner, strict=True)],
        "i2t": [(orders["i2t"][n], set(np.flatnonzero(owner == n)), of[n], of_texts) for n in rows],
    }
    assert (figures["images"], figures["captions"]) == (40, 80)
    for way, queries in by_way.items():
        ranks = [next(place for place, item in enumerate(order) if item in own) for order, own, _, _ in queries]
        expected = {f"{way}_r{k}": np.mean([rank < k for rank in ranks]) for k in (1, 5, 10)}
        expected[f"{way}_median_rank"] = np.median(ranks) + 1
        gains = [
            sum(1 / np.log2(place + 2) for place, item in enumerate(order[:10]) if item in own)
            / sum(1 / np.log2(place + 2) for place in range(min(10, len(own))))
            for order, own, _, _ in queries
        ]
        kinds = [[labels[item] == category for item in order] for order, _, category, labels in queries]
        expected |= {f"{way}_ndcg10": np.mean(gains), f"{way}_map": np.mean([precision(kind) for kind in kinds])}
        expected[f"{way}_map50"] = np.mean([precision(kind[:50]) for kind in kinds])
        for key, value in expected.items():
            assert figures["exact"][key] == pytest.approx(value, abs=1e-9), key


def test_every_interval_contains_its_figure(measured: tuple[Config, dict[str, Any]]) -> None:
    for found in (*measured[1]["languages"].values(), measured[1]["identity"]):
        assert set(found["intervals"]) == set(found["figures"])
        for key, (low, high) in found["intervals"].items():
            assert low <= found["figures"][key] <= high, key
    assert any(low < high for low, high in measured[1]["intervals"].values())
    for points in measured[1]["recall_curve"].values():
        assert all(point["low"] <= point["recall"] <= point["high"] for point in points)


def test_the_curve_and_the_histogram_agree_with_recall(measured: tuple[Config, dict[str, Any]]) -> None:
    figures = measured[1]
    for way in ("t2i", "i2t"):
        curve = {point["k"]: point["recall"] for point in figures["recall_curve"][way]}
        shares = {one["last"]: one["share"] for one in figures["rank_histogram"][way]}
        assert [curve[k] for k in (1, 5, 10)] == [figures["exact"][f"{way}_r{k}"] for k in (1, 5, 10)]
        assert shares[1] + shares[5] + shares[10] == pytest.approx(curve[10]) and sum(shares.values()) == pytest.approx(
            1
        )


def test_a_head_is_shown_beside_the_space_it_maps(measured: tuple[Config, dict[str, Any]], own: Config) -> None:
    figures = measured[1]
    plain, served = figures["identity"]["figures"], figures["exact"]
    difference = sum(served[f"{way}_r10"] - plain[f"{way}_r10"] for way in ("t2i", "i2t")) / 2
    low, high = figures["identity"]["gain"]["interval"]
    assert figures["identity"]["gain"]["difference"] == pytest.approx(difference) and low <= difference <= high
    assert low > 0 and any("surely more" in sentence for sentence in summary(figures))
    use_head(own, None, silent)
    without = evaluate(own, silent)
    assert without["identity"] is None and without["exact"] == pytest.approx(plain)


def test_stages_equal_searching_by_hand(measured: tuple[Config, dict[str, Any]]) -> None:
    catalog = Catalog(measured[0])
    index = Searcher(measured[0], catalog).version.indexes[Modality.IMAGE]
    catalog.engine.dispose()
    queries, ids = unit_rows(20, 5), np.sort(index.base.ids)
    right = [ids[[n]] for n in range(20)]
    for m in (10, 40, 160):
        found = compare(index, queries, right, m)
        truth = [set(index.exact(q[None], 10, None)[0][0].tolist()) for q in queries]
        codes = [index.recall(q[None], 160, None)[0][0] for q in queries]
        ten = [
            set(index.refine(q[None], near[None, :m], 10)[0][0].tolist())
            for q, near in zip(queries, codes, strict=True)
        ]
        by_hand = {
            "agreement": np.mean([len(a & b) / 10 for a, b in zip(truth, ten, strict=True)]),
            "exact_r10": np.mean([ids[n] in listed for n, listed in enumerate(truth)]),
            "cascade_r10": np.mean([ids[n] in listed for n, listed in enumerate(ten)]),
            "codes_r10": np.mean([ids[n] in near[:10] for n, near in enumerate(codes)]),
            "handed_on": np.mean([ids[n] in near[:m] for n, near in enumerate(codes)]),
        }
        assert {name: found[name] for name in by_hand} == pytest.approx(by_hand)
        for point in found["curve"]:
            shared = [
                len(a & set(near[: point["candidates"]].tolist())) / 10 for a, near in zip(truth, codes, strict=True)
            ]
            assert point["share"] == pytest.approx(np.mean(shared))
    assert found["agreement"] == found["curve"][-1]["share"] == 1.0


def test_languages_and_modalities_have_their_own_rows(own: Config) -> None:
    catalog = Catalog(own)
    with catalog.session() as session:
        pictures = list(session.scalars(sa.select(Item).where(Item.modality == "image").order_by(Item.id)))
        held = [item for item in pictures if item.split == "val"]
        for item in held[:5]:
            item.modality = "video"
        query = sa.select(Caption.id).where(Caption.owner_id.in_([item.id for item in held[5:15]]))
        session.execute(sa.update(Caption).where(Caption.id.in_(query)).values(lang="zh"))
        add_caption(session, held[20], "w1 w2 w3", "de")
    catalog.engine.dispose()
    publish(own)
    config = dataclasses.replace(own, captions=dataclasses.replace(own.captions, languages=("en", "zh", "xx")))
    figures = evaluate(config, silent)
    sizes = {lang: (found["images"], found["captions"]) for lang, found in figures["languages"].items()}
    assert sizes == {"en": (25, 50), "zh": (10, 20)}
    held_out = {name: facts.get("held_out", {}).get("images") for name, facts in figures["modalities"].items()}
    assert held_out == {"image": 25, "text": None, "video": 5}
    assert figures["modalities"]["video"]["indexed"] == 5 and figures["modalities"]["text"]["items"] == 321
    assert all(facts["index_bytes"] > 0 for facts in figures["modalities"].values())


def test_the_test_split_is_measured_where_captions_name_it(own: Config, command: Callable[..., Any]) -> None:
    code, _, errors = command(own.home, "eval", "--split", "test")
    assert code == 2 and "0 captioned pictures are of the split test" in errors and "measure on val" in errors
    change(own, sa.update(Item).where(Item.path < "0020.jpg", Item.parent_id.is_(None)).values(split="test"))
    code, out, _ = command(own.home, "eval", "--split", "test", "--json")
    figures = json.loads(out)
    assert code == 0 and (figures["split"], figures["images"], figures["captions"]) == ("test", 20, 40)


def test_what_cannot_be_measured_is_told(own: Config, tmp_path: Path, command: Callable[..., Any]) -> None:
    Catalog(dataclasses.replace(own, home=tmp_path / "fresh"), create=True).engine.dispose()
    code, _, errors = command(tmp_path / "fresh", "eval")
    assert code == 1 and "no index yet" in errors
    assert command(own.home, "eval", "--split", "train")[0] == 2
    with pytest.raises(InvalidInput, match="choose val or test"):
        evaluate(own, silent, "train")
    change(own, sa.update(Item).values(split="extra"))
    code, _, errors = command(own.home, "eval")
    assert code == 2 and "0 captioned pictures are of the split val, of 160" in errors
    change(own, sa.update(Caption).values(lang="fr"))
    code, _, errors = command(own.home, "eval")
    assert code == 2 and "there are some in fr" in errors


def test_a_report_that_cannot_be_written_is_told_before_measuring(
    own: Config, tmp_path: Path, command: Callable[..., Any]
) -> None:
    for target, words in ((tmp_path, "is a folder"), (tmp_path / "none" / "x.html", "make it first")):
        code, out, errors = command(own.home, "eval", "--report", str(target))
        assert code == 2 and words in errors and not out
    check_target(tmp_path / "x.html")


def test_every_key_is_documented(measured: tuple[Config, dict[str, Any]]) -> None:
    section = README.split("\n## Evaluation\n")[1].split("\n## ")[0]
    named = {
        key for line in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for key in re.findall(r"`(\w+)`", line)
    }
    assert named == set(measured[1])


class Reader(HTMLParser):
    """Checks that tags are balanced, and gathers the texts and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(measured: tuple[Config, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report on a library whose captions and one file's name are markup."""
    place = tmp_path_factory.mktemp("page")
    own = copy_library(measured[0], place)
    change(
        own,
        sa.update(Caption).values(text=HOSTILE),
        sa.update(Item).where(Item.split == "val").values(path=sa.literal(HOSTILE) + Item.path),
    )
    said = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), suppress(SystemExit):
        register(patch)
        rebus.main(["--home", str(own.home), "eval", "--report", str(place / "report.html")])
    assert "text to picture, exact" in said.getvalue()
    report = (place / "report.html").read_text(encoding="utf-8")
    assert (own.home / REPORT).read_text(encoding="utf-8") == report, "the page of the library shows the last one"
    return report


def test_the_report_is_well_formed_and_escapes_what_it_shows(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [] and HOSTILE in reader.texts
    tags = [tag for tag, _ in reader.seen]
    assert "script" not in tags and "b" not in tags
    assert tags.count("table") == tags.count("caption") >= 6 and tags.count("svg") == tags.count("figure") == 4
    assert all(facts.get("scope") in ("row", "col") for tag, facts in reader.seen if tag == "th")
    ids = [facts["id"] for _, facts in reader.seen if "id" in facts]
    assert len(ids) == len(set(ids)) and {"recall", "ranks", "candidates", "latency"} <= set(ids)


def test_the_report_needs_nothing_outside_itself(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    for _, facts in reader.seen:
        references = [facts[name] or "" for name in ("src", "href", "xlink:href", "srcset", "action") if name in facts]
        assert all(reference.startswith("#") for reference in references)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", page)) and "@import" not in page


def test_the_plots_parse_and_take_the_colours_of_the_page(page: str) -> None:
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    ids = set(re.findall(r'id="([^"]*)"', page))
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert root.get("viewBox") and not root.get("width") and root.get("aria-labelledby") in ids
        assert set(re.findall(r"url\(#([^)]*)\)|xlink:href=\"#([^\"]*)\"", svg)) <= {(i, "") for i in ids} | {
            ("", i) for i in ids
        }
        assert "var(--first)" in svg and "currentColor" in svg and not re.search("#01020[345]", svg)
    assert len(drawn) == 4 and "prefers-color-scheme: dark" in page and "width=device-width" in page


def test_the_report_is_made_of_json_values(measured: tuple[Config, dict[str, Any]], tmp_path: Path) -> None:
    figures = json.loads(json.dumps(measured[1]))
    write_report(figures, tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == render(measured[1])
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
