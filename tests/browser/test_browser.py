"""The page in a real browser, over the real server: type, look, go on from a picture, drop one, go back."""

import base64
import re
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from engine.config import Config
from tests.browser.support import GIVE, give, serving, watched
from tests.web_library import copy_library, make_hostile


def shown(page: Page) -> list[str]:
    """The pictures in the grid, in order."""
    ids: list[str] = page.locator(".tiles a").evaluate_all("links => links.map((link) => link.dataset.item)")
    return ids


def search(page: Page, words: str) -> list[str]:
    page.goto(f"/?q={quote_plus(words)}")
    expect(page.locator(".tiles img").first).to_be_visible()
    return shown(page)[:24]


def test_type_open_and_go_on_to_similar_pictures(page: Page) -> None:
    page.goto("/")
    page.get_by_role("searchbox").fill("a red boat")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q="))
    expect(page.locator(".tiles img").first).to_be_visible()
    results = shown(page)[:24]
    assert len(results) == 24
    page.locator(".tiles a").nth(1).click()
    page.wait_for_url(f"**/items/{results[1]}")
    expect(page.locator(".viewer img")).to_be_visible()
    assert page.locator(".viewer img").evaluate("image => image.complete && image.naturalWidth > 0")
    expect(page.locator(".captions li")).to_have_count(2)
    page.locator(".actions").get_by_role("link", name="Similar pictures").click()
    page.wait_for_url(f"**/?like={results[1]}")
    assert results[1] not in shown(page)
    page.go_back()
    page.go_back()
    page.wait_for_url(re.compile("q=a"))
    assert shown(page)[:24] == results


def test_more_results_come_while_scrolling(page: Page) -> None:
    search(page, "a green tree")
    page.mouse.wheel(0, 20_000)
    expect(page.locator(".tiles a")).to_have_count(40)
    assert len(set(shown(page))) == 40
    expect(page.locator("#more")).to_have_count(0)
    page.goto("/")
    newest = shown(page)[:24]
    page.mouse.wheel(0, 20_000)
    expect(page.locator(".tiles a")).to_have_count(40)
    assert len(set(shown(page))) == 40 and shown(page)[:24] == newest


def test_captions_are_found_too(page: Page) -> None:
    search(page, "blue tree")
    page.locator(".kinds").get_by_text("Words").click()
    page.wait_for_url(re.compile("for=text"))
    expect(page.locator(".lines li").first).to_be_visible()
    page.locator(".lines p a").first.click()
    page.wait_for_url(lambda url: "for=text" not in url)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_given_to_the_page_shows_its_words(page: Page, boat: tuple[int, str], kind: str) -> None:
    results = search(page, "a yellow tree")
    give(page, kind, boat[1])
    expect(page.locator(".lines li")).to_have_count(8)
    expect(page.locator("#chips img")).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_value("a yellow tree")
    assert "q=a" in page.url
    words = page.locator(".lines").inner_text()
    page.locator(".lines .small").first.click()
    expect(page.locator(".viewer img")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Its words")).to_be_visible()
    assert page.locator(".lines").inner_text() == words
    page.go_back()
    expect(page.locator(".lines")).to_have_count(0)
    page.wait_for_load_state()  # the page before is asked for anew, and may be there in part
    expect(page.get_by_role("searchbox")).to_have_value("a yellow tree")
    assert shown(page)[:24] == results
    page.go_forward()
    expect(page.get_by_role("heading", name="Its words")).to_be_visible()


def test_a_picture_and_words_together(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/")
    give(page, "drop", boat[1])
    alone = page.locator(".lines").inner_text()
    page.get_by_role("searchbox").fill("the tree is green")
    page.keyboard.press("Enter")
    expect(page.locator(".lines")).not_to_have_text(alone, use_inner_text=True)
    expect(page.locator("#chips img")).to_be_visible()
    page.get_by_role("link", name="Remove your picture").click()
    expect(page.locator("#chips")).to_have_count(0)
    assert "q=the" in page.url


def test_a_chosen_file(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/status")
    page.wait_for_selector("html.js")
    file: FilePayload = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": base64.b64decode(boat[1])}
    page.locator("#picture").set_input_files(file)
    expect(page.get_by_role("heading", name="Its words")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Work", exact=True)).to_be_visible()


def test_a_file_that_is_no_picture_is_explained(browser: Browser, site: str) -> None:
    context = browser.new_context(base_url=site)  # the refused request itself is reported to the console
    page = context.new_page()
    page.goto("/")
    page.wait_for_selector("html.js")
    page.evaluate(GIVE, ["drop", base64.b64encode(b"no picture").decode()])
    expect(page.get_by_role("alert")).to_contain_text("not a picture")
    context.close()


def test_keys(page: Page) -> None:
    results = search(page, "a blue boat")
    page.wait_for_selector("html.js")
    page.locator("main").focus()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).not_to_be_focused()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator(".tiles a").first.click()
    page.wait_for_url(f"**/items/{results[0]}")
    for key, item in (("ArrowRight", results[1]), ("ArrowRight", results[2]), ("ArrowLeft", results[1])):
        page.wait_for_selector("html.js")
        page.keyboard.press(key)
        page.wait_for_url(f"**/items/{item}")
    page.wait_for_selector("html.js")
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile("q=a"))


def test_it_works_without_javascript(browser: Browser, site: str, boat: tuple[int, str]) -> None:
    with watched(browser.new_context(base_url=site, java_script_enabled=False)) as page:
        page.goto("/")
        page.get_by_role("searchbox").fill("a red boat")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("q=a"))
        expect(page.locator(".tiles a")).to_have_count(24)
        page.get_by_role("link", name="More", exact=True).click()
        expect(page.locator(".tiles a")).to_have_count(16)
        file: FilePayload = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": base64.b64decode(boat[1])}
        expect(page.get_by_role("button", name="Search with the chosen picture")).not_to_be_visible()
        page.locator("#picture").set_input_files(file)
        page.get_by_role("button", name="Search with the chosen picture").click()
        expect(page.get_by_role("heading", name="Its words")).to_be_visible()
        expect(page.locator(".lines li")).to_have_count(8)


def test_hostile_captions_and_names_stay_text(
    browser: Browser, library: Config, tmp_path: Path, boat: tuple[int, str]
) -> None:
    config = copy_library(library, tmp_path)
    item = make_hostile(config)
    with serving(config) as address, watched(browser.new_context(base_url=address)) as page:
        for place in ("/", "/?q=a&for=text", f"/items/{item}"):
            page.goto(place)
            assert page.locator("[onerror]").count() == 0
        search(page, "boat")
        page.mouse.wheel(0, 20_000)
        expect(page.locator(".tiles a")).to_have_count(40)
        give(page, "drop", boat[1])
        expect(page.locator(".lines p a").first).to_contain_text("<img src=x")
        assert page.locator("[onerror]").count() == 0
        assert page.evaluate("window.hacked") is None
