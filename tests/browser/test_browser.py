"""The page in a real browser, over the real server: type, look, go on from a picture, drop one, go back."""

import base64
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from waitress.server import create_server

from engine.catalog import Catalog
from engine.config import Config
from engine.search import Searcher
from engine.types import Modality
from tests.web_library import copy_library, make_hostile
from webui import create_app

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run"]  # fmt: skip
SHOTS = Path(__file__).parents[2] / "test-output"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

# A real DataTransfer with a real file, as a drop and a paste bring it.
GIVE = """([kind, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "mine.jpg", { type: "image/jpeg" }));
  const options = { bubbles: true, cancelable: true };
  document.body.dispatchEvent(kind === "drop"
    ? new DragEvent("drop", { ...options, dataTransfer: transfer })
    : new ClipboardEvent("paste", { ...options, clipboardData: transfer }));
}"""


@contextmanager
def serving(config: Config) -> Iterator[str]:
    """The address of the application, served from a thread."""
    catalog = Catalog(config)
    searcher = Searcher(config, catalog)
    searcher.warm()
    server = create_server(create_app(config, searcher), host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    thread.join(10)
    catalog.engine.dispose()


@pytest.fixture(scope="module")
def site(library: Config) -> Iterator[str]:
    with serving(library) as address:
        yield address


@pytest.fixture(scope="module")
def boat(library: Config) -> tuple[int, str]:
    """An indexed picture: its id and its bytes as base64."""
    catalog = Catalog(library)
    item = catalog.ids_under("boats/**", Modality.IMAGE)[0]
    data = base64.b64encode(catalog.item(item).file.read_bytes()).decode()
    catalog.engine.dispose()
    return item, data


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with watched(browser.new_context(base_url=site)) as page:
        yield page


@contextmanager
def watched(context: BrowserContext) -> Iterator[Page]:
    """A page whose console must stay silent."""
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []


def shown(page: Page) -> list[str]:
    """The pictures in the grid, in order."""
    ids: list[str] = page.locator(".tiles a").evaluate_all("links => links.map((link) => link.dataset.item)")
    return ids


def search(page: Page, words: str) -> list[str]:
    page.goto("/")
    page.get_by_role("searchbox").fill(words)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q="))
    expect(page.locator(".tiles img").first).to_be_visible()
    return shown(page)[:24]


def give(page: Page, kind: str, data: str) -> None:
    page.wait_for_selector("html.js")
    page.evaluate(GIVE, [kind, data])
    expect(page.get_by_role("heading", name="Its words")).to_be_visible()


def test_type_open_and_go_on_to_similar_pictures(page: Page) -> None:
    results = search(page, "a red boat")
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
    assert str(boat[0]) in shown(page)[:5]
    words = page.locator(".lines").inner_text()
    page.locator(".lines .small").first.click()
    expect(page.locator(".viewer img")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Its words")).to_be_visible()
    assert page.locator(".lines").inner_text() == words
    page.go_back()
    page.wait_for_url(re.compile("q=a"))
    expect(page.get_by_role("searchbox")).to_have_value("a yellow tree")
    expect(page.locator(".lines")).to_have_count(0)
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
    page.get_by_role("button", name="Remove your picture").click()
    page.wait_for_url(re.compile("q=the"))


def test_a_chosen_file(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/status")
    page.wait_for_selector("html.js")
    file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": base64.b64decode(boat[1])}
    page.locator("#picture").set_input_files([file])  # type: ignore[list-item]
    expect(page.get_by_role("heading", name="Its words")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Library")).to_be_visible()


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
        file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": base64.b64decode(boat[1])}
        expect(page.get_by_role("button", name="Search with the chosen picture")).not_to_be_visible()
        page.locator("#picture").set_input_files([file])  # type: ignore[list-item]
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


def test_contrast_names_and_landmarks(page: Page, boat: tuple[int, str]) -> None:
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
