"""The map of a library: each dot opens its picture, by pointer and by keys."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.config import Config
from tests.browser.support import serving, watched
from tests.web_library import copy_library


@pytest.fixture
def page(browser: Browser, library: Config, tmp_path: Path) -> Iterator[Page]:
    """The page of a library whose map is not drawn yet."""
    with serving(copy_library(library, tmp_path)) as address, watched(browser.new_context(base_url=address)) as page:
        yield page


def test_dots_show_and_open_their_pictures(page: Page) -> None:
    page.goto("/library")
    page.wait_for_selector("[data-dots] .spot", timeout=120_000)
    spot = page.locator(".spot")
    expect(spot.locator("img")).to_be_hidden()
    assert page.locator("svg.map a:not([tabindex='-1'])").count() == 0, "one stop for the keyboard, not hundreds"
    spot.focus()
    expect(spot.locator("img")).to_be_visible()
    expect(spot).to_have_attribute("aria-label", re.compile("^(a|the) "))
    places = []
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
        places.append(spot.get_attribute("href"))
    assert len(set(places)) >= 3
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{places[-1]}")
    page.go_back()
    page.wait_for_selector("[data-dots] .spot")
    path = page.locator("svg.map .dots").get_attribute("d") or ""
    spots = [(int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h0", path)]
    tiled = page.locator("svg.map image").evaluate_all(
        "all => all.map((one) => [one.x.baseVal.value + 23, one.y.baseVal.value + 23])"
    )
    at = next(at for at, spot in enumerate(spots) if list(spot) not in tiled)
    page.evaluate("document.querySelectorAll('svg.map a').forEach((tile) => tile.remove())")
    box = page.locator("svg.map").bounding_box()
    assert box is not None
    x, y = spots[at]
    page.mouse.move(box["x"] + x * box["width"] / 1000, box["y"] + y * box["height"] / 620)
    expect(spot.locator("img")).to_be_visible()
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/items/*")
