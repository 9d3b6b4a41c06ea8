"""The command that a page offers asks for what the page asks for, whatever was typed."""

import shlex
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from flask import Flask, request
from hypothesis import example, given
from hypothesis import strategies as st

from engine.catalog import Catalog
from engine.config import Config
from engine.errors import InvalidInput
from engine.search import Searcher
from engine.types import Query
from rebus import query_of, search
from webui import create_app
from webui.search_page import asked_for
from webui.sharing import as_command

LITERAL = [
    "like:12",
    "boat.jpg",
    "boats/a.png",
    "./boat.jpg",
    "2:x",
    "nan:x",
    "-",
    "+",
    "--json",
    "a - b",
    "'",
    "x" * 300,
]
PARTS = [
    *(f'{sign}"{words}"' for words in LITERAL for sign in ("", "-")), "red", "boat.jpg", "boats/a.jpg", 'b"c"', "-fog",
    "2:red", "--top", "it's", "$(x)", "like:7", "-like:0.25:3", "like:999.125:2@10,20,50,40",
    f"{'x' * 300}.jpg", 'path:"a b/**"', "path:-x",
    "taken:2023-06..", 'camera:"--json"', "camera:--", "keyword:-x", "keyword:'", "place:lisbon", "near:38.7,-9.1,5",
    "source:*.jsonl", "root:media", "min:0.123456", "min:0.000001", "type:text", "type:sound", "type:film",
]  # fmt: skip
ADDRESS = st.fixed_dictionaries(
    {"q": st.lists(st.sampled_from(PARTS) | st.text(max_size=9), min_size=1, max_size=5).map(" ".join)},
    optional={
        "like": st.sampled_from(["1", "2:1", "1@0,0,50,50"]), "unlike": st.just("2"), "for": st.sampled_from(["text"]),
        "mode": st.sampled_from(["text", "vector"]), "explain": st.just("1"),
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def app(library: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The page, in a folder where a file is called as somebody's words are."""
    catalog = Catalog(library)
    folder = tmp_path_factory.mktemp("here")
    (folder / "boat.jpg").touch()
    with chdir(folder):
        yield create_app(library, Searcher(library, catalog))
    catalog.engine.dispose()


@given(ADDRESS)
@example({"q": '"boat.jpg"'})
@example({"q": '"like:12" -"like:3"'})
@example({"q": "boat.jpg", "mode": "text"})
def test_the_command_asks_what_the_page_asks(app: Flask, address: dict[str, str]) -> None:
    with app.test_request_context("/", query_string=address):
        try:
            page = asked_for(request.args)
            where = page.filters.where()
        except InvalidInput:
            return
        shown = Query(
            page.terms, page.modality, where, 24, least=page.least, mode=page.asked_mode, explain=page.explain
        )
        words = shlex.split(as_command(page))
    assert words[:2] == ["rebus", "search"]
    if page.terms:
        asked = search.make_context("search", words[2:]).params
        assert not asked.pop("json_") and not asked.pop("filepath_only")
        assert query_of(Config(home=Path()), **asked) == shown
