"""Marks on the page: by pointer and keys, for selected results and in the viewer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from engine.config import Config
from tests.browser.support import give, serving, watched
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
    page.wait_for_selector("html.js")  # which keeps the search for the viewer
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


def test_words_are_selected_by_keys_and_marked_where_they_are_shown(page: Page) -> None:
    page.goto("/?q=a+red+boat&for=text")
    page.wait_for_selector("html.js")
    link = page.locator(".lines.feed a[data-item]").nth(2)
    words, found = page.locator(".lines.feed p").nth(2).inner_text(), link.get_attribute("data-found")
    link.focus()
    page.keyboard.press("x")
    expect(page.locator("#picked")).to_contain_text("1 selected")
    page.keyboard.press("g")
    expect(page.get_by_text("1 mark of yours counts here.")).to_be_visible()
    page.wait_for_selector("html.js")  # which keeps the search for the viewer
    page.locator(f"[data-found='{found}']").click()
    page.wait_for_selector(".marking:not([hidden])")
    expect(page.locator(f"#w{found}[aria-current]")).to_have_text(words.splitlines()[0])
    page.keyboard.press("b")
    page.wait_for_url("**/?q=a+red+boat&for=text")
    expect(page.locator(f"[data-found='{found}']")).to_have_count(0)
    expect(page.get_by_text("1 mark of yours counts here.")).to_be_visible()


def test_what_is_explained_can_be_selected(page: Page) -> None:
    page.goto("/?q=a+red+boat&explain=1")
    page.wait_for_selector("html.js")
    page.locator(".explained .pick").first.check()
    page.get_by_role("button", name="Bad").click()
    expect(page.get_by_text("1 mark of yours counts here.")).to_be_visible()
    expect(page.locator(".why")).not_to_have_count(0)


def test_results_of_an_own_picture_are_marked_and_explained(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/")
    give(page, "drop", boat[1])
    page.locator(".tiles .pick").nth(1).check()
    page.get_by_role("button", name="Good").click()
    expect(page.get_by_text("1 mark of yours counts here.")).to_be_visible()
    page.locator(".tiles a[data-item]").nth(2).click()
    page.wait_for_selector(".marking:not([hidden])")
    page.keyboard.press("b")
    expect(page.get_by_text("2 marks of yours count here.")).to_be_visible()
    page.get_by_role("link", name="Why these?").click()
    expect(page.locator(".why b").get_by_text("a picture").first).to_be_visible()
    page.get_by_role("button", name="Forget them").click()
    expect(page.locator(".marked")).to_have_count(0)
    expect(page.locator("#chips img[alt='Your picture']")).to_be_visible()
    expect(page.locator(".why")).not_to_have_count(0)


def test_a_mark_that_is_kept_late_leaves_the_next_search_alone(page: Page, boat: tuple[int, str]) -> None:
    held: list[Route] = []
    page.route("**/marks", lambda route: held.append(route))
    page.goto("/?q=a+red+boat")
    give(page, "drop", boat[1])
    page.locator(".tiles .pick").first.check()
    with page.expect_request("**/marks"):
        page.get_by_role("button", name="Good").click()
    page.get_by_role("searchbox").fill("a green tree")
    page.keyboard.press("Enter")
    expect(page.get_by_role("searchbox")).to_have_attribute("value", "a green tree")
    with page.expect_response("**/marks"):
        held[0].continue_()
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("searchbox")).to_have_attribute("value", "a green tree")


def test_more_than_a_search_takes_stay_selected(page: Page) -> None:
    page.goto("/?q=a+red+boat")
    page.wait_for_selector("html.js")
    for number in range(17):
        page.locator(".pick").nth(number).check()
    bar = page.locator("#picked")
    for name in ("More like these", "Add to the search"):
        bar.get_by_role("button", name=name).click()
        expect(bar).to_contain_text("17 selected. A search takes 16 items: clear some")
        assert page.locator(".pick:checked").count() == 17 and page.url.endswith("/?q=a+red+boat")
    page.locator(".pick").first.uncheck()
    expect(bar).to_contain_text("16 selected")
    bar.get_by_role("button", name="More like these").click()
    expect(page.locator("#chips > li")).to_have_count(16)


def test_a_mode_stays_with_what_is_asked_next(page: Page) -> None:
    page.goto("/?q=a+red+boat")
    page.get_by_text("By looks alone").click()
    page.get_by_role("link", name="words as written").click()
    page.wait_for_url("**mode=text**")
    page.wait_for_selector("html.js")
    page.get_by_role("searchbox").fill("a green tree")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=a+green+tree**")
    assert "mode=text" in page.url
    expect(page.get_by_text("By words as written")).to_be_visible()
