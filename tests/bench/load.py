"""What locust runs: users who search without a pause.

LOAD_KIND: cached, new or mixed; LOAD_OUT: where figures go; LOAD_LIMIT: hits of a page. mixed also turns pages by
cursor, lists items and asks for facets, and holds pages to what they promise.
"""

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from locust import FastHttpUser, constant, events, task

KIND = os.environ.get("LOAD_KIND", "cached")
SEARCH, LIMIT = "/api/v1/search", int(os.environ.get("LOAD_LIMIT", "24"))
_number = itertools.count()
_times: list[float] = []
_searching: list[float] = []  # what the server says of the same requests
_errors: list[str] = []
_began = time.monotonic()


class Searcher(FastHttpUser):
    """One client that asks as soon as it is answered."""

    wait_time = constant(0)

    @task
    def search(self) -> None:
        words = "a red boat at sunset"
        if KIND == "new" or (KIND == "mixed" and next(_number) % 2):
            words = f"a red boat at sunset number {os.getpid()} {next(_number)}"
        answer = self.client.post(SEARCH, json={"text": words, "limit": LIMIT})
        if answer.status_code == 200:
            _searching.append(answer.json()["took_ms"]["total"])
        if KIND == "mixed":
            self._turn_pages(words)
            self.client.get("/api/v1/items?limit=50", name="items")
            if next(_number) % 50 == 0:
                self.client.get("/api/v1/facets", name="facets")

    def _turn_pages(self, words: str) -> None:
        seen: list[int] = []
        cursor = None
        for _ in range(4):
            body = {"text": words, "limit": LIMIT, "cursor": cursor}
            with self.client.post(SEARCH, json=body, name="pages", catch_response=True) as answer:
                page = answer.json() if answer.status_code == 200 else {"hits": [], "next": None}
                seen += [hit["id"] for hit in page["hits"]]
                if len(set(seen)) != len(seen):
                    answer.failure("a hit was repeated")
                cursor = page["next"]
            if cursor is None:
                return


@events.request.add_listener  # type: ignore[untyped-decorator]
def _heard(response_time: float, exception: Exception | None, name: str, **_: Any) -> None:
    if exception is None:
        _times.append(response_time)
    else:
        _errors.append(f"{name}: {exception!r}"[:200])


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _begin(**_: Any) -> None:
    global _began
    _began = time.monotonic()


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _end(**_: Any) -> None:
    taken = np.array(_times or [0.0])
    p50, p95, p99 = (round(float(x), 3) for x in np.percentile(taken, (50, 95, 99)))
    search_ms = round(float(np.median(_searching or [0.0])), 3)
    figures = {"requests": len(_times), "errors": len(_errors), "examples": sorted(set(_errors))[:5],
               "qps": round(len(_times) / (time.monotonic() - _began), 1), "p50_ms": p50, "p95_ms": p95,
               "p99_ms": p99, "search_p50_ms": search_ms}  # fmt: skip
    Path(os.environ["LOAD_OUT"]).write_text(json.dumps(figures))
