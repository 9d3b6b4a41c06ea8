"""What the browser tests share: the server in a thread, a page whose console must stay silent, and gestures."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import BrowserContext, Page, expect

from engine.catalog import Catalog
from engine.config import Config
from engine.search import Searcher
from engine.types import Query, Term
from tests.serving import running

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
    searcher.search(Query((Term(text="warm"),), limit=1))
    with running(config, 4, searcher) as (host, port):
        yield f"http://{host}:{port}"
    catalog.engine.dispose()


@contextmanager
def watched(context: BrowserContext) -> Iterator[Page]:
    """A page whose console must stay silent."""
    context.set_default_timeout(90_000)  # milliseconds: only a page that hangs takes as long
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []


def give(page: Page, kind: str, data: str) -> None:
    page.wait_for_selector("html.js")
    page.evaluate(GIVE, [kind, data])
    expect(page.get_by_role("heading", name="Its words")).to_be_visible()
