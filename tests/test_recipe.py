"""`rebus train --recipe`: the same weights for a seed, gone on from where it stopped, and what it refuses."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.encoders import CONFIG_FILE, MERGES_FILE, WEIGHTS_FILE, load_encoder
from engine.errors import ConfigError, EncoderUnavailable, InvalidInput
from engine.types import Modality
from indexer.pixel_towers import PixelTowers, save_towers
from indexer.starter.recipe import FOLDER, checked, load_recipe
from indexer.starter.run import gather, train_starter
from indexer.starter.sources import examples
from indexer.starter.teacher import LiteTeacher
from indexer.starter.views import make_views
from tests.conftest import silent
from tests.recipe_files import TinyTeacher, small_recipe, write_data

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def teacher(encoder_folder: Path) -> TinyTeacher:
    return TinyTeacher(encoder_folder)


@pytest.fixture(scope="module")
def followed(data: Path, teacher: TinyTeacher, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PixelTowers]:
    """The small recipe, followed once: its work and its towers."""
    work = tmp_path_factory.mktemp("followed") / "work"
    return work, train_starter(small_recipe(), teacher, data, work, silent, silent)[0]


def same(a: PixelTowers, b: PixelTowers) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_an_interrupted_run_goes_on_to_the_same_weights_as_a_whole_one(
    followed: tuple[Path, PixelTowers], data: Path, teacher: TinyTeacher, tmp_path: Path
) -> None:
    heard = 0

    def stop_at(count: int) -> Callable[..., None]:
        def hear(*_: Any) -> None:
            nonlocal heard
            heard += 1
            if heard == count:
                raise KeyboardInterrupt

        return hear

    for count in (5, 8):  # inside the stage of texts, then of pictures; the space's two seeds are heard first
        heard = 0
        with pytest.raises(KeyboardInterrupt):
            train_starter(small_recipe(), teacher, data, tmp_path, silent, stop_at(count if count == 5 else 3))
    towers, reports = train_starter(small_recipe(), teacher, data, tmp_path, silent, silent)
    assert same(towers, followed[1])
    assert [len(report.curve) for report in reports.values()] == [2, 2, 1]
    again, _ = train_starter(small_recipe(), teacher, data, tmp_path, silent, stop_at(1))  # all is there: none is heard
    assert same(again, towers)


def test_another_seed_gives_other_weights(
    followed: tuple[Path, PixelTowers], data: Path, teacher: TinyTeacher, tmp_path: Path
) -> None:
    stage = {"epochs": 1, "batch_size": 8, "seed": 1}
    recipe = small_recipe(text=stage, image=stage, both=stage)
    assert not same(train_starter(recipe, teacher, data, tmp_path, silent, silent)[0], followed[1])


def test_what_a_recipe_makes_is_an_encoder_like_any_other(followed: tuple[Path, PixelTowers], tmp_path: Path) -> None:
    work, towers = followed
    folder = save_towers(towers, {}, tmp_path, work / MERGES_FILE)
    assert {path.name for path in folder.iterdir()} == {CONFIG_FILE, WEIGHTS_FILE, MERGES_FILE, "manifest.json"}
    encoder = load_encoder(str(folder), "cpu")
    assert encoder.dims[Modality.IMAGE] == encoder.dims[Modality.TEXT] == 32
    words = ["a red boat", "the tree is green, number 3"]
    towers.eval()
    with torch.inference_mode():
        ours = towers.project(encoder.tokenizer(words), Modality.TEXT).numpy()  # type: ignore[attr-defined]
    assert np.allclose(encoder.encode_text(words), ours, atol=0.02)  # float16


def test_nothing_that_is_held_out_is_learned_from(data: Path, teacher: TinyTeacher, tmp_path: Path) -> None:
    recipe = small_recipe()
    material = gather(recipe, teacher, data, tmp_path, silent)
    held = {one.path for source in recipe.sources for one in examples(source, data, tmp_path, silent).held_out}
    learned, aside = {one.path for one in material.train}, {one.path for one in material.aside}
    assert len(held) == 12 and len(aside) == 6 and len(learned) == 48 + 8 - 12 - 6
    assert not held & learned and not held & aside and not aside & learned
    assert sum(len(views) for views in material.views) == len(material.train)


def test_the_teacher_saw_what_the_student_is_shown(data: Path, teacher: TinyTeacher, tmp_path: Path) -> None:
    found = examples(small_recipe().sources[0], data, tmp_path, silent).train[:9]
    given: dict[str, Any] = {"views": 3, "side": 32, "smallest_crop": 0.4, "seed": 0}
    views = make_views(found, teacher, tmp_path / "views", **given, tell=silent)
    for row in range(9):
        with Image.open(found[row].path) as image:
            whole = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC), np.float32)
        assert np.abs(views.pixels[row, 0] - whole).mean() < 6  # of 255: large photos are reduced as they are decoded
        for view in range(3):  # the tiny teacher is as large as the student's pictures here
            features, logits = teacher.look(views.pixels[row, view])
            assert np.allclose(views.features[row, view], features, atol=2e-3)
            assert np.allclose(views.logits[row, view], logits, atol=2e-3)
    assert (views.pixels[:, 0] != views.pixels[:, 1]).any(axis=(1, 2, 3)).all()


def test_views_are_gone_on_with_and_made_anew_for_other_settings(
    data: Path, teacher: TinyTeacher, tmp_path: Path
) -> None:
    found = examples(small_recipe().sources[0], data, tmp_path, silent).train * 2  # more than one block
    given: dict[str, Any] = {"views": 2, "side": 32, "smallest_crop": 0.4, "seed": 0}
    whole = make_views(found, teacher, tmp_path / "whole", **given, tell=silent)

    def stop(_what: str, done: int, total: int) -> None:
        if done < total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_views(found, teacher, tmp_path / "cut", **given, tell=stop)
    looked = list[int]()
    resumed = make_views(
        found, teacher, tmp_path / "cut", **given, tell=lambda _what, done, _total: looked.append(done)
    )
    assert looked == [len(found)] and np.array_equal(resumed.pixels, whole.pixels)
    assert np.array_equal(resumed.features, whole.features)
    other = make_views(found, teacher, tmp_path / "cut", **{**given, "seed": 1}, tell=silent)
    assert not np.array_equal(other.pixels[:, 1], whole.pixels[:, 1])


@pytest.mark.parametrize("name", [file.stem for file in FOLDER.glob("*.toml")])
def test_the_recipes_that_come_with_rebus_are_possible(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.student.image_pixels in range(112, 161)
    assert (name == "free") == all(source.kind != "captions" for source in recipe.sources)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"teacher": "x"}, "does not say sources"),
        ({"teacher": "x", "sources": [{"kind": "icons"}]}, "does not say sources.0.name"),
        ({"teacher": "x", "sources": []}, "sources"),
        ({"teacher": "x", "sources": [{"kind": "photos", "name": "a"}]}, "sources.0.kind = 'photos'"),
        ({"teacher": "x", "sources": [{"kind": "icons", "name": "a", "views": 0}]}, "sources.0.views = 0"),
        ({"teacher": "x", "sources": [{"kind": "icons", "name": "a"}], "tempo": 1}, "tempo = 1"),
    ],
)
def test_an_impossible_recipe_is_refused_by_its_first_wrong_value(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        checked(values, "mine.toml")


def test_what_a_recipe_needs_and_does_not_find_is_told(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("teacher = ")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load_recipe(str(tmp_path / "mine.toml"))
    photos = small_recipe().sources[0]
    with pytest.raises(InvalidInput, match="check --data"):
        examples(photos, tmp_path, tmp_path, silent)
    with pytest.raises(InvalidInput, match="photos has no pictures to learn from"):
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "captions.jsonl").write_text("")
        examples(photos, tmp_path, tmp_path, silent)
    shutil.copyfile(data / "photos" / "captions.jsonl", tmp_path / "photos" / "captions.jsonl")
    with pytest.raises(InvalidInput, match=r"38 of the 38 pictures of photos are not there, such as .*\.jpg: check"):
        examples(photos, tmp_path, tmp_path, silent)


@pytest.mark.parametrize(
    ("image", "said"), [("a.jpg", '"a dog"'), ("a.jpg", "[1]"), ("a.jpg", "[]"), ("a.jpg", '[" "]'),
                        ("a.jpg", '["\\ud800"]'), ("../a.jpg", '["a dog"]'), ("/a.jpg", '["a dog"]')],
)  # fmt: skip
def test_captions_that_cannot_be_learned_from_are_told(tmp_path: Path, image: str, said: str) -> None:
    (tmp_path / "photos").mkdir()
    line = f'{{"image": "{image}", "split": "train", "en": {said}}}'
    (tmp_path / "photos" / "captions.jsonl").write_text(line)
    with pytest.raises(InvalidInput, match="no captions that can be read"):
        examples(small_recipe().sources[0], tmp_path, tmp_path, silent)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"tags": "box"}', '{"tags": [1]}'])
def test_an_icon_without_its_words_is_named(data: Path, tmp_path: Path, content: str | None) -> None:
    icons = Path(shutil.copytree(data / "icons", tmp_path / "icons"))
    (icons / "square-3.json").unlink()
    if content is not None:
        (icons / "square-3.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"square-3\.json does not tell an icon's words"):
        examples(small_recipe().sources[1], tmp_path, tmp_path, silent)


def test_a_picture_that_cannot_be_read_is_named(data: Path, teacher: TinyTeacher, tmp_path: Path) -> None:
    (one, *_) = examples(small_recipe().sources[0], data, tmp_path, silent).train
    broken = replace(one, path=tmp_path / "broken.jpg")
    broken.path.write_bytes(b"no picture")
    given: dict[str, Any] = {"views": 2, "side": 32, "smallest_crop": 0.4, "seed": 0, "tell": silent}
    with pytest.raises(InvalidInput, match=r"broken\.jpg cannot be learned from: .*leave it out"):
        make_views([broken], teacher, tmp_path / "views", **given)


def test_what_is_set_aside_must_leave_something(data: Path, teacher: TinyTeacher, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set_aside = 38 leaves nothing .* photos, .* has 38 pictures: lower it"):
        gather(small_recipe(set_aside=38), teacher, data, tmp_path, silent)


def test_a_file_that_says_nothing_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(ConfigError, match=r"empty\.toml does not say sources, which a recipe needs: .*free\.toml"):
        load_recipe(str(tmp_path / "empty.toml"))


@pytest.mark.parametrize("name", ["", ".", "..", "~no-such-user/x.toml", "best"])
def test_a_name_of_no_recipe_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"no recipe {name!r}: name a TOML file, or one of .*starter"):
        load_recipe(name)


def test_a_file_that_is_no_teacher_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="no ai-edge-litert: the teacher cannot be run")
    (tmp_path / "teacher.tflite").write_bytes(b"no such thing")
    for name in ("teacher.tflite", "missing.tflite"):
        with pytest.raises(EncoderUnavailable, match="check --data"):
            LiteTeacher(tmp_path / name)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data")
def test_the_teacher_gives_the_features_that_are_kept_of_it() -> None:
    pytest.importorskip("ai_edge_litert", reason="no ai-edge-litert: the teacher cannot be run")
    teacher = LiteTeacher(SHARED / load_recipe("starter").teacher)
    folder = SHARED / "flickr8k"
    names = (folder / "image_names.txt").read_text().split()[:4]
    kept = np.load(folder / "mobilenetv2_gap1280_f16.npy", mmap_mode="r", allow_pickle=False)
    for row, name in enumerate(names):
        with Image.open(folder / "images" / name) as image:
            features, logits = teacher.look(np.asarray(image.convert("RGB")))
        assert features.shape == (1280,) and logits.shape == (1001,) and features.min() >= 0
        assert np.corrcoef(features, kept[row])[0, 1] > 0.85  # these photos were compressed once more since
