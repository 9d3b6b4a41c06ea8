"""The sample library: its plan, its captions, and the pictures and files it draws."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer.samples import LEAST, Picture, View, describe, draw_library, draw_picture, plan_library

COUNT, SEED = 1200, 7
HERO = ("boat", "red", "sunset")
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}

seeds = st.integers(0, 2**32)
counts = st.integers(LEAST, 400)


def composition(picture: Picture) -> tuple[str, str, str]:
    return (picture.view.subject.name, picture.view.colour, picture.view.setting)


def split_of(pictures: tuple[Picture, ...], split: str) -> list[Picture]:
    return [picture for picture in pictures if picture.split == split]


def attributes(view: View) -> set[tuple[str, str | int]]:
    return {
        ("subject", view.subject.name),
        ("colour", view.colour),
        ("setting", view.setting),
        ("count", view.count),
        ("side", view.side),
        ("detail", view.detail),
    }


@pytest.fixture(scope="module")
def plan() -> tuple[Picture, ...]:
    return plan_library(COUNT, SEED)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest library, drawn once."""
    return draw_library(tmp_path_factory.mktemp("library"), count=LEAST, seed=SEED)


def test_a_twelfth_is_held_out(plan: tuple[Picture, ...]) -> None:
    assert Counter(picture.split for picture in plan) == {"train": 1100, "val": 100}


@settings(max_examples=25, deadline=None)
@given(seed=seeds, count=counts)
def test_any_plan_keeps_its_promises(plan: tuple[Picture, ...], seed: int, count: int) -> None:
    pictures = plan_library(count, seed)
    held = {composition(picture) for picture in split_of(pictures, "val")}
    assert len(pictures) == count
    assert len(split_of(pictures, "val")) == max(10, round(count / 12))
    assert held.isdisjoint(composition(picture) for picture in split_of(pictures, "train"))
    assert len({picture.name for picture in pictures}) == count
    assert {picture.view.subject.family for picture in pictures} == {
        picture.view.subject.family for picture in split_of(plan, "train")
    }
    for picture in pictures:
        first, second = picture.captions
        assert first.strip()
        assert second.strip()
        assert first != second


@settings(max_examples=25, deadline=None)
@given(seed=seeds, count=counts, data=st.data())
def test_describe_is_the_plan(seed: int, count: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(1, count))
    assert describe(index, seed, count) == plan_library(count, seed)[index - 1]


@pytest.mark.parametrize("index", [0, -1, LEAST + 1])
def test_no_picture_outside_the_library(index: int) -> None:
    with pytest.raises(IndexError):
        describe(index, SEED, LEAST)


def test_too_small_a_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least"):
        draw_library(tmp_path / "none", count=LEAST - 1)
    assert not (tmp_path / "none").exists()


def test_held_out_attributes_are_common_in_train(plan: tuple[Picture, ...]) -> None:
    train = Counter(each for picture in split_of(plan, "train") for each in attributes(picture.view))
    for picture in split_of(plan, "val"):
        for attribute in attributes(picture.view):
            assert train[attribute] >= 5, attribute


def test_held_out_pictures_differ(plan: tuple[Picture, ...]) -> None:
    val = split_of(plan, "val")
    assert len({composition(picture) for picture in val}) == len(val)
    assert len({picture.captions[0].lower() for picture in val}) == len(val)
    families = Counter(picture.view.subject.family for picture in val)
    assert len(families) == 11
    assert min(families.values()) >= 5


def test_red_boats_at_sunset_are_there_to_be_learned_and_found(plan: tuple[Picture, ...]) -> None:
    heroes = [picture for picture in plan if composition(picture) == HERO]
    assert len(heroes) >= 6 and {picture.split for picture in heroes} == {"train"}
    assert len({picture.view for picture in heroes}) >= 6


def test_captions_tell_colour_count_and_side(plan: tuple[Picture, ...]) -> None:
    for picture in plan:
        view, first = picture.view, picture.captions[0].lower()
        assert all(view.colour in caption.lower() for caption in picture.captions)
        if view.count > 1:
            assert NUMBERS[view.count] in first
        if view.side != "center":
            assert view.side in first
        for other in {"left", "right"} - {view.side}:
            assert other not in " ".join(picture.captions).lower()


def test_vocabulary_is_small(plan: tuple[Picture, ...]) -> None:
    text = " ".join(caption for picture in plan for caption in picture.captions)
    words = {word.strip(".,").lower() for word in text.split()}
    assert 150 < len(words) < 500


@pytest.mark.parametrize("index", [1, 250, 777, COUNT])
def test_drawing_again_gives_the_same_bytes(index: int) -> None:
    assert draw_picture(index, SEED, COUNT).tobytes() == draw_picture(index, SEED, COUNT).tobytes()


def test_every_subject_can_be_drawn(plan: tuple[Picture, ...]) -> None:
    drawn: dict[str, Picture] = {picture.view.subject.name: picture for picture in plan}
    for picture in drawn.values():
        levels = np.asarray(draw_picture(picture.index, SEED, COUNT), dtype=float)
        assert levels.std() > 12, picture.name


def test_files_are_the_plan(library: Path) -> None:
    pictures = plan_library(LEAST, SEED)
    lines = [json.loads(line) for line in (library / "captions.jsonl").read_text().splitlines()]
    assert lines == [
        {"image": picture.name, "split": picture.split, "en": list(picture.captions)} for picture in pictures
    ]
    assert {path.name for path in (library / "images").iterdir()} == {picture.name for picture in pictures}


def test_every_file_decodes_to_a_picture(library: Path) -> None:
    for path in (library / "images").iterdir():
        with Image.open(path) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (384, 288), "RGB")
            colours = image.resize((96, 72)).quantize(64).getcolors()
        assert colours is not None
        shares = [count / (96 * 72) for count, _ in colours]
        assert -sum(share * math.log2(share) for share in shares if share) > 2.5, path.name


def test_drawing_twice_changes_nothing(library: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in library.rglob("*")}
    calls: list[tuple[int, int]] = []
    assert draw_library(library, count=LEAST, seed=SEED, progress=lambda *done: calls.append(done)) == library
    assert {path: path.stat().st_mtime_ns for path in library.rglob("*")} == before
    assert calls == []


def test_another_library_takes_the_folder_over(tmp_path: Path, library: Path) -> None:
    calls: list[tuple[int, int]] = []
    stray = tmp_path / "images" / "0001-left-over.jpg"
    stray.parent.mkdir()
    stray.write_bytes(b"")
    (tmp_path / "library.json").write_text("not json")
    draw_library(tmp_path, count=LEAST, seed=SEED, progress=lambda *done: calls.append(done))
    assert calls == [(done, LEAST) for done in range(1, LEAST + 1)]
    assert not stray.exists()
    files = [path.relative_to(library) for path in library.rglob("*") if path.is_file()]
    assert all((tmp_path / path).read_bytes() == (library / path).read_bytes() for path in files)
