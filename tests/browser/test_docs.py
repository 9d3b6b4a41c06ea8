"""The endpoint's own page and the login page in a browser: under the policy, with nothing from elsewhere."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.config import Config
from tests.browser.support import serving, watched

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def guarded(library: Config) -> Iterator[str]:
    with serving(replace(library, serve=replace(library.serve, token=TOKEN))) as address:
        yield address


def test_the_document_is_drawn_and_an_operation_can_be_tried(page: Page, site: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/docs")
    expect(page.locator(".opblock").nth(17)).to_be_visible()
    expect(page.locator("main")).to_have_count(1)
    expect(page.get_by_label("Server", exact=True)).to_be_visible()
    operation = page.locator(".opblock", has_text="/api/v1/versions")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text('"served": true')
    assert all(url.startswith((site, "data:", "blob:")) for url in asked), asked


def test_who_knows_the_token_is_let_in(browser: Browser, guarded: str) -> None:
    with watched(browser.new_context(base_url=guarded)) as page:
        page.goto("/?q=boat")
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(f"{guarded}/?q=boat")
        expect(page.locator(".tiles li").first).to_be_visible()
        page.goto("/docs")
        expect(page.locator(".opblock").first).to_be_visible()
