"""Where one is: the focus after marks have ranked results anew, and what the page shows when one goes back."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from engine.config import Config
from tests.browser.support import give, serving, watched
from tests.web_library import copy_library


@pytest.fixture(scope="module")
def marked(browser: Browser, library: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A library of its own, since marks are kept."""
    with serving(copy_library(library, tmp_path_factory.mktemp("marked"))) as address:
        yield address


@pytest.fixture
def page(browser: Browser, marked: str) -> Iterator[Page]:
    with watched(browser.new_context(base_url=marked)) as page:
        yield page


def items(page: Page) -> list[str]:
    ids: list[str] = page.locator(".feed a[data-item]").evaluate_all("all => all.map((one) => one.dataset.item)")
    return ids


@pytest.mark.parametrize("own", [False, True])
def test_the_focus_stays_with_what_was_marked_or_goes_to_the_next(page: Page, boat: tuple[int, str], own: bool) -> None:
    page.goto("/?q=a+red+house" if own else "/?q=a+blue+boat")
    if own:
        give(page, "drop", boat[1])
        page.get_by_role("searchbox").blur()
    page.wait_for_selector("html.js")
    before = items(page)
    page.locator(".feed a[data-item]").nth(3).focus()
    page.keyboard.press("x")
    page.keyboard.press("g")
    expect(page.get_by_text("1 mark of yours counts here.")).to_be_visible()
    expect(page.locator(f"a[data-item='{before[3]}']")).to_be_focused()
    now = items(page)
    at = now.index(before[3])
    page.keyboard.press("x")
    page.keyboard.press("b")
    expect(page.locator(f"a[data-item='{before[3]}']")).to_have_count(0)
    expect(page.locator(f"a[data-item='{now[at + 1]}']")).to_be_focused()
    last = items(page)
    page.keyboard.press("Enter")
    page.wait_for_selector(".marking:not([hidden])")
    page.keyboard.press("b")
    expect(page.locator(f"a[data-item='{last[last.index(now[at + 1]) + 1]}']")).to_be_focused()


def test_marks_that_are_forgotten_leave_the_focus_at_the_results(page: Page) -> None:
    page.goto("/?q=a+yellow+sun")
    page.wait_for_selector("html.js")
    second = items(page)[1]
    page.locator(".pick").nth(1).check()
    page.keyboard.press("g")
    expect(page.locator(f"a[data-item='{second}']")).to_be_focused()  # the list is whole again
    page.get_by_role("button", name="Forget it").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".marked")).to_have_count(0)
    expect(page.locator(".feed a[data-item]").first).to_be_focused()


def test_back_shows_what_its_address_asks_for(page: Page) -> None:
    page.goto("/?q=a+red+boat")
    page.wait_for_selector("html.js")
    page.get_by_role("searchbox").fill("a green tree")
    page.get_by_text("Words", exact=True).click()
    page.wait_for_url("**for=text")
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("a red boat")
    expect(page.get_by_role("radio", name="Pictures")).to_be_checked()


def test_what_is_selected_again_by_going_back_is_counted(page: Page) -> None:
    page.goto("/?q=a+red+boat")
    page.wait_for_selector("html.js")
    for number in (2, 3):
        page.locator(".pick").nth(number).check()
    page.locator(".feed a[data-item]").first.click()
    page.wait_for_url("**/items/*")
    page.go_back()
    expect(page.locator("#picked output")).to_have_text("2 selected")


def test_a_page_as_it_was_left_forgets_what_was_asked_for_next(page: Page) -> None:
    page.goto("/?q=a+red+boat")
    page.wait_for_selector("html.js")
    page.get_by_role("searchbox").fill("a green tree")
    # Browsers that keep the page say so by this event; the one of the tests keeps none.
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(page.get_by_role("searchbox")).to_have_value("a red boat")


def test_skipping_to_the_results_keeps_an_own_picture(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/")
    give(page, "drop", boat[1])
    page.get_by_role("link", name="Skip to the results").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("searchbox").fill("a red house")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=a+red+house**")
    expect(page.locator("#chips img[alt='Your picture']")).to_be_visible()


def test_a_failure_to_load_more_is_forgotten_once_more_has_come(browser: Browser, marked: str) -> None:
    context = browser.new_context(base_url=marked)
    page = context.new_page()  # its console is not silent: one of its requests fails
    page.route("**/?*cursor=*", lambda route: route.abort())
    page.goto("/?q=a+red+boat&for=text")
    page.mouse.wheel(0, 20_000)
    more = page.locator("#more")
    expect(more).to_have_text("The server does not answer. Is it still running? Try again")
    page.unroute("**/?*cursor=*")
    first = iter([True])
    page.route("**/?*cursor=*", lambda route: route.continue_() if next(first, False) else None)
    more.click()
    expect(more).to_have_text("More")  # what follows that is never answered
    context.close()


def test_back_shows_as_many_results_as_were_shown_and_the_same_place(page: Page) -> None:
    page.goto("/?q=a+red+boat&for=text")
    page.wait_for_selector("html.js")
    results = page.locator(".feed a[data-item]")
    for count in (48, 72, 80):
        page.mouse.wheel(0, 20_000)
        expect(results.nth(count - 1)).to_be_attached()
    order, asked = items(page), []
    results.nth(60).scroll_into_view_if_needed()
    top = page.evaluate("scrollY")
    results.nth(60).click()
    page.wait_for_url("**/items/*")
    page.on("request", lambda request: asked.append(request.url) if "cursor=" in request.url else None)
    page.go_back()
    expect(results).to_have_count(80)
    expect(page.locator("body")).to_have_attribute("style", "")  # no longer held as high as it was
    expect(results.nth(60)).to_be_in_viewport()
    assert (items(page), page.evaluate("scrollY")) == (order, top)
    assert [url.rsplit("&", 1)[1] for url in asked] == ["pages=3"]


@pytest.mark.parametrize("own", [False, True])
def test_back_to_the_start_is_where_one_was(browser: Browser, marked: str, boat: tuple[int, str], own: bool) -> None:
    narrow = browser.new_context(base_url=marked, viewport={"width": 390, "height": 300})
    with watched(narrow) as page:
        page.goto("/")
        page.wait_for_selector("html.js")
        expect(page.get_by_role("searchbox")).to_be_focused()
        if own:
            give(page, "drop", boat[1])
        page.mouse.wheel(0, 20_000)
        results = page.locator(".tiles.feed a[data-item]")
        expect(results).to_have_count(40)
        results.nth(35).scroll_into_view_if_needed()
        top = page.evaluate("scrollY")
        results.nth(35).click()
        page.wait_for_url("**/items/*")
        page.go_back()
        expect(results).to_have_count(40)
        expect(page.locator("body")).to_have_attribute("style", "")
        expect(results.nth(35)).to_be_in_viewport()
        assert page.evaluate("scrollY") == top > 300


def test_a_row_that_may_grow_waits_for_what_joins_it(browser: Browser, marked: str) -> None:
    held: list[Route] = []
    wide: ViewportSize = {"width": 1600, "height": 900}  # five a row: the last of 24 is not full
    context = browser.new_context(base_url=marked, viewport=wide)
    page = context.new_page()  # its console is not silent: one of its requests fails
    page.route("**/?*cursor=*", lambda route: held.append(route))
    with page.expect_request("**/?*cursor=*"):
        page.goto("/?q=a+red+boat")
    tiles = page.locator(".tiles.feed > li")
    expect(tiles.last).to_be_hidden()
    expect(tiles.first).to_be_visible()
    held[0].abort()
    expect(page.locator("#more")).to_have_text(re.compile("Try again$"))
    expect(tiles.last).to_be_visible()
    page.unroute("**/?*cursor=*")
    page.locator("#more").click()
    expect(tiles).to_have_count(40)
    expect(tiles.last).to_be_visible()
    context.close()


def test_a_mark_leaves_the_search_in_the_history_once(page: Page) -> None:
    page.goto("/?q=a+green+sun")
    page.goto("/?q=a+blue+house")
    page.wait_for_selector("html.js")
    page.locator(".pick").nth(3).check()
    page.keyboard.press("g")
    expect(page.get_by_text("1 mark of yours counts here.")).to_be_visible()
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator(".marked")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("a green sun")


def test_what_cannot_go_on_offers_to_begin_anew(browser: Browser, marked: str) -> None:
    context = browser.new_context(base_url=marked)
    page = context.new_page()  # its console is not silent: one of its requests is refused
    page.goto("/?q=a+red+boat&for=text&like=3")
    page.wait_for_selector("html.js")
    page.locator("#more").evaluate("link => { link.href = link.href.replace(/cursor=.*/, 'cursor=x'); }")
    page.locator("#more").scroll_into_view_if_needed()
    expect(page.locator(".more")).to_contain_text("the cursor cannot be read")
    page.get_by_role("link", name="Search again from the start").click()
    page.wait_for_selector("html.js")
    expect(page.locator("#more")).to_have_text("More")
    assert page.url.endswith("/?q=a+red+boat&for=text&like=3")
    context.close()


def test_a_mark_and_a_facet_that_fail_say_so(browser: Browser, marked: str) -> None:
    context = browser.new_context(base_url=marked)
    page = context.new_page()  # its console is not silent: requests of it fail
    page.route(re.compile("/(marks|facets)"), lambda route: route.abort())
    page.goto("/?q=a+red+boat")
    page.wait_for_selector("html.js")
    page.locator(".pick").first.check()
    page.keyboard.press("g")
    expect(page.locator("#live.said")).to_have_text(re.compile("^That could not be marked. The server "))
    page.locator("[data-facet=path] summary").click()
    expect(page.locator("[data-facet=path] .failed")).to_have_text(re.compile("^The server does not answer."))
    page.unroute(re.compile("/(marks|facets)"))
    page.locator("[data-facet=path] summary").click()
    page.locator("[data-facet=path] summary").click()
    expect(page.locator("[data-facet=path]").get_by_role("link", name=re.compile("^boats"))).to_be_visible()
    context.close()
