"""What an imported library can do, and what passes it over."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

import rebus
from engine.catalog import Catalog, Item, Root
from engine.config import Config
from engine.encoders import load_encoder, portable_spec, resolved_spec, weights_file
from engine.encoders.features import FeatureEncoder
from engine.errors import EncoderUnavailable, NotReady
from engine.search import Searcher
from engine.status import summarize
from engine.types import F32, Modality, Query, Term
from indexer.care.doctor import examine, healthy
from indexer.care.relocate import relocate
from indexer.choice import chosen_encoder
from indexer.library import index_folders
from indexer.roots import known_roots
from tests.conftest import config_at, draw, draw_folder, silent
from tests.feature_files import features, held, names, take_in, write_arrays, write_lines
from webui import create_app


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Forty pictures with features whose lengths differ a hundredfold, and captions with vectors of their width."""
    place = tmp_path_factory.mktemp("imported")
    folder, config = write_arrays(place / "set", 40, 16, texts=16), config_at(place / "home")
    scales = np.geomspace(0.1, 10, 40)[:, None]
    np.save(folder / "features_f16.npy", (features(40, 16) * scales).astype(np.float16))
    draw(folder / names(1)[0], "red", "boat", 3)
    take_in(config, folder)
    return config


def unit(rows: F32) -> F32:
    out: F32 = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("wanted", [Modality.IMAGE, Modality.TEXT])
def test_scores_are_cosines_of_features_of_any_length(imported: Config, exact: bool, wanted: Modality) -> None:
    found, catalog = held(imported), Catalog(imported)
    query = Query((Term(item=found.pictures["007.jpg"][0]),), wanted, limit=80, exact=exact, fold=False)
    hits = Searcher(imported, catalog).search(query).hits
    catalog.engine.dispose()
    several = found.pictures if wanted is Modality.IMAGE else found.texts
    rows = unit(np.array([row[-1] for row in several.values()], np.float32))
    truth = rows @ unit(found.pictures["007.jpg"][3][None])[0]
    by_id = dict(zip((row[0] for row in several.values()), truth.tolist(), strict=True))
    assert [hit.id for hit in hits] == sorted(by_id, key=lambda i: (-round(by_id[i], 6), i))
    assert all(hit.score == pytest.approx(by_id[hit.id], abs=2e-6) for hit in hits)


def test_what_is_imported_beside_a_running_search_is_found_by_cosine(tmp_path: Path) -> None:
    config, folder = config_at(tmp_path / "home"), write_arrays(tmp_path / "set", 8)
    take_in(config, folder)
    catalog = Catalog(config)
    searcher = Searcher(config, catalog)
    assert searcher.version.id == 1
    longer = np.concatenate([features(8, 12), features(8, 12)[:1] * 5])
    np.save(folder / "features_f16.npy", longer)
    (folder / "image_names.txt").write_text("\n".join(names(9)))
    take_in(config, folder)
    assert searcher.refresh()
    first = held(config).pictures["000.jpg"][0]
    best, second = searcher.search(Query((Term(item=first),), limit=2, fold=False)).hits
    assert {best.path, second.path} == {"000.jpg", "008.jpg"} and second.score == pytest.approx(1, abs=1e-3)
    catalog.engine.dispose()


def test_words_and_pictures_need_an_encoder_and_the_error_says_what_to_do(imported: Config) -> None:
    catalog = Catalog(imported)
    with pytest.raises(EncoderUnavailable, match="`rebus train`.*--encoder"):
        Searcher(imported, catalog).search(Query((Term(text="a boat"),)))
    catalog.engine.dispose()
    encoder = FeatureEncoder("x", {Modality.IMAGE: 3})
    with pytest.raises(EncoderUnavailable, match="encodes pictures"):
        encoder.encode_images([])
    with pytest.raises(EncoderUnavailable, match="encodes pictures"):
        encoder.encode_pixels(np.zeros((1, 1, 1, 3), np.uint8))


def test_modalities_of_two_widths_are_not_compared(tmp_path: Path) -> None:
    config = config_at(tmp_path / "home")
    take_in(config, write_arrays(tmp_path / "set", texts=5))
    found, catalog = held(config), Catalog(config)
    searcher, text = Searcher(config, catalog), found.texts["000.jpg at sea"][0]
    with pytest.raises(NotReady, match="different spaces.*`rebus train`"):
        searcher.search(Query((Term(item=text),), Modality.IMAGE))
    assert searcher.search(Query((Term(item=text),), Modality.TEXT)).hits[0].id == text
    picture = found.pictures["003.jpg"][0]
    assert searcher.search(Query((Term(item=picture),), Modality.IMAGE)).hits[0].id == picture
    catalog.engine.dispose()


def test_a_spec_says_all_that_there_is_to_know(tmp_path: Path) -> None:
    encoder = FeatureEncoder("my set", {Modality.IMAGE: 128, Modality.TEXT: 10})
    again = load_encoder(resolved_spec(tmp_path, portable_spec(tmp_path, encoder.spec)))
    assert (again.fingerprint, again.dims) == (encoder.fingerprint, encoder.dims) and weights_file(again.spec) is None
    assert FeatureEncoder("my set", {Modality.IMAGE: 128}).fingerprint != encoder.fingerprint
    for spec in ("features:", "features:x", "features:x/image", "features:x/smell=3", "features:a/b/image=3"):
        with pytest.raises(EncoderUnavailable, match="names no feature library"):
            load_encoder(spec)


def test_pictures_are_shown_where_they_lie_and_the_page_does_without(imported: Config) -> None:
    found, catalog = held(imported), Catalog(imported)
    client = create_app(imported, Searcher(imported, catalog)).test_client()
    there, absent = found.pictures["000.jpg"][0], found.pictures["001.jpg"][0]
    assert client.get(f"/thumbs/{there}").data[:2] == b"\xff\xd8"
    assert client.get(f"/thumbs/{absent}").status_code == 404 == client.get(f"/media/{absent}").status_code
    for item in (there, absent):
        page = client.get(f"/items/{item}")
        assert page.status_code == 200 and "at sea" in page.text
        assert client.get(f"/?item={item}").status_code == 200
        named = f"/media/{item}", "data-part", "0 bytes", "cannot be shown here"
        assert [words in page.text for words in named] == [item == there] * 2 + [False, item == absent]
    unseen = [tile for tile in client.get(f"/?like={there}").text.split("data-item=")[1:] if "<img" not in tile]
    assert unseen and all('<span class="over"><b>' in tile for tile in unseen)  # their links have a name
    catalog.engine.dispose()


def test_pictures_below_images_or_a_media_folder_are_the_items_files(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "set", 2)
    draw(folder / "images" / "000.jpg", "red", "boat", 3)
    shutil.copytree(folder / "images", tmp_path / "elsewhere")
    for number, (media, options) in enumerate([(folder / "images", {}), (tmp_path / "elsewhere", {"media": 1})]):
        config = config_at(tmp_path / f"home{number}")
        take_in(config, folder, **{"media": media} if options else {})
        catalog = Catalog(config)
        with catalog.session() as session:
            assert session.execute(sa.select(Root.path, Root.kind)).one() == (str(media), "import")
            hashes = dict(session.execute(sa.select(Item.path, Item.content_hash).where(Item.modality == "image"))
                          .tuples().all())  # fmt: skip
        catalog.engine.dispose()
        assert hashes["000.jpg"] and hashes["001.jpg"] is None


def test_scans_and_the_doctor_pass_imports_over(imported: Config, tmp_path: Path, encoder_folder: Path) -> None:
    shutil.copytree(imported.home, tmp_path / "home")
    config = replace(imported, home=tmp_path / "home")
    catalog = Catalog(config)
    assert known_roots(catalog) == [] and chosen_encoder(catalog, config) is None
    assert summarize(catalog)["pending"] == 0
    catalog.engine.dispose()
    findings = examine(config, True)
    assert healthy(findings) and any("40 pictures" in each.what for each in findings), findings
    media = draw_folder(tmp_path / "media", 8)
    report = index_folders(config, [media], silent)
    assert report.encoder is None and report.embedded == 0
    with_model = replace(config, encoder=replace(config.encoder, model=str(encoder_folder)))
    report = index_folders(with_model, [], silent)
    assert report.embedded == 8 + 16 and report.version and report.version.counts == {"image": 8, "text": 16}


def test_relocating_an_import_asks_for_no_pictures(tmp_path: Path) -> None:
    config, folder = config_at(tmp_path / "home"), write_arrays(tmp_path / "set")
    take_in(config, folder)
    before = held(config)
    folder.rename(tmp_path / "moved")
    relocate(config, folder, tmp_path / "moved", silent)
    report = take_in(config, tmp_path / "moved", name="set")
    assert (report.added, report.vectors) == (0, 0) and held(config).pictures.keys() == before.pictures.keys()


def test_vectors_of_a_model_that_is_named_answer_words(tmp_path: Path, encoder_folder: Path) -> None:
    config, encoder = config_at(tmp_path / "home"), load_encoder(str(encoder_folder))
    folder = tmp_path / "set"
    folder.mkdir()
    words = ["a red boat", "a green tree", "two blue boats"]
    vectors = encoder.encode_text(words) * 7  # a program that did not normalise
    np.save(folder / "image.npy", vectors)
    write_lines(folder / "captions.jsonl", [{"image": f"{n}.jpg", "en": text} for n, text in enumerate(words)])
    report = take_in(config, folder, model=str(encoder_folder))
    found = held(config)
    assert report.encoder == encoder.spec and report.vectors == 6 and not report.notes
    for row, text in enumerate(words):  # captions without vectors were encoded
        np.testing.assert_allclose(np.asarray(found.texts[text][2]), vectors[row] / 7, atol=1e-3)
        np.testing.assert_allclose(found.pictures[f"{row}.jpg"][3], vectors[row] / 7, atol=1e-3)
    catalog = Catalog(config)
    hit = Searcher(config, catalog).search(Query((Term(text="a green tree"),), limit=1)).hits[0]
    catalog.engine.dispose()
    assert hit.path == "1.jpg" and hit.score == pytest.approx(1, abs=1e-3)
    assert take_in(config, folder, model=str(encoder_folder)).vectors == 0


def test_the_command_prints_what_it_did_and_ends_with_2_for_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, home = write_arrays(tmp_path / "set"), str(tmp_path / "home")
    rebus.main(["--home", home, "import", str(folder), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["added"] == 6 and said["index_version"] == 1 and said["items"] == {"image": 6}
    rebus.main(["--home", home, "import", "--images", str(folder / "features_f16.npy"), "--names",
                str(folder / "image_names.txt"), "--captions", str(folder / "captions.jsonl")])  # fmt: skip
    assert "0 pictures new, 0 back, 0 removed, 0 vectors written" in capsys.readouterr().out
    np.save(folder / "features_f16.npy", np.full((6, 12), np.inf))
    for arguments in (["import", str(folder)], ["import"]):
        with pytest.raises(SystemExit) as ended:
            rebus.main(["--home", home, *arguments])
        assert ended.value.code == 2


DATA = Path(__file__).parent.parent.parent / "shared" / "data"
REAL = {  # pictures, captions, items, encoder, splits
    "flickr8k": (600, 3000, {"image": 600}, "features:flickr8k/image=1280", {"train": 500, "val": 100}),
    "wikipedia": (2866, 2866, {"image": 2866, "text": 2866}, "features:wikipedia/image=128,text=10",
                  {"train": 2173, "test": 693}),
    "joint256": (600, 0, {"image": 600, "text": 3000}, "features:joint256/image=256,text=256", {None: 600}),
}  # fmt: skip


def part_of(source: Path, folder: Path, count: int) -> Path:
    """A real feature library of fewer pictures: its first ones, and a sixth of its last, with their captions."""
    folder.mkdir()
    if source.name == "wikipedia":  # small enough as it is
        return source
    if source.name == "joint256":
        owners = np.load(source / "caption_owner.npy")
        chosen = np.flatnonzero(owners < count)
        np.save(folder / "images_f16.npy", np.load(source / "images_f16.npy")[:count])
        np.save(folder / "captions_f16.npy", np.load(source / "captions_f16.npy")[chosen])
        np.save(folder / "caption_owner.npy", owners[chosen])
        return folder
    last = count // 6
    for name in ("image_names.txt", "captions.jsonl"):
        lines = (source / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(lines[: count - last] + lines[-last:]), encoding="utf-8")
    for path in source.glob("*.npy"):
        rows = np.load(path)
        np.save(folder / path.name, np.concatenate([rows[: count - last], rows[-last:]]))
    return folder


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_feature_libraries_are_imported_by_a_plain_command(tmp_path: Path, name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no ../shared/data/{name}")
    config, folder = config_at(tmp_path / "home"), part_of(DATA / name, tmp_path / name, 600)
    report = take_in(config, folder)
    catalog = Catalog(config)
    query = sa.select(Item.split, sa.func.count()).where(Item.modality == "image").group_by(Item.split)
    with catalog.session() as session:
        splits = dict(session.execute(query).tuples().all())
        classes = session.scalar(sa.select(sa.func.count(Item.category.distinct())))
    catalog.engine.dispose()
    assert report.version is not None
    assert (report.pictures, report.captions, report.version.counts, report.encoder, splits) == REAL[name]
    assert classes == (10 if name == "wikipedia" else 0)
    assert take_in(config, folder).vectors == 0
