"""Connections: what is no request of HTTP is refused as a problem, and the loop lets threads send."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPResponse

import pytest
from flask import Flask

from engine.config import Config, ServeSettings
from tests.serving import running
from webui.channel import LingeringChannel
from webui.headers import SECURITY
from webui.problems import PROBLEM
from webui.server import listen

POST = b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED, BODY = b"Transfer-Encoding: chunked\r\n", b'd\r\n{"text":"a"}\n\r\n0\r\n\r\n'


@pytest.fixture(scope="module")
def place(library: Config) -> Iterator[tuple[str, int]]:
    with running(library) as place:
        yield place


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"nonsense\r\n\r\n", 400, "refused"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n", 400, "header"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 300_000, 431, "max_header"),
        (POST + b"Content-Length: -1\r\n\r\n", 400, "Content-Length"),
        (POST + b"Content-Length: 999999999\r\n\r\n", 413, "max_body"),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "Transfer-Encoding"),
        (POST + CHUNKED + b"\r\nnonsense\r\n", 400, "chunk"),
        (POST + CHUNKED + b"Content-Length: 24\r\n\r\n" + BODY, 400, "send one of them"),
        (POST + b"content-length: 0\r\nTRANSFER-ENCODING: Chunked\r\n\r\n" + BODY, 400, "send one of them"),
        (POST.replace(b"1.1", b"1.0") + CHUNKED + b"Content-Length: 24\r\n\r\n" + BODY, 400, "send one of them"),
        (POST.replace(b"1.1", b"1.0") + CHUNKED + b"Connection: keep-alive\r\n\r\n" + BODY, 400, "HTTP/1.1 alone"),
        (POST + b"Transfer-Encoding:\r\n\r\n" + BODY, 400, "as chunked"),
        (POST + CHUNKED + b"\r\n" + b"1" * 100_000, 400, "too long"),
        (POST + CHUNKED + b"\r\n0\r\nA: " + b"x" * 100_000, 400, "too long"),
        (POST + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", 400, "cannot be read"),
        (b"GET http://[::1/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "cannot be read"),
    ],
)
def test_what_is_no_request_is_refused_as_a_problem(
    place: tuple[str, int], sent: bytes, status: int, said: str
) -> None:
    with socket.create_connection(place, timeout=60) as client, closing(HTTPResponse(client)) as answer:
        client.sendall(sent)
        answer.begin()
        problem = json.loads(answer.read())
        assert answer.headers["Content-Type"] == PROBLEM and answer.headers["Connection"] == "close"
        assert answer.status == problem["status"] == status and said in problem["detail"], problem
        assert set(problem) == {"type", "title", "status", "detail"} and problem["title"]


def test_a_refusal_has_the_headers_of_every_answer_and_no_body_for_head(place: tuple[str, int]) -> None:
    heard = []
    for method in (b"GET", b"HEAD", b"\r\nHEAD"):
        with socket.create_connection(place, timeout=20) as client, client.makefile("rb") as answer:
            for part in (method[:2], method[2:] + b" / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n"):
                client.sendall(part)
            head, _, body = answer.read().partition(b"\r\n\r\n")
        heard.append((head.split(b"\r\nDate: ")[0], len(body)))
        said = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert SECURITY.items() <= said.items() and int(said["Content-Length"]) > 0
    assert len({head for head, _ in heard}) == 1 and [length > 0 for _, length in heard] == [True, False, False]


def test_a_body_in_chunks_is_read(place: tuple[str, int]) -> None:
    with socket.create_connection(place, timeout=60) as client, closing(HTTPResponse(client)) as answer:
        client.sendall(POST + CHUNKED + b"\r\n" + BODY)
        answer.begin()
        assert answer.status == 200 and json.loads(answer.read())["hits"]


class _Heard(LingeringChannel):
    """A connection that tells whether its loop would have been asked to send while it sent."""

    def send(self, data: bytes, do_close: bool = True) -> int:
        asked.append(self.writable())
        return int(super().send(data, do_close))


asked: list[bool] = []


def test_the_loop_is_asked_to_send_only_what_a_thread_cannot() -> None:
    app = Flask(__name__)
    server, _ = listen(replace(ServeSettings(), port=0, threads=1), app)
    ours, theirs = socket.socketpair()
    with theirs:
        channel = _Heard(server, ours, ("", 0), server.adj, map={})
        channel.write_soon(b"x" * 100)
        assert theirs.recv(200) == b"x" * 100 and not channel.writable()
        channel.write_soon(b"y" * 10_000_000)  # more than the socket takes
        assert channel.writable() and asked and not any(asked)
        channel.handle_close()
    server.task_dispatcher.shutdown()
    server.asyncore.close_all(server._map)
