"""Requests that bring pictures wait for one another without a thread, and words never wait behind them."""

import threading
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
from tests.serving import running
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
        parser.received(self.text)
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
    assert all(one.done.wait(30) for one in words)
    assert all(one.begun.wait(30) for one in pictures[:2])
    assert len(lanes.waiting) == 4 and not any(one.begun.is_set() for one in pictures[2:])
    gate.set()
    assert all(one.done.wait(30) for one in pictures) and not any(one.late for one in (*pictures, *words))


def test_who_waited_too_long_is_told_so() -> None:
    lanes, gate = Lanes(1, patience=-1.0), threading.Event()
    lanes.set_thread_count(1)
    gate.set()
    lanes.add_task(one := Connection(FILES, gate))
    lanes.add_task(other := Connection(WORDS, gate))
    assert one.done.wait(30) and other.done.wait(30)
    assert one.late and not other.late
    lanes.shutdown()


def test_who_waits_when_the_server_ends_is_cancelled() -> None:
    lanes, gate = Lanes(1), threading.Event()
    for one in (ones := [Connection(FILES, gate) for _ in range(3)]):
        lanes.add_task(one)
    lanes.shutdown()
    assert all(one.cancelled for one in ones) and not lanes.waiting


@pytest.mark.parametrize(
    ("text", "much"),
    [(FILES, True), (WORDS, False),
     (b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", False),
     (b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000, True)],
)  # fmt: skip
def test_what_brings_much(text: bytes, much: bool) -> None:
    assert brings_much(Connection(text, threading.Event())) is much


def test_many_quick_pictures_at_once_are_all_answered(library: Config) -> None:
    """Sixteen at once at a server of four threads, of which two read pictures."""
    picture = encoded(Image.new("RGB", (64, 48), "teal"), "PNG")
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    together = threading.Barrier(16)
    with running(replace(library, serve=replace(library.serve, threads=4)), threads=4) as (host, port):

        def send(_: int) -> int:
            with closing(HTTPConnection(host, port, timeout=120)) as connection:
                together.wait(60)
                kind = {"Content-Type": "multipart/form-data; boundary=x"}
                connection.request("POST", "/api/v1/search", head + picture + b"\r\n--x--\r\n", kind)
                return connection.getresponse().status

        with ThreadPoolExecutor(16) as clients:
            assert list(clients.map(send, range(16))) == [200] * 16
