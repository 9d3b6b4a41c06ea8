"""Fixtures of the browser tests; all are skipped by name where there is no Chromium."""

import base64
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from engine.atlas import draw_atlas, keep_atlas
from engine.catalog import Catalog
from engine.config import Config
from engine.types import Modality, Where
from engine.versions import Version
from tests.browser.support import serving, watched

# The first has no windows to keep, and takes half of the time.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, PROGRAMS)), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run"]  # fmt: skip
expect.set_options(timeout=90_000)  # milliseconds: of a busy machine; a page that is right takes far less


@pytest.fixture(scope="package")
def site(library: Config) -> Iterator[str]:
    """The shared library, served with its map: drawing it waits for idle cores, and its page looks again and again."""
    catalog = Catalog(library)
    row = catalog.current_version()
    assert row is not None
    keep_atlas(library.home, draw_atlas(catalog, Version.load(catalog, row)))
    catalog.engine.dispose()
    with serving(library) as address:
        yield address


@pytest.fixture(scope="package")
def boat(library: Config) -> tuple[int, str]:
    """An indexed picture: its id and its bytes as base64."""
    catalog = Catalog(library)
    item = catalog.ids_matching(Where("boats/**"), Modality.IMAGE)[0]
    data = base64.b64encode(catalog.item(item).file.read_bytes()).decode()
    catalog.engine.dispose()
    return item, data


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with watched(browser.new_context(base_url=site)) as page:
        yield page
