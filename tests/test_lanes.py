"""Requests that bring pictures wait for one another without a thread, and words never wait behind them."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection

import pytest
from PIL import Image
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

from engine.config import Config
from tests.media_files import encoded
from tests.serving import answering, running
from webui import create_app
from webui.lanes import Lanes, brings_much, waited_too_long

FILES = b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 3\r\n\r\nabc"
WORDS = b"GET /?q=boat HTTP/1.1\r\n\r\n"


@dataclass
class Connection:
    """One with a request that is read, which is answered once it may be."""

    text: bytes
    may: threading.Event
    begun: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    late: bool | None = None
    cancelled: bool = False

    def __post_init__(self) -> None:
        parser = HTTPRequestParser(Adjustments())
        parser.received(self.text[parser.received(self.text) :])  # its head, and then its body
        self.requests = [parser]

    def service(self) -> None:
        self.begun.set()
        self.may.wait(60)
        self.late = waited_too_long.get()
        self.done.set()

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    lanes = Lanes(2)
    lanes.set_thread_count(4)
    yield lanes
    lanes.shutdown()


def test_words_pass_pictures_that_wait_for_each_other(lanes: Lanes) -> None:
    gate, none = threading.Event(), threading.Event()
    none.set()
    pictures, words = [Connection(FILES, gate) for _ in range(6)], [Connection(WORDS, none) for _ in range(9)]
    for one in (*pictures, *words):
        lanes.add_task(one)
    assert all(one.done.wait(60) for one in words)
    assert all(one.begun.wait(60) for one in pictures[:2])
    assert len(lanes.waiting) == 4 and not any(one.begun.is_set() for one in pictures[2:])
    gate.set()
    assert all(one.done.wait(60) for one in pictures) and not any(one.late for one in (*pictures, *words))


def test_who_waited_too_long_is_told_so() -> None:
    lanes, gate = Lanes(1, patience=-1.0), threading.Event()
    lanes.set_thread_count(1)
    gate.set()
    lanes.add_task(one := Connection(FILES, gate))
    lanes.add_task(other := Connection(WORDS, gate))
    assert one.done.wait(60) and other.done.wait(60)
    assert one.late and not other.late
    lanes.shutdown()


def test_who_waits_when_the_server_ends_is_cancelled() -> None:
    lanes, gate = Lanes(1), threading.Event()
    for one in (ones := [Connection(FILES, gate) for _ in range(3)]):
        lanes.add_task(one)
    lanes.shutdown()
    assert all(one.cancelled for one in ones) and not lanes.waiting


def posted(body: str, path: str = "/api/v1/search", kind: str = "application/json") -> bytes:
    return f"POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("text", "much"),
    [(FILES, True), (WORDS, False), (posted("{}"), False), (posted("x" * 20_000), True),
     (posted('{"terms": [{"item": 1, "region": [0, 0, 1, 1]}]}'), True),
     (posted('{"terms": [{"item": 1, "\\u0072egion": [0, 0, 1, 1]}]}'), True),
     (posted('{"text": "a boat", "image": null, "image_url":  null, "modality": "image"}', "/knn-service"), False),
     (posted('{"image_url" : "https://example.org/a.png"}', "/knn-service"), True),
     (posted('{"text": "a boat"}', "/api/v1/search/stream"), True),
     (posted('{"searches": []}', "/api/v1/search/batch"), True), (posted('{"inputs": []}', "/api/v1/encode"), True),
     (b"GET /?like=2%4010,20,50,40 HTTP/1.1\r\n\r\n", True), (b"GET /?q=me@example.org HTTP/1.1\r\n\r\n", False),
     (posted("q=like%3A2%4010,20,50,40", "/", "application/x-www-form-urlencoded"), True)],
)  # fmt: skip
def test_what_brings_much(text: bytes, much: bool) -> None:
    assert brings_much(Connection(text, threading.Event())) is much


def test_many_quick_pictures_at_once_are_all_answered(library: Config) -> None:
    """Sixteen at once at a server of four threads, of which two read pictures."""
    picture = encoded(Image.new("RGB", (64, 48), "teal"), "PNG")
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    together = threading.Barrier(16)
    with running(replace(library, serve=replace(library.serve, threads=4)), threads=4) as (host, port):

        def send(number: int) -> int:
            with closing(HTTPConnection(host, port, timeout=120)) as connection:
                if number:
                    together.wait(60)
                kind = {"Content-Type": "multipart/form-data; boundary=x"}
                connection.request("POST", "/api/v1/search", head + picture + b"\r\n--x--\r\n", kind)
                return connection.getresponse().status

        assert send(0) == 200  # the encoder is loaded, which takes as long as it takes
        with ThreadPoolExecutor(16) as clients:
            assert list(clients.map(send, range(1, 17))) == [200] * 16


def test_words_are_answered_while_batches_of_parts_of_pictures_are_under_way(library: Config) -> None:
    """Eight batches at four threads; no picture is encoded until the words are answered."""
    terms = [{"item": 1, "region": [0.1 * n, 0, 0.5, 0.5]} for n in range(1, 6)]
    body = json.dumps({"searches": [{"terms": terms}] * 16})
    app = create_app(library)
    services = app.extensions["rebus"]
    services.warm().join()
    encoder = services.searcher.encoder(services.searcher.version)
    with answering(app, replace(library.serve, threads=4)) as server, ThreadPoolExecutor(8) as clients:

        def ask(method: str, path: str, sent: str | None = None) -> int:
            with closing(HTTPConnection("127.0.0.1", server.effective_port, timeout=120)) as connection:
                connection.request(method, path, sent, {"Content-Type": "application/json"})
                return connection.getresponse().status

        with encoder._pixels._turn:
            under_way = [clients.submit(ask, "POST", "/api/v1/search/batch", body) for _ in range(8)]
            until = time.monotonic() + 60
            while len(server.task_dispatcher.waiting) < 6:  # two are with a thread
                assert time.monotonic() < until
            assert ask("GET", "/api/v1/search?q=boat") == 200
            assert not any(one.done() for one in under_way)
        assert {one.result(60) for one in under_way} == {200}
