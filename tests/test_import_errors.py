"""What cannot be imported is told of before anything is written, with exit code 2."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io

from engine.errors import EncoderUnavailable, InvalidInput
from indexer.library import index_folders
from tests.conftest import config_at, silent
from tests.feature_files import (
    features,
    names,
    rows_of,
    take_in,
    write_arrays,
    write_clip_retrieval,
    write_lines,
)  # fmt: skip
from tests.test_imports import write_mat

Change = Callable[[Path], object]


def spoiled(row: int, value: float) -> Change:
    def change(folder: Path) -> None:
        wrong = features(6, 12).astype(np.float32)
        wrong[row, 3] = value
        np.save(folder / "features_f16.npy", wrong)

    return change


def shortened(name: str, to: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:to])


def renamed(name: str) -> Change:
    return lambda folder: (folder / "image_names.txt").write_text("\n".join([*names(5), name]))


def saved(name: str, array: object) -> Change:
    return lambda folder: np.save(folder / name, np.asarray(array))


def described(**row: object) -> Change:
    return lambda folder: write_lines(folder / "captions.jsonl", [*rows_of(5), {"image": "005.jpg", **row}])


ARRAYS: dict[str, tuple[Change, str]] = {
    "NaN": (spoiled(2, np.nan), r"hold NaN or infinity: features_f16.npy, row 2\. Leave"),
    "infinity": (spoiled(5, -np.inf), r"NaN or infinity: features_f16.npy, row 5"),
    "beyond float16": (spoiled(1, 70_000), r"beyond 65,504: features_f16.npy, row 1\. Scale all features down"),
    "below float16": (saved("features_f16.npy", np.full((6, 4), 1e-9, np.float32)), "too small for float16.*row 0"),
    "objects": (saved("features_f16.npy", np.array([{"a": 1}] * 6)), "holds Python objects"),
    "a vector": (saved("features_f16.npy", np.ones(6)), r"shape \(6,\): features are a matrix"),
    "a cube": (saved("features_f16.npy", np.ones((6, 2, 2))), r"shape \(6, 2, 2\)"),
    "words": (saved("features_f16.npy", np.array([["a"]] * 6)), "holds <U1"),
    "no rows": (saved("features_f16.npy", np.ones((0, 4))), "empty"),
    "too wide": (saved("features_f16.npy", np.ones((6, 70_000), np.float16)), "over the limit of 65,536"),
    "cut short": (shortened("features_f16.npy", 200), "damaged, cut short or empty"),
    "cut in the header": (shortened("features_f16.npy", 9), "features_f16.npy"),
    "an empty file": (shortened("features_f16.npy", 0), "damaged, cut short or empty"),
    "fewer rows": (saved("features_f16.npy", features(5, 12)), "6 names or rows of metadata for 5 rows"),
    "more rows": (saved("features_f16.npy", features(7, 12)), "6 names or rows of metadata for 7 rows"),
    "a name twice": (renamed("001.jpg"), r"line 6 names '001.jpg', as row 1 does"),
    "a name twice in disguise": (renamed("./001.jpg"), "as row 1 does"),
    "a name that leads out": (renamed("../001.jpg"), r"'../001.jpg' lies outside of .*--media"),
    "a name that leads out later": (renamed("a/../../b.jpg"), "lies outside of"),
    "an absolute name": (renamed("/etc/passwd"), "'/etc/passwd' lies outside of"),
    "a Windows drive": (renamed("C:\\pictures\\a.jpg"), "lies outside of"),
    "a blank name": (renamed(" \nx"), "line 6 names no picture|7 names"),
    "a NUL": (renamed("a\0b.jpg"), "cannot be the name of a file"),
    "bytes for names": (lambda folder: (folder / "image_names.txt").write_bytes(b"\xff\xfe\n" * 6), "not UTF-8"),
    "captions of others": (
        lambda folder: write_lines(folder / "captions.jsonl", [{"image": "x.jpg", "en": "x"}]), "name none of the pic",
    ),
    "captions that are no words": (described(en=3), "line 6: 'en' is neither a string"),
    "an unknown split": (described(en="x", split="most"), "'most' is none of train, val and test"),
    "a category of no kind": (described(en="x", category=[1]), r"category \[1\] is neither"),
    "a row without a name": (
        lambda folder: write_lines(folder / "captions.jsonl", [{"en": "x"}]), "line 1: names no picture under",
    ),
    "no JSON": (lambda folder: (folder / "captions.jsonl").write_text("{"), "captions.jsonl, line 1"),
    "text vectors too many": (saved("text.npy", features(13, 4)), "13 text vectors fit neither 12 captions nor 6"),
    "one text vector for two captions": (saved("text.npy", features(6, 4)), "6 text vectors fit neither 12 captions"),
    "two files of image features": (saved("more.npy", features(6, 4)), r"2 files.*Name one with --images"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_bad_arrays_are_told_of_and_nothing_is_written(tmp_path: Path, case: str) -> None:
    config, folder = config_at(tmp_path / "home"), write_arrays(tmp_path / "set")
    change, message = ARRAYS[case]
    change(folder)
    with pytest.raises(InvalidInput, match=message) as raised:
        take_in(config, folder)
    assert raised.value.exit_code == 2 and not config.home.exists()


OWNERS: dict[str, tuple[Sequence[float], str]] = {
    "too few": ([0, 1], "2 owners for 12 text vectors"),
    "beyond the pictures": ([*[0] * 11, 6], "row 11: 6 is none of the 6 rows"),
    "negative": ([-1] * 12, "row 0: -1 is none"),
    "fractions": ([0.5] * 12, "whole number"),
    "not as the captions": ([0] * 12, "has 12 text vectors for 2 captions"),
}


@pytest.mark.parametrize("case", OWNERS)
def test_bad_owners_are_told_of(tmp_path: Path, case: str) -> None:
    config, folder = config_at(tmp_path / "home"), write_arrays(tmp_path / "set", texts=4)
    np.save(folder / "text_owner.npy", OWNERS[case][0])
    with pytest.raises(InvalidInput, match=OWNERS[case][1]):
        take_in(config, folder)
    assert not config.home.exists()


def parquet(folder: Path, **columns: object) -> None:
    pq.write_table(pa.table(columns), folder / "metadata" / "metadata_1.parquet")


CLIP: dict[str, tuple[Change, str]] = {
    "another width": (lambda f: np.save(f / "img_emb" / "img_emb_1.npy", features(3, 9)), "rows of 9 numbers.*of 8"),
    "a part missing": (lambda f: (f / "metadata" / "metadata_1.parquet").unlink(), "part 1 is not in both"),
    "texts missing": (lambda f: (f / "text_emb" / "text_emb_0.npy").unlink(), "part 0 is not in both.*text_emb"),
    "no metadata": (lambda f: shutil.rmtree(f / "metadata"), "no folder .*metadata"),
    "rows missing": (lambda f: parquet(f, image_path=["a", "b"], caption=["a", "b"]), "2 rows for 3 rows of image"),
    "no name": (lambda f: parquet(f, caption=["a", "b", "c"]), "metadata_1.parquet: names no picture"),
    "an empty name": (lambda f: parquet(f, image_path=["a", "", "c"]), "metadata_1.parquet, row 2: names no picture"),
    "another part's name": (lambda f: parquet(f, image_path=["a", "b", "00000/001.jpg"]), "as row 1 does"),
    "no Parquet": (lambda f: (f / "metadata" / "metadata_0.parquet").write_bytes(b"PAR1 no"), "damaged Parquet"),
    "NaN in a later part": (
        lambda f: np.save(f / "text_emb" / "text_emb_1.npy", np.full((3, 8), np.nan)), "text_emb_1.npy, row 0; .*row 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CLIP)
def test_bad_clip_retrieval_folders_are_told_of(tmp_path: Path, case: str) -> None:
    config, folder = config_at(tmp_path / "home"), write_clip_retrieval(tmp_path / "set")
    change, message = CLIP[case]
    change(folder)
    with pytest.raises(InvalidInput, match=message):
        take_in(config, folder)
    assert not config.home.exists()


MATS: dict[str, tuple[Change, str]] = {
    "cut short": (shortened("raw_features.mat", 400), "raw_features.mat"),
    "no .mat": (lambda f: (f / "raw_features.mat").write_text("no such thing at all " * 20), "raw_features.mat"),
    "MATLAB 7.3": (
        lambda f: (f / "raw_features.mat").write_bytes(
            b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(600)
        ), "MATLAB 7.3",
    ),
    "a matrix missing": (
        lambda f: scipy.io.savemat(f / "raw_features.mat", {"I_tr": np.ones((2, 2))}), "no matrix I_te, T_tr, T_te",
    ),
    "two of them": (lambda f: shutil.copy(f / "raw_features.mat", f / "b.mat"), "holds 2 .mat files"),
    "no tabs": (lambda f: (f / "testset_txt_img_cat.list").write_text("a b 1\n"), "line 1 is not TEXT, IMAGE"),
    "no such category": (lambda f: (f / "testset_txt_img_cat.list").write_text("a\tb\t3\n"), "none of the 2"),
    "a pair too few": (lambda f: (f / "testset_txt_img_cat.list").write_text("a\tb\t1\n"), "5 names.*for 6 rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", MATS)
def test_bad_mats_are_told_of(tmp_path: Path, case: str) -> None:
    config, folder = config_at(tmp_path / "home"), write_mat(tmp_path / "set")
    change, message = MATS[case]
    change(folder)
    with pytest.raises(InvalidInput, match=message):
        take_in(config, folder)
    assert not config.home.exists()


def test_no_pickle_is_ever_loaded(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path / "harm"),)  # type: ignore[return-value]

    folder = write_arrays(tmp_path / "set")
    np.save(folder / "features_f16.npy", np.array([Harm()] * 6), allow_pickle=True)
    with pytest.raises(InvalidInput, match="Python objects"):
        take_in(config_at(tmp_path / "home"), folder)
    assert not (tmp_path / "harm").exists()


def test_a_folder_without_features_is_no_layout(tmp_path: Path) -> None:
    config = config_at(tmp_path / "home")
    for folder in (tmp_path, tmp_path / "none", Path(__file__)):
        with pytest.raises(InvalidInput, match="no layout that is known|cannot be imported"):
            take_in(config, folder)


def test_a_name_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot name features"):
        take_in(config_at(tmp_path / "home"), write_arrays(tmp_path / "set"), name="a/b")


def test_a_model_that_makes_other_vectors_is_refused(tmp_path: Path, encoder_folder: Path) -> None:
    config, folder = config_at(tmp_path / "home"), write_arrays(tmp_path / "set")
    with pytest.raises(InvalidInput, match="makes image vectors of 64 numbers, these have 12"):
        take_in(config, folder, model=str(encoder_folder))
    with pytest.raises(EncoderUnavailable):
        take_in(config, folder, model=str(tmp_path / "nowhere"))
    assert not config.home.exists()


def test_media_folders_and_imports_do_not_meet_in_one_root(tmp_path: Path) -> None:
    config, folder = config_at(tmp_path / "home"), write_arrays(tmp_path / "set")
    index_folders(config, [folder], silent)
    with pytest.raises(InvalidInput, match="media folder already"):
        take_in(config, folder)
    other = config_at(tmp_path / "other")
    take_in(other, folder)
    with pytest.raises(InvalidInput, match="`rebus import` brings it up to date"):
        index_folders(other, [folder], silent)
    with pytest.raises(InvalidInput, match="no folders yet"):
        index_folders(other, [], silent)
