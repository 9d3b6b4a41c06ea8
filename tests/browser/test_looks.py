"""How the page looks: it fits, nothing moves while it loads, all has a name; photographs go to test-output/."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.support import give, watched

SHOTS = Path(__file__).parents[2] / "test-output"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_is_photographed(
    browser: Browser, site: str, boat: tuple[int, str], width: int, scheme: str
) -> None:
    SHOTS.mkdir(exist_ok=True)
    context = browser.new_context(
        base_url=site, viewport={"width": width, "height": 844}, is_mobile=width < 500,
        color_scheme="dark" if scheme == "dark" else "light",
    )  # fmt: skip
    with watched(context) as page:
        places = {"start": "/", "results": "/?q=a+red+boat", "words": "/?q=tree&for=text", "item": f"/items/{boat[0]}",
                  "library": "/status"}  # fmt: skip
        for name, place in places.items():
            page.goto(place, wait_until="networkidle")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            page.screenshot(path=SHOTS / f"{name}-{width}-{scheme}.png")
        give(page, "drop", boat[1])
        page.screenshot(path=SHOTS / f"picture-{width}-{scheme}.png")


def test_nothing_moves_while_pictures_load(page: Page) -> None:
    page.add_init_script("""
      window.shifted = 0;
      new PerformanceObserver((list) => { for (const entry of list.getEntries()) shifted += entry.value; })
        .observe({ type: "layout-shift", buffered: true });
    """)
    page.goto("/?q=a+red+boat", wait_until="networkidle")
    assert page.evaluate("shifted") < 0.01


def test_everything_has_a_name_and_a_landmark(page: Page, boat: tuple[int, str]) -> None:
    for place in ("/", "/?q=boat", f"/items/{boat[0]}", "/status"):
        page.goto(place)
        assert page.get_by_role("main").count() == 1 and page.get_by_role("search").count() == 1
        unnamed = page.locator("a, button, input, img").evaluate_all(
            """all => all.filter((each) => each.checkVisibility()
              && each.tagName !== "IMG" && !(each.ariaLabel || each.textContent.trim() || each.labels?.length
              || each.querySelector("img[alt]:not([alt=''])"))).map((each) => each.outerHTML)"""
        )
        assert unnamed == []
        assert page.locator("h1").count() == 1
