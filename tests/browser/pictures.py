"""The two pictures of the README, photographed on the sample library: `make pictures`."""

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from engine.config import load_config
from indexer.demo import prepare_demo
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.support import serving

PLACE = Path(__file__).parents[2] / "docs"
LARGEST = 200_000  # bytes of each
SIZE = (1280, 800)


def several_examples(page: Page) -> None:
    """A search by words and two examples, one of them pushed away, and a result that is being selected."""
    page.goto("/?q=a+boat+at+sunset")
    first, second = (page.locator(".tiles a[data-item]").nth(place).get_attribute("data-item") for place in (1, 9))
    page.goto(f"/?q=a+boat+at+sunset&like={first}&unlike={second}", wait_until="networkidle")
    page.locator(".pick").nth(2).check(force=True)
    page.locator(".pick").nth(5).check(force=True)
    page.mouse.move(0, 0)


def the_map(page: Page) -> None:
    """How the pictures of the library lie."""
    page.goto("/library")
    page.wait_for_selector(".map", timeout=300_000)
    page.wait_for_load_state("networkidle")
    page.locator(".tabs").evaluate("tabs => scrollTo(0, tabs.getBoundingClientRect().top - 84)")


PICTURES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "search.webp": ("light", several_examples), "library.webp": ("dark", the_map),
}  # fmt: skip


def main(home: Path) -> None:
    """Index the sample library at `home`, unless it is there, and photograph its page."""
    config, _ = prepare_demo(load_config(home), None, lambda *_: None)
    PLACE.mkdir(exist_ok=True)
    with serving(config) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name, (scheme, go) in PICTURES.items():
            page = browser.new_page(
                base_url=address, viewport={"width": SIZE[0], "height": SIZE[1]}, reduced_motion="reduce",
                color_scheme="dark" if scheme == "dark" else "light",
            )  # fmt: skip
            go(page)
            expect(page.locator("body.busy")).to_have_count(0)
            with Image.open(io.BytesIO(page.screenshot())) as image:
                image.save(PLACE / name, quality=80, method=6)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder) / "home")
