"""Fetching by an address: what is public, what a redirect or a name may lead to, and how much and how long."""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from engine.errors import InvalidInput, TooLarge
from webui.fetching import Address, Fetcher, is_public

PUBLIC, INTERNAL = "127.0.0.1", "127.9.9.9"  # both this machine: the tests say which of them counts as public


class Pages(BaseHTTPRequestHandler):
    """A server of pictures, redirects and endless answers."""

    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers['Host']}{self.path}")
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with _until_gone():
                while True:
                    self.wfile.write(b"x" * 10_000)
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            with _until_gone():
                while not self.server.ended.wait(0.05):  # type: ignore[attr-defined]
                    self.wfile.write(b"x")
                    self.wfile.flush()
        elif self.path == "/picture":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the picture")
        else:
            self.send_error(404)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _until_gone() -> Iterator[None]:
    try:
        yield
    except OSError:  # who asked has had enough
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer((PUBLIC, 0), Pages) as server:
        server.ended = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.ended.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@pytest.fixture
def port(server: ThreadingHTTPServer) -> int:
    Pages.asked.clear()
    return server.server_port


NAMES = {"public.example": [PUBLIC], "inside.example": [INTERNAL], "both.example": [PUBLIC, INTERNAL],
         "other.example": [PUBLIC]}  # fmt: skip


def _resolve(host: str, port: int) -> list[str]:
    if host not in NAMES:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    return NAMES[host]


def _allowed(address: Address) -> bool:
    return str(address) == PUBLIC


def _fetcher(port: int, **settings: Any) -> Fetcher:
    return Fetcher(50_000, allowed=_allowed, resolver=_resolve, ports=(port,), **settings)


def test_a_picture_is_fetched_also_by_redirects(port: int) -> None:
    base = f"http://public.example:{port}"
    assert _fetcher(port).fetch(f"{base}/picture") == b"the picture"
    assert _fetcher(port).fetch(f"{base}/to//picture") == b"the picture"
    assert _fetcher(port).fetch(f"{base}/to/{base}/to//picture") == b"the picture"


NEVER = [
    "http://inside.example:{port}/picture",
    "http://both.example:{port}/picture",
    "http://127.9.9.9:{port}/picture",
    "http://[::ffff:127.9.9.9]:{port}/picture",
    "file:///etc/passwd",
    "//inside.example:{port}/picture",
    "gopher://public.example/",
    "http://public.example:1/picture",
    "http://user:pass@public.example:{port}/picture",
    "http://nowhere.invalid:{port}/",
    "",
    "http://[",
    "http:///picture",
    "http://public.example:{port}/a b",
    "http://public.example:{port}/\r\nX: y",
]


@pytest.mark.parametrize("target", NEVER)
def test_what_is_not_public_is_never_asked(port: int, target: str) -> None:
    wanted = target.replace("{port}", str(port))
    with pytest.raises(InvalidInput, match="image_url"):
        _fetcher(port).fetch(wanted)
    assert Pages.asked == []


@pytest.mark.parametrize("target", ["http://inside.example:{port}/picture", "http://127.9.9.9:{port}/picture",
                                    "file:///etc/passwd", "//inside.example:{port}/picture",
                                    "http://public.example:1/picture"])  # fmt: skip
def test_a_redirect_leads_nowhere_else(port: int, target: str) -> None:
    wanted = target.replace("{port}", str(port))
    with pytest.raises(InvalidInput, match="image_url"):
        _fetcher(port).fetch(f"http://public.example:{port}/to/{wanted}")
    assert len(Pages.asked) == 1


def test_a_name_that_changes_its_mind_is_asked_once(port: int) -> None:
    answers = iter([[PUBLIC], [INTERNAL], [INTERNAL]])

    def rebinding(host: str, port: int) -> list[str]:
        return next(answers)

    fetcher = Fetcher(50_000, allowed=_allowed, resolver=rebinding, ports=(port,))
    assert fetcher.fetch(f"http://changing.example:{port}/picture") == b"the picture"
    with pytest.raises(InvalidInput, match="not public"):
        fetcher.fetch(f"http://changing.example:{port}/picture")
    assert len(Pages.asked) == 1


def test_only_the_hosts_that_are_named(port: int) -> None:
    fetcher = _fetcher(port, hosts=("Public.example",))
    assert fetcher.fetch(f"http://public.example:{port}/picture") == b"the picture"
    with pytest.raises(InvalidInput, match="image_url_hosts"):
        fetcher.fetch(f"http://other.example:{port}/picture")


def test_bytes_seconds_and_redirects_are_bounded(port: int) -> None:
    base = f"http://public.example:{port}"
    with pytest.raises(TooLarge, match="50,000"):
        _fetcher(port).fetch(f"{base}/endless")
    with pytest.raises(InvalidInput, match="in time"):
        _fetcher(port, seconds=0.4).fetch(f"{base}/slow")
    with pytest.raises(InvalidInput, match="redirects"):
        _fetcher(port).fetch(f"{base}/to/{base}/to/{base}/to/{base}/to/{base}/to//picture")
    with pytest.raises(InvalidInput, match="404"):
        _fetcher(port).fetch(f"{base}/nothing")


def test_a_connection_made_when_time_was_up_already_is_closed(port: int) -> None:
    """As after a name that took long to resolve: nothing would end it any more."""

    def slowly(host: str, port: int) -> list[str]:
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):  # whose end is that of the time
                thread.join(60)
        return [PUBLIC]

    fetcher = Fetcher(50_000, allowed=_allowed, resolver=slowly, ports=(port,), seconds=0.01)
    with pytest.raises(InvalidInput, match="in time"):
        fetcher.fetch(f"http://public.example:{port}/slow")
    assert Pages.asked == []


@pytest.mark.parametrize(
    ("text", "public"),
    [("8.8.8.8", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False),
     ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("::1", False),
     ("::", False), ("fe80::1", False), ("fc00::1", False), ("::ffff:127.0.0.1", False), ("::ffff:8.8.8.8", True),
     ("::ffff:169.254.169.254", False), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", False),
     ("2002:7f00:1::", False), ("2001:0:7f00:1::", False), ("224.0.0.1", False), ("255.255.255.255", False),
     ("240.0.0.1", False), ("ff02::1", False), ("::127.0.0.1", False), ("198.18.0.1", False)],
)  # fmt: skip
def test_what_is_public(text: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(text)) is public
