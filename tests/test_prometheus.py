"""/metrics: what Prometheus reads is what the catalog holds, and what README says."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from engine.catalog import Catalog, Failure, Job
from engine.config import Config
from engine.search import Searcher
from webui import create_app

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def scrape(client: FlaskClient) -> dict[str, float]:
    """Samples by their name with labels."""
    response = client.get("/metrics")
    assert response.status_code == 200 and response.headers["Content-Type"].startswith("text/plain; version=")
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_the_library_is_counted(client: FlaskClient, catalog: Catalog, library: Config) -> None:
    samples = scrape(client)
    version = catalog.current_version()
    assert version is not None
    assert samples["rebus_items{modality=image}"] == 40 and samples["rebus_items{modality=text}"] == 80
    assert (samples["rebus_files"], samples["rebus_pending"], samples["rebus_index_version"]) == (40, 0, version.id)
    assert samples["rebus_jobs_total{kind=index}{state=done}"] == 1 and samples["rebus_job_running"] == 0
    assert samples["rebus_indexed_files_total"] == 40 and samples["rebus_failed_files_total"] == 0
    assert samples["rebus_indexed_bytes_total"] > 40 * 500
    assert samples["rebus_disk_bytes"] > (library.home / "catalog.db").stat().st_size


def test_a_scrape_is_new_each_time(changed: Config) -> None:
    catalog = Catalog(changed)
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    before = scrape(client)
    with catalog.session() as session:
        session.add(Job(kind="index", pid=1, done=12, total=70, rate=3.5, files=9, failed=2, bytes=1000))
        session.add(Failure(root_id=1, path="x", stage="decode", reason="bad", hint="mend"))
    after = scrape(client)
    assert after["rebus_failures{stage=decode}"] == 1 and "rebus_failures{stage=decode}" not in before
    expected = {"running": 1, "done": 12, "expected": 70, "rate": 3.5}
    assert {key: after[f"rebus_job_{key}"] for key in expected} == expected
    for name, more in (("indexed_files", 9), ("failed_files", 2), ("indexed_bytes", 1000)):
        assert after[f"rebus_{name}_total"] - before[f"rebus_{name}_total"] == more
    assert [name for name in after if name.startswith("rebus_jobs_total")] == [
        "rebus_jobs_total{kind=index}{state=done}"
    ]
    catalog.engine.dispose()


def test_an_empty_library_is_scraped(empty: FlaskClient) -> None:
    samples = scrape(empty)
    assert samples["rebus_files"] == samples["rebus_index_version"] == samples["rebus_job_running"] == 0


def test_every_metric_is_documented_and_every_documented_one_exists(client: FlaskClient) -> None:
    told = set(re.findall(r"^# TYPE (\S+) ", client.get("/metrics").text, re.MULTILINE))
    assert told == set(re.findall(r"`(rebus_[a-z_]+)[`{]", README))


@pytest.mark.parametrize("host", ["evil.example", ""])
def test_only_our_own_names_are_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/metrics", headers={"Host": host}).status_code == 400
