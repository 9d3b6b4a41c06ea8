"""The server process: it says where it listens, answers, stops on SIGTERM, and stays on this machine."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPConnection

import pytest

from engine.catalog import Catalog
from engine.config import Config
from engine.errors import ConfigError
from engine.types import Modality, Where
from tests.serving import running
from webui import serve
from webui.hosts import is_loopback

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


def test_slow_readers_of_large_files_hold_no_thread(changed: Config) -> None:
    catalog = Catalog(changed)
    view = catalog.item(catalog.ids_matching(Where(), Modality.IMAGE)[0])
    os.truncate(view.file, 10 * 2**30)  # sparse: it takes no disk
    catalog.engine.dispose()
    with running(changed) as place, ExitStack() as clients:
        for part in ("", "Range: bytes=0-\r\n", "Range: bytes=5000000000-\r\n", "Range: bytes=0-8000000000\r\n"):
            slow = clients.enter_context(socket.create_connection(place, timeout=20))
            slow.sendall(f"GET /media/{view.item.id} HTTP/1.1\r\nHost: localhost\r\n{part}\r\n".encode())
            assert slow.recv(12) == (b"HTTP/1.1 206" if part else b"HTTP/1.1 200")
        with urllib.request.urlopen(f"http://localhost:{place[1]}/healthz", timeout=20) as response:
            assert response.status == 200


def test_a_part_of_a_file_is_just_that_part(changed: Config) -> None:
    catalog = Catalog(changed)
    view = catalog.item(catalog.ids_matching(Where(), Modality.IMAGE)[0])
    catalog.engine.dispose()
    data = view.file.read_bytes()
    with running(changed) as (host, port), closing(HTTPConnection(host, port, timeout=20)) as connection:
        # All on one connection: a byte too many would show.
        for asked, status, expected in (
            ("bytes=0-9", 206, data[:10]), ("bytes=100-", 206, data[100:]), ("bytes=-7", 206, data[-7:]),
            ("bytes=99999999-", 416, None), ("bytes=2-5", 206, data[2:6]), ("", 200, data),
        ):  # fmt: skip
            connection.request("GET", f"/media/{view.item.id}", headers={"Range": asked} if asked else {})
            response = connection.getresponse()
            body = response.read()
            assert response.status == status and (expected is None or body == expected), asked


@pytest.mark.parametrize("spare", [2**20 // 2, 40 * 2**20])
def test_a_body_over_the_limit_is_answered(library: Config, spare: int) -> None:
    small = replace(library, serve=replace(library.serve, max_upload_bytes=3 * 2**20))
    length = 5 * 2**20 + spare
    with running(small) as place, socket.create_connection(place, timeout=20) as client:
        head = f"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
        client.sendall(bytes(length))
        assert client.recv(12) == b"HTTP/1.1 413"


def test_a_port_in_use_is_refused(library: Config) -> None:
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
