"""The badge of near-duplicates on a tile."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from engine.catalog import Catalog, Item
from engine.config import Config
from tests.browser.support import serving, watched
from tests.web_library import copy_library


@pytest.fixture
def page(browser: Browser, library: Config, tmp_path: Path) -> Iterator[Page]:
    """The page of a library whose pictures are all in pairs."""
    config = copy_library(library, tmp_path)
    catalog = Catalog(config)
    with catalog.session() as session:
        ids = session.scalars(sa.select(Item.id).where(Item.modality == "image").order_by(Item.id)).all()
        for first, second in zip(ids[::2], ids[1::2], strict=True):
            session.execute(sa.update(Item).where(Item.id.in_([first, second])).values(group_id=first))
    catalog.engine.dispose()
    with serving(config) as address, watched(browser.new_context(base_url=address)) as page:
        yield page


def test_a_badge_leads_to_the_pictures_alike_and_takes_no_part_in_turning_pages(page: Page) -> None:
    page.goto("/?q=boat")
    tiles, badges = page.locator(".tiles li"), page.locator(".tiles .alike")
    expect(badges).to_have_count(20)
    expect(tiles).to_have_count(20)
    badge = badges.first
    expect(badge).to_have_text("+1 alike: " + (tiles.first.locator("img").get_attribute("alt") or ""))
    box, tile = badge.bounding_box(), tiles.first.bounding_box()
    assert box and tile and box["height"] >= 24 and box["width"] < tile["width"]
    assert tile["x"] < box["x"] < box["x"] + box["width"] <= tile["x"] + tile["width"]
    badge.click()
    expect(page).to_have_url(f"{page.url.split('/?')[0]}/?like={page.url.rsplit('=', 1)[1]}")
    expect(badges).to_have_count(19)
    expect(tiles).to_have_count(20)
