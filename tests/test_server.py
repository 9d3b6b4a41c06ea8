"""The server process: it says where it listens, answers, stops on SIGTERM, and stays on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPConnection

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from engine.catalog import Catalog, EncoderRow
from engine.config import Config
from engine.errors import ConfigError
from engine.types import Modality, Where
from indexer.build import build
from indexer.jobs import writing
from tests.conftest import silent
from tests.serving import running
from webui import create_app, serve
from webui.hosts import address_elsewhere, is_loopback
from webui.server import listen, run

PROGRAM = """
import atexit
import sys
from dataclasses import replace
from engine.config import load_config
from rebus import run_server
config = load_config(sys.argv[1])
atexit.register(print, "an end that aborts threads in native code")
run_server(replace(config, serve=replace(config.serve, port=0)))
"""


def test_it_serves_and_stops_gracefully(library: Config) -> None:
    command = [sys.executable, "-c", PROGRAM, str(library.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[3]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}healthz", timeout=120) as response:
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=200) == 0 and process.stdout.read() == ""


def _connected(clients: ExitStack, place: tuple[str, int]) -> socket.socket:
    return clients.enter_context(socket.create_connection(place, timeout=60))


def test_slow_clients_hold_no_thread(library: Config) -> None:
    """More of them than there are threads: some send half a head, some half a body, some nothing."""
    with running(library) as place, ExitStack() as clients:
        head = b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        for number in range(60):
            parts = (b"", head, head + b"Content-Length: 1000\r\n\r\n{", head + b"Transfer-Encoding: chunked\r\n\r\n5")
            _connected(clients, place).sendall(parts[number % len(parts)])
        for _ in range(5):
            with urllib.request.urlopen(f"http://localhost:{place[1]}/healthz", timeout=60) as response:
                assert response.status == 200


def test_the_server_does_not_say_what_it_is(library: Config) -> None:
    with running(library) as place, ExitStack() as clients:
        for asked in (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"nonsense\r\n\r\n",
                      b"GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n"):  # fmt: skip
            client = _connected(clients, place)
            client.sendall(asked)
            answer = client.recv(10_000).lower()
            assert answer.startswith(b"http/1.") and b"traceback" not in answer
            assert not any(name in answer for name in (b"waitress", b"werkzeug", b"flask", b"python"))


def test_what_was_asked_is_answered_before_it_stops(library: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.server._GRACE_S", 60.0)
    monkeypatch.setattr("webui.server._LAST_S", 60.0)
    app = create_app(library)
    began, go_on = threading.Event(), threading.Event()

    def slow() -> bytes:
        began.set()
        assert go_on.wait(60)
        return b"x" * 5_000_000

    app.add_url_rule("/slow", "slow", slow)
    server, address = listen(replace(library.serve, port=0, threads=1), app)

    stopping = threading.Event()
    with ThreadPoolExecutor(3) as clients:
        ended = clients.submit(run, server, stopping)
        first = clients.submit(lambda: urllib.request.urlopen(f"{address}slow", timeout=60).read())
        assert began.wait(60)
        second = clients.submit(lambda: urllib.request.urlopen(f"{address}healthz", timeout=60).read())
        while not server.task_dispatcher.queue:  # it waits for the one thread
            threading.Event().wait(0.001)
        stopping.set()
        server.pull_trigger()
        go_on.set()
        assert len(first.result(60)) == 5_000_000 and b"ok" in second.result(60)
        assert ended.result(60) is True
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{address}healthz", timeout=5)
    server.close()
    app.extensions["rebus"].catalog.engine.dispose()


def test_who_stops_it_hears_of_answers_that_take_too_long(library: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.server._GRACE_S", 0.05)
    monkeypatch.setattr("webui.server._LAST_S", 0.05)
    began, go_on, stopping = threading.Event(), threading.Event(), threading.Event()
    app = Flask(__name__)

    def slow() -> str:
        began.set()
        return str(go_on.wait(60))

    app.add_url_rule("/slow", "slow", slow)
    server, address = listen(replace(library.serve, port=0, threads=1), app)
    with ThreadPoolExecutor(2) as threads:
        ended = threads.submit(run, server, stopping)
        asked = threads.submit(lambda: urllib.request.urlopen(f"{address}slow", timeout=60))
        assert began.wait(60)
        stopping.set()
        server.pull_trigger()
        assert ended.result(60) is False and asked.exception(60) is not None
        go_on.set()


def test_it_answers_while_the_encoder_is_loaded(library: Config) -> None:
    app = create_app(library)
    client, services = app.test_client(), app.extensions["rebus"]
    with services.searcher._encoder_lock:  # its weights are still being read
        warming = services.warm()
        assert client.get("/healthz").status_code == 200 and client.get("/").status_code == 200
        answer = client.get("/readyz")
        assert answer.status_code == 503 and "being loaded" in answer.get_json()["detail"]
    warming.join(60)
    assert client.get("/readyz").status_code == 200
    services.catalog.engine.dispose()


def test_an_empty_library_warms_to_nothing(empty: FlaskClient) -> None:
    services = empty.application.extensions["rebus"]
    services.warm().join(60)
    assert not services.warming and "no index" in empty.get("/readyz").get_json()["detail"]


def test_versions_are_swapped_under_load_without_an_error(changed: Config) -> None:
    catalog = Catalog(changed)
    with catalog.session() as session:
        encoder = session.scalars(sa.select(EncoderRow)).one()
    with running(changed, threads=4) as (host, port), ThreadPoolExecutor(4) as clients:
        over, begun = threading.Event(), threading.Barrier(5)

        def ask(number: int) -> list[int]:
            versions = list[int]()
            with closing(HTTPConnection(host, port, timeout=60)) as connection:
                last = False
                while not last:  # which is asked after the last version is served
                    last = over.is_set()
                    body = json.dumps({"text": f"boat {number}", "limit": 5})
                    connection.request("POST", "/api/v1/search", body, {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    read = json.loads(answer.read())
                    assert answer.status == 200 and len(read["hits"]) == 5, read
                    versions.append(read["index_version"])
                    if len(versions) == 1:
                        begun.wait(60)
            return versions

        asking = [clients.submit(ask, number) for number in range(4)]
        begun.wait(60)
        for _ in range(3):
            with writing(catalog, "index", silent) as job:
                row = build(catalog, changed, encoder, job)
            assert row is not None
            with closing(HTTPConnection(host, port, timeout=60)) as connection:
                while True:  # until it is served
                    connection.request("GET", "/readyz")
                    if json.loads(connection.getresponse().read()).get("index_version") == row.id:
                        break
        over.set()
        for each in asking:
            versions = each.result(60)
            assert versions == sorted(versions) and len(set(versions)) >= 2
    catalog.engine.dispose()


def test_slow_readers_of_large_files_hold_no_thread(changed: Config) -> None:
    catalog = Catalog(changed)
    view = catalog.item(catalog.ids_matching(Where(), Modality.IMAGE)[0])
    os.truncate(view.file, 10 * 2**30)  # sparse: it takes no disk
    catalog.engine.dispose()
    with running(changed) as place, ExitStack() as clients:
        for part in ("", "Range: bytes=0-\r\n", "Range: bytes=5000000000-\r\n", "Range: bytes=0-8000000000\r\n"):
            slow = clients.enter_context(socket.create_connection(place, timeout=60))
            slow.sendall(f"GET /media/{view.item.id} HTTP/1.1\r\nHost: localhost\r\n{part}\r\n".encode())
            assert slow.recv(12) == (b"HTTP/1.1 206" if part else b"HTTP/1.1 200")
        with urllib.request.urlopen(f"http://localhost:{place[1]}/healthz", timeout=60) as response:
            assert response.status == 200


def test_a_part_of_a_file_is_just_that_part(changed: Config) -> None:
    catalog = Catalog(changed)
    view = catalog.item(catalog.ids_matching(Where(), Modality.IMAGE)[0])
    catalog.engine.dispose()
    data = view.file.read_bytes()
    with running(changed) as (host, port), closing(HTTPConnection(host, port, timeout=60)) as connection:
        # All on one connection: a byte too many would show.
        for asked, status, expected in (
            ("bytes=0-9", 206, data[:10]), ("bytes=100-", 206, data[100:]), ("bytes=-7", 206, data[-7:]),
            ("bytes=99999999-", 416, None), ("bytes=2-5", 206, data[2:6]), ("", 200, data),
            ("bytes=0-1,5-9", 200, data), ("items=0-5", 200, data), ("bytes=5-2", 200, data), ("nonsense", 200, data),
        ):  # fmt: skip
            connection.request("GET", f"/media/{view.item.id}", headers={"Range": asked} if asked else {})
            response = connection.getresponse()
            body = response.read()
            assert response.status == status and (expected is None or body == expected), asked
            assert status != 416 or response.headers["Content-Range"] == f"bytes */{len(data)}"


@pytest.mark.parametrize("spare", [2**20 // 2, 40 * 2**20])
def test_a_body_over_the_limit_is_answered(library: Config, spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.channel._LINGER_S", 120.0)  # a busy machine may take long to send it
    small = replace(library, serve=replace(library.serve, max_upload_bytes=3 * 2**20))
    length = 5 * 2**20 + spare
    with running(small) as place, socket.create_connection(place, timeout=120) as client:
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


def test_who_binds_all_interfaces_is_told_how_others_reach_it() -> None:
    assert address_elsewhere("0.0.0.0", {"0.0.0.0": "127.0.0.1"}) == "127.0.0.1"
    assert address_elsewhere("0.0.0.0", {"0.0.0.0": "no address"}) is None
    assert address_elsewhere("127.0.0.1") is None and address_elsewhere("192.168.1.2") is None
