"""What this process measures of its own answers: histograms of searches by stage and of requests, for /metrics."""

from collections.abc import Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

disable_created_metrics()  # type: ignore[no-untyped-call]


class Measured:
    """Histograms in a registry of their own: one for each application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        stages = Histogram(
            "rebus_search_seconds", "Time of searches by stage.", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        requests = Histogram(
            "rebus_http_seconds", "Time of requests.", ["route", "status"], buckets=_SECONDS, registry=self.registry
        )
        self._stage, self._request = cache(stages.labels), cache(requests.labels)

    def search(self, took_ms: Mapping[str, float]) -> None:
        """Count one search by what each stage took."""
        for stage, ms in took_ms.items():
            self._stage(stage).observe(ms / 1000)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request. route: the rule of its address, of which there are few, and never the address itself."""
        self._request(route, f"{status // 100}xx").observe(seconds)
