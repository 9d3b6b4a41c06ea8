"""What moves on the page: a job's progress, and films that play from their moment."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from engine.catalog import Catalog, Failure, Job
from engine.config import Config
from tests.browser.support import serving, watched
from tests.web_library import Kinds, add_kinds, copy_library


@pytest.fixture(scope="module")
def copied(library: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Kinds]:
    config = copy_library(library, tmp_path_factory.mktemp("live"))
    return config, add_kinds(config)


@pytest.fixture(scope="module")
def place(copied: tuple[Config, Kinds]) -> Iterator[str]:
    with serving(copied[0]) as address:
        yield address


@pytest.fixture
def page(browser: Browser, place: str) -> Iterator[Page]:
    with watched(browser.new_context(base_url=place)) as page:
        yield page


@pytest.fixture
def job(copied: tuple[Config, Kinds]) -> Iterator[Catalog]:
    """The catalog, with a job that runs."""
    catalog = Catalog(copied[0])
    with catalog.session() as session:
        session.add(
            Job(kind="index", pid=1, done=1240, total=7000, rate=32.0, remaining_s=180.0, message="embedding", files=9)
        )
    yield catalog
    with catalog.session() as session:
        session.execute(sa.delete(Job).where(Job.pid == 1))
        session.execute(sa.delete(Failure))
    catalog.engine.dispose()


def change(catalog: Catalog, **values: object) -> None:
    with catalog.session() as session:
        session.execute(sa.update(Job).where(Job.pid == 1).values(heartbeat_at=time.time(), **values))


def test_the_library_page_follows_a_job(page: Page, job: Catalog) -> None:
    page.goto("/status")
    bar = page.get_by_role("progressbar", name="indexing: 1,240 of 7,000, 3 min left")
    expect(bar).to_have_attribute("value", "1240")
    assert bar.evaluate("bar => bar.max") == 7000
    page.evaluate("window.untouched = document.querySelector('progress')")
    change(job, done=3500, rate=40.5, remaining_s=86.0)
    with job.session() as session:
        session.add(Failure(root_id=1, path="bad.jpg", stage="decode", reason="truncated", hint="mend"))
    bar = page.get_by_role("progressbar", name="indexing: 3,500 of 7,000, 1 min left")
    expect(bar).to_have_attribute("value", "3500")
    expect(page.get_by_text("40.5")).to_be_visible()
    assert page.evaluate("window.untouched === document.querySelector('progress')"), "only what differs is touched"
    expect(page.get_by_role("region", name="Reasons of failures")).to_contain_text("truncated")
    change(job, state="done", done=7000)
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("The library's work has ended")
    expect(page.get_by_role("row", name="7,000 of 7,000")).to_be_visible()


def test_the_search_page_has_a_line_while_a_job_runs(page: Page, job: Catalog) -> None:
    page.goto("/")
    line = page.locator("#working")
    expect(line).to_have_text("indexing: 1,240 of 7,000, 3 min left")
    change(job, done=6900, remaining_s=8.0)
    expect(line).to_have_text("indexing: 6,900 of 7,000, 8 s left")
    change(job, state="done")
    expect(line).to_be_hidden()


def test_a_film_plays_from_its_moment(page: Page, copied: tuple[Config, Kinds]) -> None:
    kinds = copied[1]
    page.goto("/")
    page.get_by_role("searchbox").fill("a boat")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=a+boat**")  # loaded, so that its script hears the choice of a kind
    page.locator(".kinds").get_by_text("Films").click()
    page.wait_for_url("**for=video**")
    page.get_by_role("link").filter(has_text="1:23").click()
    page.wait_for_url(f"**/items/{kinds.moment}")
    film = page.locator("video")
    film.evaluate("film => film.readyState >= 2 || new Promise((done) => film.addEventListener('loadeddata', done))")
    assert 82 < film.evaluate("film => film.currentTime") < 84
    assert film.evaluate("film => film.duration") == pytest.approx(100, abs=1.5)
    expect(page.get_by_role("heading", name="Moments")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_every_kind_fits(browser: Browser, place: str, copied: tuple[Config, Kinds], job: Catalog, width: int) -> None:
    shots = Path(__file__).parents[2] / "test-output"
    shots.mkdir(exist_ok=True)
    kinds = copied[1]
    context = browser.new_context(base_url=place, viewport={"width": width, "height": 844})
    with watched(context) as page:
        places = {
            "film": f"/items/{kinds.moment}", "page": f"/items/{kinds.page}", "document": f"/items/{kinds.passage}",
            "films": "/?for=video", "moments": "/?q=a+boat&for=video",
            "sounds": "/?for=audio", "working": "/status", "like": f"/?like={kinds.document}",
        }  # fmt: skip
        for name, address in places.items():
            page.goto(address, wait_until="networkidle" if name != "working" else "load")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            assert page.locator("img").evaluate_all("all => all.every((one) => one.naturalWidth > 0)"), name
            page.screenshot(path=shots / f"{name}-{width}.png")


def test_a_document_fits_a_screen_of_320_pixels_and_is_read_by_keys(
    browser: Browser, place: str, copied: tuple[Config, Kinds]
) -> None:
    document = copied[1].document
    with watched(browser.new_context(base_url=place, viewport={"width": 320, "height": 256})) as page:
        page.goto(f"/?like={document}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.goto(f"/items/{document}")
        words = page.get_by_role("region").filter(has=page.locator("p"))
        words.first.focus()
        expect(words.first).to_be_focused()
