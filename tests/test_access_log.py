"""The access log and the histograms: a line for each request, without what was searched for unless that is asked."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.catalog import Catalog
from engine.config import Config
from engine.errors import ConfigError
from engine.search import Searcher
from tests.web_library import fetch
from webui import create_app

TOKEN = "a-token-of-the-tests"


def _asked(library: Config, catalog: Catalog, file: Path, **changes: Any) -> list[dict[str, Any]]:
    """The lines of some requests."""
    told = replace(library, serve=replace(library.serve, access_log=str(file), token=TOKEN, **changes))
    client = create_app(told, Searcher(told, catalog)).test_client()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    client.post("/api/v1/search", json={"text": "my secret boat"}, headers=bearer)
    client.get("/api/v1/search?q=my+secret+boat", headers=bearer)
    client.get("/?q=my+secret+boat", headers=bearer)
    client.post(f"/t/{TOKEN}/knn-service", json={"text": "my secret boat"})
    fetch(client, "/healthz")
    client.get("/api/v1/items/99999", headers=bearer)
    client.get("/my-secret/nothing", headers=bearer)
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_lines_hold_no_words_and_no_token(library: Config, catalog: Catalog, tmp_path: Path) -> None:
    lines = _asked(library, catalog, tmp_path / "log")
    assert [(line["method"], line["route"].split("<")[0], line["status"]) for line in lines] == [
        ("POST", "/api/v1/search", 200), ("GET", "/api/v1/search", 200), ("GET", "/", 200),
        ("POST", "/knn-service", 200), ("GET", "/healthz", 200), ("GET", "/api/v1/items/", 404), ("GET", "none", 404),
    ]  # fmt: skip
    for line in lines:
        assert set(line) == {"time", "method", "route", "status", "ms", "bytes", "client"} and line["ms"] >= 0
    text = (tmp_path / "log").read_text()
    assert "secret" not in text and TOKEN not in text


def test_words_stand_there_when_that_is_asked(library: Config, catalog: Catalog, tmp_path: Path) -> None:
    lines = _asked(library, catalog, tmp_path / "log", log_queries=True)
    assert [line["query"] for line in lines][:4] == ["my secret boat"] * 4


def test_a_log_that_cannot_be_written_is_told(library: Config, catalog: Catalog, tmp_path: Path) -> None:
    told = replace(library, serve=replace(library.serve, access_log=str(tmp_path / "no" / "log")))
    with pytest.raises(ConfigError, match="access_log"):
        create_app(told, Searcher(told, catalog))


def test_histograms_count_searches_by_stage(library: Config, catalog: Catalog) -> None:
    client = create_app(library, Searcher(library, catalog)).test_client()
    for _ in range(3):
        client.get("/api/v1/search?q=boat")
    client.get("/api/v1/items/99999")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if "le" not in sample.labels
    }
    for stage in ("encode", "exact", "catalog", "total"):
        assert samples["rebus_search_seconds_count", stage] == 3
        assert 0 <= samples["rebus_search_seconds_sum", stage] <= samples["rebus_search_seconds_sum", "total"]
    assert samples["rebus_http_seconds_count", "/api/v1/search", "2xx"] == 3
    assert sum(value for (name, *labels), value in samples.items() if labels[-1:] == ["4xx"] and "count" in name) == 1
