"""How the page looks: it fits, nothing moves while it loads, all has a name; photographs go to test-output/."""

from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, Request, expect

from tests.browser.support import give, watched

SHOTS = Path(__file__).parents[2] / "test-output"


PLACES = {
    "start": "/", "results": "/?q=a+red+boat", "words": "/?q=tree&for=text", "chips": "/?q=boat&like=2:7&unlike=9",
    "facets": "/facets?q=boat", "library": "/library", "work": "/status", "training": "/training",
    "evaluation": "/evaluation", "why": "/?q=a+red+boat&explain=1", "nothing": "/nothing-here",
}  # fmt: skip
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "resultTypes": ["violations"],  # what passes is not described node by node, which took half of the time
}


Scheme = Literal["light", "dark"]
LOOKS: dict[Scheme, tuple[int, ...]] = {"dark": (390,), "light": (1920, 1280)}  # widths: the last is looked through
HEIGHTS = {390: 844, 1280: 844, 1920: 1000}


SEEN = """Promise.all([...document.images].filter(image => image.getBoundingClientRect().top < innerHeight)
    .map(image => image.decode().catch(() => {}))).then(() => {})"""


def faults(page: Page) -> list[str]:
    """What axe finds."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


def photograph(page: Page, path: Path) -> None:
    """Chromium on a busy machine now and then has nothing to photograph yet, and is asked again."""
    for once_more in (True, True, False):
        try:
            page.screenshot(path=path)
            return
        except Error as error:
            if not once_more or "Unable to capture" not in error.message:
                raise


def look(page: Page, name: str, scheme: Scheme, open_panel: bool = False) -> None:
    """Look through what is shown at the last width of a scheme; that it fits, and photographs in both, at each.

    Colours are of a scheme and sizes of a width, so that two of both are looked through.
    open_panel: it is closed before the page is looked through: what lies half under one is no target.
    """
    for width in LOOKS[scheme]:
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
        for shown in sorted(LOOKS, key=lambda one: one == scheme):  # its own is the last
            page.emulate_media(color_scheme=shown)
            photograph(page, SHOTS / f"{name}-{width}-{shown}.png")
    if open_panel:
        page.keyboard.press("Escape")
    assert faults(page) == [], name


@pytest.mark.parametrize("scheme", LOOKS)
def test_it_fits_has_no_barrier_and_is_photographed(
    browser: Browser, site: str, boat: tuple[int, str], scheme: Scheme
) -> None:
    SHOTS.mkdir(exist_ok=True)
    width = LOOKS[scheme][0]
    context = browser.new_context(
        base_url=site, viewport={"width": width, "height": HEIGHTS[width]}, is_mobile=width < 500,
        reduced_motion="reduce", color_scheme=scheme,
    )  # fmt: skip
    page = context.new_page()  # its console is not silent: one of the pages is not there
    for name, place in {**PLACES, "item": f"/items/{boat[0]}"}.items():
        page.goto(place)
        page.evaluate(SEEN)
        if name == "library":
            page.wait_for_selector(".map")
        look(page, name, scheme)
    page.goto("/?q=boat")
    page.wait_for_selector("html.js")
    page.locator(".pick").first.check(force=True)
    page.locator("[data-facet=path] summary").click()
    expect(page.locator("[data-facet=path] small").first).to_be_visible()
    look(page, "selected", scheme)
    give(page, "drop", boat[1])
    page.locator(".weight summary").click()
    look(page, "picture", scheme, open_panel=True)
    page.locator(".weight summary").click()
    page.get_by_role("button", name="a part of it…").click()
    expect(page.locator(".cutter")).to_be_focused()
    look(page, "part", scheme)
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_rows_that_are_full_stay_as_they_are_when_more_results_come(browser: Browser, site: str, width: int) -> None:
    sizes = "all => all.slice(0, 24).map((one) => `${one.offsetTop} ${one.offsetWidth} ${one.offsetHeight}`)"
    context = browser.new_context(base_url=site, viewport={"width": width, "height": 844})
    page = context.new_page()  # its console is not silent: more comes at the second attempt
    page.route("**/?*cursor=*", lambda route: route.abort())
    page.goto("/?q=a+red+boat")
    page.mouse.wheel(0, 20_000)
    tiles, more = page.locator(".feed > li"), page.get_by_role("link", name="Try again")
    expect(more).to_be_visible()
    before = tiles.evaluate_all(sizes)
    page.unroute("**/?*cursor=*")
    more.click()
    expect(tiles).not_to_have_count(24)
    assert tiles.evaluate_all(sizes) == before
    context.close()


def test_what_can_be_copied_lies_on_the_screen_and_nothing_that_is_pressed_is_printed(page: Page) -> None:
    for width in (390, 640, 800, 1280):
        page.set_viewport_size({"width": width, "height": 600})
        page.goto("/?q=a+red+boat")
        page.locator(".copy summary").click()
        box = page.locator(".copy .values").bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width, width
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator(".tools")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(250, 248, 244)"


def test_what_is_chosen_is_seen_in_colours_of_the_systems_own(browser: Browser, site: str) -> None:
    with watched(browser.new_context(base_url=site, forced_colors="active")) as page:
        page.goto("/?q=a+red+boat")
        styles = page.locator(".kinds span").evaluate_all("all => all.map((one) => getComputedStyle(one).outlineStyle)")
        assert styles == ["solid", "none"]


@pytest.mark.parametrize("place", ["/", "/?q=a+red+boat", "/items/1", "/status"])
def test_a_page_weighs_less_than_sixty_kilobytes_without_pictures(page: Page, place: str) -> None:
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(weight(request)))
    page.goto(place, wait_until="networkidle")
    assert 15_000 < sum(sizes) < 60_000


def weight(request: Request) -> int:
    """Bytes as they came, but for pictures."""
    return 0 if request.resource_type == "image" else request.sizes()["responseBodySize"]


def test_nothing_moves_while_pictures_load(page: Page) -> None:
    page.add_init_script("""
      window.shifted = 0;
      new PerformanceObserver((list) => { for (const entry of list.getEntries()) shifted += entry.value; })
        .observe({ type: "layout-shift", buffered: true });
    """)
    for place in ("/", "/?q=a+red+boat", "/?q=boat&like=3", "/library"):
        page.goto(place, wait_until="networkidle")
        assert page.evaluate("shifted") < 0.01, place


def test_everything_has_a_name_and_a_landmark(page: Page, boat: tuple[int, str]) -> None:
    for place in ("/", "/?q=boat", f"/items/{boat[0]}", "/library", "/status"):
        page.goto(place)
        assert page.get_by_role("main").count() == 1 and page.get_by_role("search").count() == 1
        unnamed = page.locator("a, button, input, img").evaluate_all(
            """all => all.filter((each) => each.checkVisibility()
              && each.tagName !== "IMG" && !(each.ariaLabel || each.textContent.trim() || each.labels?.length
              || each.querySelector("img[alt]:not([alt=''])"))).map((each) => each.outerHTML)"""
        )
        assert unnamed == []
        assert page.locator("h1").count() == 1
