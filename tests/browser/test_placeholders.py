"""While a picture is on its way its colours stand in its place, and nothing moves when it comes."""

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from engine.config import Config
from engine.thumbnails import main_colours

COLOURS = re.compile("data:image/png")


def average(png: bytes, place: Path) -> tuple[int, ...]:
    place.write_bytes(png)
    with Image.open(place) as image:
        return tuple(image.convert("RGB").resize((1, 1), Image.Resampling.BOX).tobytes())


def far(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def held(page: Page) -> list[Route]:
    """Requests of thumbnails, which are answered when the test says so."""
    waiting: list[Route] = []
    page.route("**/thumbs/**", lambda route: waiting.append(route))
    return waiting


def test_colours_stand_where_a_picture_will_be_and_go_when_it_has_come(
    page: Page, held: list[Route], tmp_path: Path
) -> None:
    page.goto("/?q=a+red+boat+path:trees/**", wait_until="commit")  # trees are of more colour than boats
    tile = page.locator(".tiles a").first
    expect(tile).to_have_css("background-image", COLOURS)
    room = tile.bounding_box()
    waiting = average(tile.screenshot(), tmp_path / "waiting.png")
    page.unroute("**/thumbs/**")  # those that wait go on
    expect(tile).to_have_css("background-image", "none")
    page.wait_for_load_state("networkidle")
    come = average(tile.screenshot(), tmp_path / "come.png")
    assert far(waiting, come) < 24 and far(waiting, (240, 237, 230)) > 24
    assert tile.bounding_box() == room


def test_a_picture_that_cannot_be_had_leaves_its_words(page: Page, held: list[Route]) -> None:
    page.goto("/?q=a+red+boat", wait_until="commit")
    tile = page.locator(".tiles a").first
    expect(tile).to_have_css("background-image", COLOURS)
    tile.locator("img").evaluate("(image) => image.dispatchEvent(new Event('error'))")
    expect(tile).to_have_css("background-image", "none")


def test_the_colours_are_those_of_the_thumbnail(library: Config, tmp_path: Path) -> None:
    thumb = next((library.home / "thumbs").rglob("*.jpg"))
    digits = main_colours(thumb)
    with Image.open(thumb) as image:
        small = image.convert("RGB").resize((4, 3), Image.Resampling.BOX).tobytes()
    assert len(digits) == 36
    assert max(abs(16 * int(digit, 16) + 8 - value) for digit, value in zip(digits, small, strict=True)) <= 24
    with pytest.raises(OSError, match="No such file"):
        main_colours(tmp_path / "none.jpg")
