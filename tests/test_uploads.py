"""Pictures as queries are decoded where they can be stopped: slow ones end alone, and no pixel is lost by the way."""

import gc
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from functools import cache
from http.client import HTTPConnection

import numpy as np
import pytest
from PIL import Image

from engine.catalog import Catalog
from engine.config import Config, MediaSettings
from engine.decoding.uploads import UploadDecoder
from engine.errors import Busy, InvalidInput, TooLarge
from engine.media.pictures import decode_upload
from engine.search import Searcher
from tests.late import time_is_up, wait_until_asked
from tests.media_files import encoded
from tests.serving import answering
from webui import create_app

LIMITS = MediaSettings(max_bytes=6 * 10**6, max_pixels=50_000_000, max_seconds=20)


def mixed(size: tuple[int, int]) -> Image.Image:
    """A picture of all shades."""
    across, down = np.meshgrid(np.arange(size[0]) % 256, np.arange(size[1]) % 256)
    return Image.fromarray(np.stack([across, down, (across + down) % 256], axis=2).astype(np.uint8))


FINE = encoded(mixed((64, 48)), "PNG")


@cache
def slow(scans: int = 2000) -> bytes:
    """A JPEG of few bytes and of pixels within the limit that takes minutes: each scan goes over the whole picture."""
    out = io.BytesIO()
    Image.new("L", (4000, 4000), 90).save(out, "JPEG", progressive=True, quality=50)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


@pytest.fixture(scope="module")
def decoder() -> Iterator[UploadDecoder]:
    yield UploadDecoder(LIMITS)


def running(decoder: UploadDecoder) -> list[int]:
    """The processes that run."""
    started = [one._process for one in decoder._processes if one._process is not None]
    return [process.pid for process in started if process.poll() is None]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"])
@pytest.mark.parametrize("size", [(300, 200), (1500, 1100)])
def test_pixels_are_those_of_a_decode_in_process(decoder: UploadDecoder, kind: str, size: tuple[int, int]) -> None:
    data = encoded(mixed(size), kind)
    there, here = decoder.decode(data, 224), decode_upload(data, 10**7, 10**8, 224)
    factor = min(here.size) // 448
    assert np.array_equal(np.asarray(there), np.asarray(here.reduce(factor) if factor > 1 else here))


def test_what_cannot_be_used_says_why(decoder: UploadDecoder) -> None:
    for data, kind, said in (
        (b"no picture", InvalidInput, "not a picture"),
        (FINE[:-60], InvalidInput, "cannot be used"),
        (bytes(6 * 10**6 + 1), TooLarge, "6,000,001 bytes"),
        (encoded(Image.new("1", (8000, 8000)), "PNG"), TooLarge, "over the limit"),
    ):
        with pytest.raises(kind, match=said):
            decoder.decode(data, 224)


def test_one_process_serves_one_after_the_other(decoder: UploadDecoder) -> None:
    decoder.start()
    before = running(decoder)
    for _ in range(5):
        decoder.decode(FINE, 224)
    assert running(decoder) == before and len(before) == 1


def test_a_slow_picture_ends_alone_and_others_are_read_beside_it() -> None:
    decoder = UploadDecoder(replace(LIMITS, max_seconds=600))
    with ThreadPoolExecutor(1) as threads:
        bomb = threads.submit(decoder.decode, slow(), 224)
        process = wait_until_asked(*decoder._processes)
        assert decoder.decode(FINE, 224).size == (64, 48)
        assert not bomb.done(), "it was not waited for"
        time_is_up([process])
        with pytest.raises(TooLarge, match="longer than 600 seconds"):
            bomb.result(60)
    for _ in range(2):
        assert decoder.decode(FINE, 224).size == (64, 48)


def test_who_waits_too_long_is_told_to_ask_again() -> None:
    decoder = UploadDecoder(LIMITS, most=1)
    decoder.start()
    process = decoder._idle.get()
    with pytest.raises(Busy, match="ask again"):
        decoder.decode(FINE, 224)
    decoder._idle.put(process)
    assert decoder.decode(FINE, 224).size == (64, 48)


def test_who_waits_for_a_process_that_is_being_started_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.decoding.uploads._PATIENCE_S", 0.01)
    decoder = UploadDecoder(LIMITS, most=1)
    process = decoder._idle.get()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(decoder._free)
        assert wait([waiting], timeout=0.1).not_done
        decoder._idle.put(process)
        assert waiting.result(60) is process


def test_a_slow_picture_ends_also_where_threads_wait_for_their_turn() -> None:
    decoder = UploadDecoder(replace(LIMITS, max_seconds=0.05))
    decoder.start()
    data, over, interval = slow(300), threading.Event(), sys.getswitchinterval()

    def spin() -> None:
        while not over.is_set():
            pass

    spinning = threading.Thread(target=spin)
    sys.setswitchinterval(0.2)  # longer than the limit: whoever lets go gets his turn again after the deadline
    spinning.start()
    try:
        for _ in range(2):
            with pytest.raises(TooLarge, match="longer than"):
                decoder.decode(data, 224)
    finally:
        sys.setswitchinterval(interval)
        over.set()
        spinning.join()


def test_a_process_that_dies_is_followed_by_another(decoder: UploadDecoder) -> None:
    decoder.start()
    (pid,) = running(decoder)
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 60
    while running(decoder):
        assert time.monotonic() < until
    assert decoder.decode(FINE, 224).size == (64, 48)


def test_many_threads_share_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.decoding.uploads._PATIENCE_S", 60.0)  # of a busy machine
    decoder = UploadDecoder(LIMITS)
    pictures = [encoded(mixed((100 + n, 80)), "PNG") for n in range(4)]
    with ThreadPoolExecutor(4) as threads:
        sizes = [one.size for one in threads.map(lambda data: decoder.decode(data, 224), pictures)]
    assert sizes == [(100 + number, 80) for number in range(4)] and 1 <= len(running(decoder)) <= 2


def test_no_process_outlives_its_decoder() -> None:
    decoder = UploadDecoder(LIMITS)
    decoder.start()
    process = decoder._processes[0]._process or decoder._processes[1]._process
    assert process is not None and process.poll() is None
    del decoder
    gc.collect()
    assert process.poll() is not None


def test_a_slow_picture_is_a_problem_of_its_sender_alone(library: Config) -> None:
    catalog = Catalog(library)
    serve = replace(library.serve, max_upload_seconds=0.3)
    app = create_app(replace(library, serve=serve), Searcher(library, catalog))
    client = app.test_client()
    for address, name in (("/api/v1/search", "image"), ("/", "picture")):
        answer = client.post(address, data={name: (io.BytesIO(slow()), "slow.jpg")})
        assert answer.status_code == 413 and "longer than 0.3 seconds" in answer.text
    assert answer.mimetype == "text/html"
    for process in app.extensions["rebus"].uploads._processes:
        process.settings = LIMITS  # a busy machine may take 0.3 seconds for anything
    fine = client.post("/api/v1/search", data={"image": (io.BytesIO(FINE), "fine.png")})
    assert fine.status_code == 200 and fine.get_json()["hits"]
    catalog.engine.dispose()


def test_many_slow_pictures_leave_threads_for_others(library: Config) -> None:
    """Four of the eight threads read or wait; whoever else sends a picture is told at once when to come again."""
    config = replace(library, serve=replace(library.serve, max_upload_seconds=600.0, threads=8))
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n' + slow() + b"\r\n--x--\r\n"
    app = create_app(config)

    with answering(app, config.serve) as server, ThreadPoolExecutor(12) as clients:
        port, refused = server.effective_port, threading.Event()

        def send(_: int) -> tuple[int, str | None, str | None]:
            with closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
                headers = {"Content-Type": "multipart/form-data; boundary=x"}
                connection.request("POST", "/api/v1/search", body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 503:
                    refused.set()
                return answer.status, answer.headers["Retry-After"], answer.headers["Content-Type"]

        sent = [clients.submit(send, number) for number in range(12)]
        assert refused.wait(120)
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        assert any(not one.done() for one in sent), "it was answered only after them"
        while wait(sent, timeout=0.05).not_done:
            time_is_up(app.extensions["rebus"].uploads._processes)
        told = [one.result() for one in sent]
    assert {status for status, *_ in told} == {413, 503}
    assert all(rest == ["5", "application/problem+json"] for status, *rest in told if status == 503)
