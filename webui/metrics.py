"""/metrics for Prometheus: the library's state, read from the catalog at each scrape, and what this process takes."""

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine import status
from webui.services import Services, services

metrics = Blueprint("metrics", __name__)


@metrics.get("/metrics")
def scrape() -> Response:
    """The library's numbers in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LibraryCollector(services()))
    both = generate_latest(registry) + generate_latest(services().measured.registry)
    return Response(both, content_type=CONTENT_TYPE_LATEST)


class LibraryCollector(Collector):
    """Reads one library's catalog: of it any process tells the same."""

    def __init__(self, library: Services) -> None:
        self._catalog, self._status = library.catalog, library.status

    def collect(self) -> Iterator[Metric]:
        """Every metric of README's table."""
        counts = status.counts(self._catalog)
        yield _labelled("rebus_items", "Items present.", ["modality"], counts["items"])
        yield _gauge("rebus_files", "Files present.", counts["files"])
        yield _gauge("rebus_pending", "Items that wait for an embedding.", counts["pending"])
        yield _labelled("rebus_failures", "Files that cannot be used.", ["stage"], counts["failures_by_stage"])
        version = counts["version"]
        yield _gauge("rebus_index_version", "The version served, 0 for none.", version["id"] if version else 0)
        yield _gauge("rebus_disk_bytes", "Bytes of the home, at most a minute old.", self._status.disk_bytes())
        yield from self._jobs()

    def _jobs(self) -> Iterator[Metric]:
        ended, sums = status.job_totals(self._catalog)
        jobs = CounterMetricFamily("rebus_jobs", "Jobs that ended.", labels=["kind", "state"])
        for labels, count in sorted(ended.items()):
            jobs.add_metric(list(labels), count)
        yield jobs
        yield CounterMetricFamily("rebus_indexed_files", "Files read by all jobs.", sums["files"])
        yield CounterMetricFamily("rebus_indexed_bytes", "Bytes read by all jobs.", sums["bytes"])
        yield CounterMetricFamily("rebus_failed_files", "Files that failed in all jobs.", sums["failed"])
        job: dict[str, Any] = status.running_job(self._catalog) or {}
        yield _gauge("rebus_job_running", "Whether a job runs: 1 or 0.", 1 if job else 0)
        yield _gauge("rebus_job_done", "Items done in the stage of the running job.", job.get("done"))
        yield _gauge("rebus_job_expected", "Items of that stage, 0 when not known yet.", job.get("total"))
        yield _gauge("rebus_job_rate", "Items a second.", job.get("rate"))


def _gauge(name: str, help_: str, value: float | None) -> Metric:
    return GaugeMetricFamily(name, help_, value or 0)


def _labelled(name: str, help_: str, labels: list[str], values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, help_, labels=labels)
    for label, value in sorted(values.items()):
        family.add_metric([label], value)
    return family
