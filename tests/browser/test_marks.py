"""Marks on the page: by pointer and keys, for selected results and in the viewer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.config import Config
from tests.browser.support import serving, watched
from tests.web_library import copy_library


@pytest.fixture
def page(browser: Browser, library: Config, tmp_path: Path) -> Iterator[Page]:
    with serving(copy_library(library, tmp_path)) as address, watched(browser.new_context(base_url=address)) as page:
        yield page


def test_results_are_marked_and_marks_forgotten(page: Page) -> None:
    page.goto("/?q=a+red+boat")
    page.wait_for_selector("html.js")
    page.locator(".pick").nth(3).check()
    page.get_by_role("button", name="Good").click()
    expect(page.get_by_text("1 mark of yours counts here.")).to_be_visible()
    page.locator(".tiles a[data-item]").nth(1).click()
    page.wait_for_url("**/items/*")
    page.wait_for_selector(".marking:not([hidden])")
    page.keyboard.press("b")
    page.wait_for_url("**/?q=a+red+boat")
    expect(page.get_by_text("2 marks of yours count here.")).to_be_visible()
    page.get_by_role("button", name="Forget them").click()
    expect(page.locator(".marked")).to_have_count(0)


def test_why_these(page: Page) -> None:
    page.goto("/?q=a+red+boat")
    page.get_by_role("link", name="Why these?").click()
    expect(page.locator(".why")).to_have_count(24)
    page.mouse.wheel(0, 20_000)
    expect(page.locator(".why")).to_have_count(40)
    page.get_by_role("link", name="Only results").click()
    expect(page.locator(".tiles.feed")).to_be_visible()
