"""A line of JSON for each request, when one is wanted. What was searched for stands in it only where that is asked."""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request

from engine.config import ServeSettings
from engine.errors import ConfigError
from webui.hosts import client_of
from webui.measured import Measured


class AccessLog:
    """Measures every request, and writes it down."""

    def __init__(self, settings: ServeSettings, measured: Measured) -> None:
        self._measured, self._queries = measured, settings.log_queries
        self._place = settings.access_log
        _check(self._place)

    def install(self, app: Flask) -> None:
        """Hear of every request of the application. Installed first, it hears of those too that others refuse."""
        app.before_request(self._begin)
        app.after_request(self._end)

    def _begin(self) -> None:
        g.began = time.perf_counter()

    def _end(self, response: Response) -> Response:
        seconds = time.perf_counter() - g.get("began", time.perf_counter())
        route = request.url_rule.rule if request.url_rule is not None else "none"  # an address may hold the token
        self._measured.request(route, response.status_code, seconds)
        if self._place:
            facts: dict[str, Any] = {
                "time": round(time.time(), 3), "method": request.method, "route": route,
                "status": response.status_code, "ms": round(seconds * 1000, 2), "bytes": response.content_length,
                "client": client_of(request),
            }  # fmt: skip
            if self._queries:
                facts["query"] = _asked()
            self._write(json.dumps(facts) + "\n")
        return response

    def _write(self, line: str) -> None:
        """One call a line, so that those of several threads never mix; opened anew, so that the file may be rotated."""
        if self._place == "-":
            sys.stderr.write(line)
            return
        with suppress(OSError), Path(self._place).expanduser().open("a", encoding="utf-8") as file:
            file.write(line)


def _asked() -> str:
    """The words of a search, as far as they can be told."""
    asked = g.get("asked")  # what an operation has read
    words = getattr(asked, "text", None) or getattr(asked, "q", None) or request.args.get("q")
    return str(words or "")[:500]


def _check(place: str) -> None:
    """Raise ConfigError for a file that cannot be written."""
    try:
        if place not in ("", "-"):
            Path(place).expanduser().open("a", encoding="utf-8").close()
    except OSError as error:
        raise ConfigError(f"serve.access_log = {place!r} cannot be written: {error.strerror}") from None
