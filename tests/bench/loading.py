"""A server of its own process, and locust against it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from engine.config import Config

_LOAD = Path(__file__).with_name("load.py")
_READY_S = 120
LIMIT = 24  # hits of a page


@contextmanager
def served(config: Config) -> Iterator[str]:
    """The address of `rebus serve` over a library, once it is ready."""
    command = [sys.executable, "-m", "rebus", "--home", str(config.home), "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            address = next(word for word in said.split() if word.startswith("http://")).rstrip("/")
            retries = Retry(_READY_S, backoff_factor=0.1, backoff_max=1, status_forcelist=[503])
            with requests.Session() as session:
                session.mount("http://", HTTPAdapter(max_retries=retries))
                session.get(f"{address}/readyz", timeout=_READY_S).raise_for_status()
            yield address
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0, "the server did not stop gracefully"


def load(address: str, clients: int, seconds: float, kind: str) -> dict[str, Any]:
    """What `clients` measured together: requests, errors, qps and percentiles of milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "locust", "--locustfile", str(_LOAD), "--host", address, "--headless",
                   "--users", str(clients), "--spawn-rate", str(clients), "--run-time", f"{seconds:g}s",
                   "--stop-timeout", "30", "--only-summary", "--loglevel", "ERROR"]  # fmt: skip
        environment = {**os.environ, "LOAD_KIND": kind, "LOAD_OUT": str(out), "LOAD_LIMIT": str(LIMIT)}
        subprocess.run(command, env=environment, check=False, capture_output=True)
        figures: dict[str, Any] = json.loads(out.read_text())
        return figures
