"""Grouping near-duplicates: what is alike and what is not, and that every history ends in the same groups."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from engine.catalog import EncoderRow, Item
from engine.decoding.hashes import perceptual_hash
from indexer import duplicates
from indexer.near_hashes import NearHashes
from tests.conftest import config_at
from tests.shelves import Shelf

HASH = 0x0F0F_33CC_5A5A_9669  # 32 bits set


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(config_at(tmp_path / "home"), 4)
    yield shelf
    shelf.close()


def picture(path: str, word: int | None = None, **values: object) -> Item:
    return Item(path=path, phash=None if word is None else f"{word:016x}", **values)


def flipped(word: int, *bits: int) -> int:
    for bit in bits:
        word ^= 1 << bit
    return word


ONE, OTHER, NEARLY = (1, 0, 0, 0), (0, 1, 0, 0), (1, 0.2, 0, 0)  # NEARLY: a cosine of 0.98 with ONE


# --- what is alike ---


def test_near_needs_both_the_hash_and_the_embedding(shelf: Shelf) -> None:
    ids = shelf.add(
        picture("a.jpg", HASH),
        picture("near.jpg", flipped(HASH, 3, 20, 40, 41, 50, 63)),
        picture("far.jpg", flipped(HASH, 3, 20, 40, 41, 50, 63, 1)),
        picture("other.jpg", HASH),
        vectors=[ONE, NEARLY, ONE, OTHER],
    )
    assert shelf.group() == 2
    assert shelf.groups() == {ids[0]: ids[0], ids[1]: ids[0]}


def test_imported_features_are_near_by_their_cosine_whatever_their_length(tmp_path: Path) -> None:
    shelf = Shelf(config_at(tmp_path / "imported"), 4, spec="features:net/image=4")
    short, long = tuple(x / 20 for x in NEARLY), (20, 20, 0, 0)  # a cosine of 0.7 with ONE, a product of 20
    ids = shelf.add(
        picture("a.jpg", HASH), picture("short.jpg", HASH), picture("long.jpg", HASH), vectors=[ONE, short, long]
    )
    assert shelf.group() == 2
    assert shelf.groups() == {ids[0]: ids[0], ids[1]: ids[0]}
    shelf.close()


def test_the_settings_draw_the_line(shelf: Shelf) -> None:
    ids = shelf.add(picture("a.jpg", HASH), picture("b.jpg", flipped(HASH, 7, 8)), vectors=[ONE, NEARLY])
    index = shelf.config.index
    assert shelf.group(replace(shelf.config, index=replace(index, near_cosine=0.99))) == 0
    assert shelf.group(replace(shelf.config, index=replace(index, near_bits=1))) == 0
    assert shelf.group(replace(shelf.config, index=replace(index, near_bits=2))) == 2
    assert set(shelf.groups().values()) == {ids[0]}
    assert shelf.group(replace(shelf.config, index=replace(index, near_bits=0))) == 2
    assert shelf.groups() == {}


def test_exact_copies_are_alike_whatever_they_show(shelf: Shelf) -> None:
    ids = shelf.add(
        picture("a.jpg", 0, content_hash="x"),
        picture("b.jpg", 0, content_hash="x"),
        picture("c.jpg", None, content_hash="y"),
        picture("d.jpg", None, content_hash="y"),
        picture("e.jpg", None),
        picture("f.jpg", None),
        vectors=[ONE] * 6,
    )
    shelf.group()
    assert shelf.groups() == {ids[0]: ids[0], ids[1]: ids[0], ids[2]: ids[2], ids[3]: ids[2]}


def test_flat_pictures_and_pages_of_documents_are_only_exact(shelf: Shelf) -> None:
    shelf.add(picture("black.png", 0), picture("grey.png", 0), vectors=[ONE, ONE])
    shelf.add(picture("white.png", 1 << 63), picture("snow.png", 1 << 63), vectors=[ONE, ONE])
    shelf.add(picture("invoice-1.pdf", HASH), picture("INVOICE-2.PDF", HASH), vectors=[ONE, ONE])
    pages = shelf.add(*(picture(f"{name}.pdf", HASH, content_hash="p", position=3) for name in "ab"), vectors=[ONE] * 2)
    shelf.group()
    assert shelf.groups() == dict.fromkeys(pages, pages[0])


def test_moments_of_one_film_stay_apart_and_copies_of_it_pair_moment_by_moment(shelf: Shelf) -> None:
    def moment(name: str, position: int | None, film: int | None) -> Item:
        values = {"modality": "video", "content_hash": "film", "position": position, "parent_id": film}
        return picture(name, HASH, **values)

    films = shelf.add(*(moment(name, None, None) for name in ("a.mp4", "b.mp4")), vectors=[ONE] * 2)
    copies = [films]
    for position in (10_000, 20_000):
        copies.append(shelf.add(*(moment("film", position, film) for film in films), vectors=[ONE] * 2))
    shelf.add(picture("still.jpg", HASH), vectors=[ONE])
    shelf.group()
    assert shelf.groups() == {item: first for first, second in copies for item in (first, second)}


def test_a_chain_of_small_steps_does_not_glue_unlike_pictures(shelf: Shelf) -> None:
    steps = [HASH, flipped(HASH, *range(6)), flipped(HASH, *range(12)), flipped(HASH, *range(18))]
    ids = shelf.add(*(picture(f"{n}.jpg", word) for n, word in enumerate(steps)), vectors=[ONE] * 4)
    shelf.group()
    assert shelf.groups() == {ids[0]: ids[0], ids[1]: ids[0], ids[2]: ids[2], ids[3]: ids[2]}


def photo(seed: int) -> Image.Image:
    """A picture with the soft structure of a photograph, and some grain."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (7, 9, 3)).astype(np.uint8)).resize(
        (320, 240), Image.Resampling.BICUBIC
    )
    grain = Image.fromarray(random.integers(0, 256, (240, 320, 3)).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2))
    return Image.blend(coarse, grain, 0.15)


def test_altered_copies_of_real_files_are_grouped_and_other_pictures_are_not(shelf: Shelf, tmp_path: Path) -> None:
    files: dict[str, int] = {}
    for number in range(12):
        original = photo(number)
        copies = {
            "original.png": original,
            "again.jpg": original,
            "small.webp": original.resize((128, 96)),
            "cropped.jpg": original.crop((3, 2, 317, 238)),
            "bright.png": ImageEnhance.Brightness(original).enhance(1.1),
        }
        for name, image in copies.items():
            image.save(tmp_path / f"{number}-{name}", quality=40)
            files[f"{number}-{name}"] = number
    items = []
    for name in files:
        with Image.open(tmp_path / name) as image:
            items.append(Item(path=name, phash=perceptual_hash(image.convert("RGB"))))
    ids = shelf.add(*items, vectors=[ONE] * len(items))  # the hash alone must tell them apart
    shelf.group()
    firsts = {number: ids[5 * number] for number in range(12)}
    assert shelf.groups() == {i: firsts[number] for i, number in zip(ids, files.values(), strict=True)}


# --- what changes ---


def test_nothing_new_changes_nothing(shelf: Shelf) -> None:
    shelf.add(picture("a.jpg", HASH), picture("b.jpg", HASH), vectors=[ONE, ONE])
    assert [shelf.group(), shelf.group()] == [2, 0]


def test_a_group_of_one_dissolves_and_comes_back_with_its_member(shelf: Shelf) -> None:
    a, b = shelf.add(picture("a.jpg", HASH), picture("b.jpg", HASH), vectors=[ONE, ONE])
    shelf.group()
    shelf.change([b], removed_at=time.time())
    assert shelf.group() == 2 and shelf.groups() == {}
    shelf.change([b], removed_at=None)
    shelf.embed([b], [ONE])
    assert shelf.group() == 2 and shelf.groups() == {a: a, b: a}


def test_a_group_keeps_its_id_while_its_first_is_there_and_is_renamed_when_it_goes(shelf: Shelf) -> None:
    a, b, c = shelf.add(*(picture(f"{n}.jpg", HASH, content_hash="x") for n in range(3)), vectors=[ONE] * 3)
    shelf.group()
    shelf.change([b], removed_at=time.time())
    (d,) = shelf.add(picture("d.jpg", flipped(HASH, 1, 2)), vectors=[NEARLY])
    shelf.group()
    assert shelf.groups() == {a: a, c: a, d: a}
    shelf.change([a], removed_at=time.time())
    shelf.group()
    assert shelf.groups() == {c: c, d: c}


def test_an_edited_picture_leaves_its_group_even_before_it_is_embedded_again(shelf: Shelf) -> None:
    a, b, c = shelf.add(*(picture(f"{n}.jpg", HASH) for n in range(3)), vectors=[ONE] * 3)
    shelf.group()
    with shelf.catalog.session() as session:
        session.execute(sa.text(f"DELETE FROM embeddings WHERE item_id = {a}"))
    shelf.group()
    assert shelf.groups() == {b: b, c: b}
    shelf.embed([a], [OTHER])
    shelf.group()
    assert shelf.groups() == {b: b, c: b}


def test_another_encoder_groups_anew(shelf: Shelf) -> None:
    ids = shelf.add(picture("a.jpg", HASH), picture("b.jpg", HASH), vectors=[ONE, ONE])
    shelf.group()
    first = shelf.encoder
    with shelf.catalog.session() as session:
        shelf.encoder = EncoderRow(fingerprint="e" * 64, spec="other", dim=4)
        session.add(shelf.encoder)
    shelf.store = type(shelf.store)(shelf.config.home / "embeddings" / ("e" * 16), 4)
    shelf.embed(ids, [ONE, OTHER])
    assert shelf.group() == 2 and shelf.groups() == {}
    with shelf.catalog.session() as session:
        assert session.get_one(EncoderRow, first.id).grouping is None


# --- every history ends in the same groups ---

TURNS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "remove", "return", "edit", "group"]), st.integers(0, 2**16)),
    max_size=40,
)


def looks(number: int) -> tuple[int, tuple[float, ...], str | None]:
    """One of few looks, so that many are nearly alike: a hash, a vector on a circle, perhaps shared content."""
    word = flipped(HASH, *range(0, 3 * (number % 8)))
    angle = 0.25 * (number // 8 % 4)  # 0.92 is the cosine of 0.4
    return word, (np.cos(angle), np.sin(angle), 0, 0), "shared" if number % 7 == 0 else None


def expected(state: dict[int, int]) -> dict[int, int]:
    """The rule, straight down: each joins the first that stands for a group and is alike."""
    first: dict[str, int] = {}
    leader: dict[int, int] = {}
    for item in sorted(state):
        word, vector, content = looks(state[item])
        if content in first:
            leader[item] = leader[first[content]]
            continue
        leader[item] = item
        for other in sorted(leader):
            word2, vector2, _ = looks(state[other])
            if leader[other] != other or other == item:
                continue
            if (word ^ word2).bit_count() <= 6 and round(float(np.dot(vector, vector2)), 3) >= 0.92:
                leader[item] = other
                break
        if content:
            first[content] = item
    counts = list(leader.values())
    return {item: lead for item, lead in leader.items() if counts.count(lead) > 1}


@settings(max_examples=30, deadline=None)
@given(TURNS)
def test_every_history_ends_in_the_groups_of_a_first_run(turns: list[tuple[str, int]]) -> None:
    state: dict[int, int] = {}
    removed: dict[int, int] = {}
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_BLOCK", 3)
        patch.setattr(duplicates, "_COMPARED", 2)
        shelf = Shelf(config_at(Path(folder) / "home"), 4)
        for turn, number in turns:
            word, vector, content = looks(number)
            if turn == "add":
                (item,) = shelf.add(
                    picture(f"{len(state) + len(removed)}.jpg", word, content_hash=content), vectors=[vector]
                )
                state[item] = number
            elif turn == "group":
                shelf.group()
            elif turn == "return" and removed:
                item = sorted(removed)[number % len(removed)]
                state[item] = removed.pop(item)
                shelf.change([item], removed_at=None)
                shelf.embed([item], [looks(state[item])[1]])
            elif turn in ("remove", "edit") and state:
                item = sorted(state)[number % len(state)]
                if turn == "remove":
                    removed[item] = state.pop(item)
                    shelf.change([item], removed_at=1.0)
                else:
                    state[item] = number
                    shelf.change([item], phash=f"{word:016x}", content_hash=content)
                    shelf.embed([item], [vector])
        shelf.group()
        assert shelf.groups() == expected(state)
        assert shelf.group() == shelf.regroup() == 0
        shelf.close()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=30),
    st.lists(st.lists(st.integers(0, 63), max_size=18), max_size=30),
    st.integers(0, 16),
)
def test_near_hashes_are_all_found_and_no_others(words: list[int], flips: list[list[int]], bits: int) -> None:
    copies = [flipped(word, *set(some)) for word, some in zip(words, flips, strict=False)]
    ours, theirs = np.array([*copies, 7], np.uint64), np.array([*words, HASH], np.uint64)
    found = {pair for a, b in NearHashes(theirs, bits).pairs(ours) for pair in zip(a.tolist(), b.tolist(), strict=True)}
    distance = np.bitwise_count(ours[:, None] ^ theirs)
    assert found == set(zip(*(part.tolist() for part in np.nonzero(distance <= bits)), strict=True))
