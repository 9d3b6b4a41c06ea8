"""Searches of several parts: own pictures and items as chips, weights, selection, and what the address holds of it."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.support import GIVE, give, watched


@pytest.fixture
def bare(browser: Browser, site: str) -> Iterator[Page]:
    """A page without JavaScript."""
    with watched(browser.new_context(base_url=site, java_script_enabled=False)) as page:
        yield page


def shown(page: Page) -> list[str]:
    ids: list[str] = page.locator(".tiles a[data-item]").evaluate_all("all => all.map((one) => one.dataset.item)")
    return ids


def likes(page: Page) -> list[str]:
    found: list[str] = page.evaluate("new URL(location).searchParams.getAll('like')")
    return found


def test_own_pictures_add_up_to_four_and_each_can_be_weighted_and_removed(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/?q=a+tree")
    give(page, "paste", boat[1])
    chips = page.locator("#chips > li")
    expect(chips).to_have_count(1)
    for count in (2, 3, 4, 4):
        page.evaluate("document.querySelector('main').dataset.before = ''")
        page.evaluate(GIVE, ["drop", boat[1]])
        expect(page.locator("main[data-before]")).to_have_count(0)  # the next results have taken its place
        expect(chips).to_have_count(count)
    before = shown(page)
    chips.first.locator("summary").click()
    chips.first.get_by_role("button", name="not").click()
    expect(chips.first).to_have_attribute("data-weight", "not")
    assert shown(page) != before and page.url.endswith("/?q=a+tree")
    page.get_by_role("link", name="Remove your picture").last.click()
    expect(chips).to_have_count(3)
    page.reload()
    expect(chips).to_have_count(3)
    expect(chips.first).to_have_attribute("data-weight", "not")


def test_the_last_own_picture_can_be_removed_and_is_there_again_by_back(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/?q=a+tree")
    give(page, "paste", boat[1])
    chips = page.locator("#chips > li")
    expect(chips).to_have_count(1)
    page.get_by_role("link", name="Remove your picture").click()
    expect(chips).to_have_count(0)
    page.go_back()
    expect(chips).to_have_count(1)


def test_the_address_holds_items_weights_words_filters_and_kind(page: Page) -> None:
    address = "/?q=red+path:boats/**&for=text&like=2:1&like=3&unlike=4"
    page.goto(address)
    chips = page.locator("#chips > li")
    expect(chips).to_have_count(3)
    assert chips.evaluate_all("all => all.map((one) => one.dataset.weight)") == ["more", "normal", "not"]
    page.get_by_role("searchbox").fill("blue")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q=blue"))
    assert likes(page) == ["2:1", "3"] and "unlike=4" in page.url and "for=text" in page.url
    summary = chips.nth(1).locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(chips.nth(1).get_by_role("link", name="more")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("like=2:3"))
    chips.first.get_by_role("link", name=re.compile("^Remove")).click()
    page.wait_for_url(lambda url: "like=2:1" not in url)
    assert likes(page) == ["2:3"]


def test_an_own_picture_stays_beside_what_is_chosen_next(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/?like=3")
    give(page, "drop", boat[1])
    own = page.locator("#chips img[alt='Your picture']")
    page.locator("[data-facet=path] summary").click()
    page.locator("[data-facet=path]").get_by_role("link", name=re.compile("^trees")).click()
    page.wait_for_url(re.compile("path:trees"))
    expect(own).to_be_visible()
    page.locator(".kinds").get_by_text("Words").click()
    page.wait_for_url(re.compile("for=text"))
    expect(own).to_be_visible()
    expect(page.locator(".lines.feed li")).not_to_have_count(0)


def test_the_start_leaves_an_own_picture_and_back_takes_it_up(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/")
    give(page, "drop", boat[1])
    own = page.locator("#chips img[alt='Your picture']")
    expect(own).to_be_visible()
    page.locator(".brand").click()
    expect(own).to_have_count(0)
    page.go_back()
    expect(own).to_be_visible()


def test_more_results_of_an_own_picture_come_while_scrolling(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/")
    give(page, "drop", boat[1])
    page.mouse.wheel(0, 20_000)
    expect(page.locator(".tiles a[data-item]")).to_have_count(40)
    assert len(set(shown(page))) == 40
    expect(page.locator("#more")).to_have_count(0)


def test_selected_results_become_a_search(page: Page) -> None:
    page.goto("/?q=a+red+boat")
    page.wait_for_selector("html.js")
    results, bar = shown(page), page.locator("#picked")
    expect(bar).to_be_hidden()
    page.locator(".tiles a[data-item]").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(bar).to_contain_text("2 selected")
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
    page.keyboard.press("x")
    page.locator(".pick").nth(2).check()
    bar.get_by_role("button", name="More like these").click()
    page.wait_for_url(re.compile(r"/\?like"))
    assert likes(page) == [results[1], results[2]] and "q=" not in page.url
    page.go_back()
    page.get_by_role("checkbox").nth(5).check()
    page.locator("#picked").get_by_role("button", name="Add to the search").click()
    page.wait_for_url(re.compile("like="))
    assert "q=a+red+boat" in page.url and results[5] in likes(page)


def test_the_viewer_adds_to_the_search_it_was_opened_from(page: Page, boat: tuple[int, str]) -> None:
    page.goto(f"/items/{boat[0]}")
    page.wait_for_selector("html.js")
    expect(page.get_by_role("button", name="Add to the search").first).to_be_hidden()
    page.goto("/?q=a+green+tree&like=7")
    give(page, "drop", boat[1])
    page.locator(".tiles a[data-item]").nth(3).click()
    page.wait_for_url("**/items/*")
    item = page.url.rsplit("/", 1)[1]
    page.wait_for_selector("html.js")
    page.keyboard.press("a")
    page.wait_for_url(re.compile("like=7"))
    expect(page.locator("#chips > li")).to_have_count(3)
    assert likes(page) == ["7", item] and "q=a+green+tree" in page.url


def test_a_result_dragged_to_the_box_is_added(page: Page) -> None:
    page.goto("/?q=tree&like=5")
    page.wait_for_selector("html.js")
    item = shown(page)[0]
    page.locator(".tiles a[data-item]").first.drag_to(page.locator("#search"))
    page.wait_for_url(re.compile(f"like={item}"))
    assert likes(page) == ["5", item]


def test_chips_weights_and_selection_without_javascript(bare: Page) -> None:
    bare.goto("/?q=tree&like=5")
    bare.locator(".weight summary").click()
    bare.get_by_role("link", name="not", exact=True).click()
    bare.wait_for_url(re.compile("unlike=5"))
    bare.locator(".pick").first.check()
    expect(bare.locator("#picked")).to_be_visible()
    bare.get_by_role("button", name="Add to the search").click()
    bare.wait_for_url(re.compile(r"q=tree.*like="))
    expect(bare.locator("#chips > li")).to_have_count(2)
    bare.locator("[data-facet=path] summary").click()
    bare.locator("[data-facet=path]").get_by_role("link", name="Choose").click()
    bare.get_by_role("link", name=re.compile("^boats")).click()
    bare.wait_for_url(re.compile("path:boats"))
    expect(bare.locator("#chips > li")).to_have_count(2)
    bare.get_by_text("Copy", exact=True).click()
    expect(bare.locator("#as-command")).to_contain_text("rebus search")
    expect(bare.locator("[data-copy]").first).to_be_hidden()
