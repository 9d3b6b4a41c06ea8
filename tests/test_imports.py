"""Feature libraries in every layout that is known, imported once and again."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.catalog import Catalog, IndexVersion, Job, Root
from engine.config import Config
from indexer.imports import write
from indexer.imports.check import Entry
from tests.catalogs import begin
from tests.conftest import config_at
from tests.feature_files import (
    features,
    held,
    names,
    rows_of,
    take_in,
    write_arrays,
    write_clip_retrieval,
    write_lines,
)  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return begin(config_at(tmp_path / "home"))


def test_names_and_captions_by_name_are_found_in_a_folder(config: Config, tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "birds")
    report, found = take_in(config, folder), held(config)
    assert (report.pictures, report.captions, report.added, report.vectors) == (6, 12, 6, 6)
    assert report.encoder == "features:birds/image=12" and report.version is not None
    for number, name in enumerate(names(6)):
        _, split, category, vector = found.pictures[name]
        assert (split, category) == ("val" if number < 2 else "train", "boats")
        np.testing.assert_array_equal(vector, features(6, 12)[number])  # not normalised, not in the captions' order
    assert found.texts["the boat 003.jpg"][1:] == ("003.jpg", None) and len(found.texts) == 12


def test_text_vectors_follow_the_order_of_the_captions(config: Config, tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "birds", texts=5)
    report, found = take_in(config, folder), held(config)
    assert report.encoder == "features:birds/image=12,text=5" and report.vectors == 18
    texts = features(12, 5, 1)
    for row, words in enumerate(caption for each in rows_of(6) for caption in each["en"]):
        stored = found.texts[words][2]
        assert stored is not None and stored.shape == (12,)  # padded with zeros to the widest
        np.testing.assert_array_equal(stored, np.pad(texts[row], (0, 7)))


def test_options_name_what_a_folder_does_not_tell(config: Config, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", features(3, 4))
    np.save(tmp_path / "b.npy", features(3, 9))
    table = write_lines(tmp_path / "rows.jsonl", [{"file": f"{n}.png", "caption": f"no. {n}"} for n in range(3)])
    report = take_in(config, tmp_path, images=tmp_path / "b.npy", captions=table, name="nines")
    assert report.encoder == "features:nines/image=9" and list(held(config).pictures) == ["0.png", "1.png", "2.png"]


def test_owners_say_whose_each_text_vector_is(config: Config, tmp_path: Path) -> None:
    np.save(tmp_path / "images_f16.npy", features(2, 4))
    np.save(tmp_path / "captions_f16.npy", features(3, 4, 1))
    np.save(tmp_path / "caption_owner.npy", np.array([1, 0, 1], np.int32))
    report, found = take_in(config, tmp_path), held(config)
    assert (report.captions, report.text_vectors) == (0, 3)
    owned = {words: (path, vector) for words, (_, path, vector) in found.texts.items()}
    for words, path, row in (("row-0000000", 0, 1), ("row-0000001", 1, 0), ("row-0000001 (1)", 1, 2)):
        assert owned[words][0] == f"row-{path:07}"
        np.testing.assert_array_equal(owned[words][1], features(3, 4, 1)[row])


def test_clip_retrievals_parts_are_read_in_the_order_of_their_numbers(config: Config, tmp_path: Path) -> None:
    write_clip_retrieval(tmp_path / "set", (2,) * 11)  # part 10 comes after part 9, not after part 1
    report, found = take_in(config, tmp_path / "set"), held(config)
    assert (report.pictures, report.captions, report.text_vectors) == (22, 22, 22)
    np.testing.assert_array_equal(found.pictures["00010/001.jpg"][3], features(2, 8, 20)[1])
    _, path, vector = found.texts["picture 1 of part 2"]
    assert path == "00002/001.jpg"
    np.testing.assert_array_equal(vector, features(2, 8, 5)[1])


def write_mat(folder: Path, rows: tuple[int, int] = (4, 2)) -> Path:
    folder.mkdir()
    matrices = {}
    for number, (side, count) in enumerate(zip(("tr", "te"), rows, strict=True)):
        matrices[f"I_{side}"] = features(count, 6, number).astype(np.float64)
        matrices[f"T_{side}"] = features(count, 3, 9 - number).astype(np.float64)
        lines = [f"article-{side}-{row}\tpicture-{side}-{row}\t{row % 2 + 1}\n" for row in range(count)]
        (folder / f"{'train' if side == 'tr' else 'test'}set_txt_img_cat.list").write_text("".join(lines))
    (folder / "categories.list").write_text("art\nbiology\n")
    scipy.io.savemat(folder / "raw_features.mat", matrices, do_compression=True)
    return folder


def test_the_wikipedia_set_has_splits_categories_and_articles_without_words(config: Config, tmp_path: Path) -> None:
    report, found = take_in(config, write_mat(tmp_path / "wiki")), held(config)
    assert report.encoder == "features:wiki/image=6,text=3" and report.vectors == 12
    assert found.pictures["picture-te-1"][1:3] == ("test", "biology")
    assert found.pictures["picture-tr-2"][1:3] == ("train", "art")
    np.testing.assert_array_equal(found.pictures["picture-te-1"][3], features(2, 6, 1)[1])
    _, path, vector = found.texts["article-te-1"]
    assert path == "picture-te-1"
    np.testing.assert_array_equal(vector, np.pad(features(2, 3, 8)[1], (0, 3)))


def test_the_same_again_writes_nothing_and_publishes_nothing(config: Config, tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "birds", texts=5)
    first, before = take_in(config, folder), held(config)
    again = take_in(config, folder)
    assert (again.added, again.back, again.removed, again.vectors) == (0, 0, 0, 0)
    assert first.version and again.version and first.version.id == again.version.id
    assert held(config).rows == before.rows


def test_only_what_changed_is_written_and_ids_stay(config: Config, tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "birds", texts=5)
    take_in(config, folder)
    before = held(config)
    images, texts = features(6, 12), features(12, 5, 1)
    images[2] += 1
    np.save(folder / "features_f16.npy", images[1:])  # the first is gone, the third changed
    (folder / "image_names.txt").write_text("\n".join(names(6)[1:]))
    report, after = take_in(config, folder), held(config)
    assert (report.added, report.removed, report.vectors) == (0, 1, 1) and report.version and report.version.id == 2
    assert "000.jpg" not in after.pictures and "the boat 000.jpg" not in after.texts
    assert all(after.pictures[name][0] == before.pictures[name][0] for name in names(6)[1:])
    np.testing.assert_array_equal(after.pictures["002.jpg"][3], images[2])
    write_arrays(folder, texts=5)
    report, back = take_in(config, folder), held(config)
    assert (report.added, report.back, report.vectors) == (0, 1, 1)
    assert {name: row[0] for name, row in back.pictures.items()} == {n: r[0] for n, r in before.pictures.items()}
    assert {words: row[0] for words, row in back.texts.items()} == {w: r[0] for w, r in before.texts.items()}
    np.testing.assert_array_equal(back.texts["000.jpg at sea"][2], np.pad(texts[10], (0, 7)))
    assert report.version and report.version.counts == {"image": 6, "text": 12}


def test_an_import_that_ended_half_way_is_gone_on_with(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_arrays(tmp_path / "birds", 10, texts=5)
    monkeypatch.setattr("indexer.imports.run.BLOCK", 3)
    blocks = write.FeatureWriter.write

    def stop(self: write.FeatureWriter, entries: list[Entry], first: int) -> None:
        if first == 6:
            self.vectors.append(np.ones((4, 12), np.float32))  # on the disk, and in no row
            raise KeyboardInterrupt
        blocks(self, entries, first)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(write.FeatureWriter, "write", stop)
        take_in(config, folder)
    report, found = take_in(config, folder), held(config)
    assert (report.added, report.vectors, found.rows) == (4, 12, 30)
    for number, name in enumerate(names(10)):
        np.testing.assert_array_equal(found.pictures[name][3], features(10, 12)[number])
    catalog = Catalog(config)
    with catalog.session() as session:
        jobs = session.execute(sa.select(Job.kind, Job.state).order_by(Job.id)).tuples().all()
    catalog.engine.dispose()
    assert list(jobs) == [("import", "interrupted"), ("import", "done")]


def test_other_features_of_the_same_pictures_keep_their_ids(config: Config, tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "birds")
    take_in(config, folder)
    before = held(config)
    np.save(folder / "features_f16.npy", features(6, 20))
    report, after = take_in(config, folder), held(config)
    assert report.encoder == "features:birds/image=20" and report.added == 0 and report.notes[-1].startswith("what was")
    assert {name: row[0] for name, row in after.pictures.items()} == {n: r[0] for n, r in before.pictures.items()}
    catalog = Catalog(config)
    with catalog.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Root)) == 1
        assert session.scalar(sa.select(sa.func.count()).select_from(IndexVersion)) == 2
    catalog.engine.dispose()


def test_a_caption_that_is_said_twice_is_kept_once(config: Config, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", features(1, 4))
    np.save(tmp_path / "text.npy", features(3, 4, 1))
    write_lines(tmp_path / "captions.jsonl", [{"image": "a.jpg", "en": ["a boat", "a boat", "a tree"]}])
    take_in(config, tmp_path)
    found = held(config)
    np.testing.assert_array_equal(found.texts["a tree"][2], features(3, 4, 1)[2])
    assert len(found.texts) == 2


def test_blank_captions_of_single_rows_leave_their_vectors_out(config: Config, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", features(3, 4))
    np.save(tmp_path / "text.npy", features(3, 4, 1))
    write_lines(tmp_path / "captions.jsonl", [{"image": f"{n}.jpg", "text": "one" if n == 2 else ""} for n in range(3)])
    report, found = take_in(config, tmp_path), held(config)
    assert report.captions == 1 and list(found.texts) == ["one"]
    np.testing.assert_array_equal(found.texts["one"][2], features(3, 4, 1)[2])


def test_a_library_without_captions_is_taken_and_told_of(config: Config, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", features(3, 4))
    report = take_in(config, tmp_path)
    assert report.added == 3 and "no captions" in report.notes[0] and "--captions" in report.notes[0]


def test_captions_of_pictures_without_features_are_counted(config: Config, tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "birds")
    write_lines(folder / "captions.jsonl", [*rows_of(6), {"image": "other.jpg", "en": "not here"}])
    assert take_in(config, folder).notes[0].startswith("1 rows of captions name no picture")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_sequence_of_imports_ends_where_the_last_alone_would(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = tmp_path_factory.mktemp("sequence")
    config, folder = begin(config_at(place / "home")), place / "set"
    folder.mkdir()
    for _ in range(data.draw(st.integers(1, 3))):
        kept = data.draw(st.lists(st.sampled_from(names(5)), min_size=1, max_size=5, unique=True))
        shift = data.draw(st.lists(st.sampled_from([0, 1]), min_size=len(kept), max_size=len(kept)))
        vectors = np.array([[int(name[:3]) + 1, move + 1] for name, move in zip(kept, shift, strict=True)], np.float16)
        np.save(folder / "image.npy", vectors)
        words = [{"image": name, "en": f"{name} {move}"} for name, move in zip(kept, shift, strict=True)]
        write_lines(folder / "captions.jsonl", words)
        take_in(config, folder)
        found = held(config)
        assert set(found.pictures) == set(kept) and set(found.texts) == {row["en"] for row in words}
        for name, vector in zip(kept, vectors, strict=True):
            np.testing.assert_array_equal(found.pictures[name][3], vector)
