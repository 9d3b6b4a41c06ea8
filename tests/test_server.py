"""The server process: it says where it listens, answers, stops on SIGTERM, and stays on this machine."""

import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace

import pytest

from engine.config import Config
from engine.errors import ConfigError
from webui import serve
from webui.server import is_loopback

PROGRAM = """
import sys
from dataclasses import replace
from engine.config import load_config
from webui import serve
config = load_config(sys.argv[1])
serve(replace(config, serve=replace(config.serve, port=0)), announce=lambda url: print(url, flush=True))
"""


def test_it_serves_and_stops_gracefully(library: Config) -> None:
    command = [sys.executable, "-c", PROGRAM, str(library.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}healthz", timeout=20) as response:
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_hosts_beyond_this_machine_are_refused(library: Config, host: str) -> None:
    with pytest.raises(ConfigError, match="no login"):
        serve(replace(library, serve=replace(library.serve, host=host)), announce=pytest.fail)


def test_a_port_in_use_is_refused(library: Config) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = replace(library.serve, port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="cannot be used"):
            serve(replace(library, serve=settings), announce=pytest.fail)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("[::1]", True), ("LocalHost", True), ("localhost.example.org", False),
     ("0.0.0.0", False), ("", False)],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
