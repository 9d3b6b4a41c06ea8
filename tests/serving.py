"""A server as `rebus serve` makes it, run by a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flask import Flask

from engine.config import Config, ServeSettings
from engine.search import Searcher
from webui import create_app
from webui.server import listen


@contextmanager
def running(config: Config, threads: int = 2, searcher: Searcher | None = None) -> Iterator[tuple[str, int]]:
    """Its host and port."""
    with answering(create_app(config, searcher), replace(config.serve, threads=threads)) as server:
        yield "127.0.0.1", server.effective_port


@contextmanager
def answering(app: Flask, settings: ServeSettings) -> Iterator[Any]:
    """The server of an application, at a free port of this machine; the application's catalog is closed at the end."""
    server, _ = listen(replace(settings, port=0), app)
    stopping = threading.Event()
    thread = threading.Thread(target=_answer, args=(server, stopping))
    thread.start()
    try:
        yield server
    finally:
        stopping.set()
        server.pull_trigger()
        thread.join()
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.task_dispatcher.shutdown(timeout=60)
        # Last, when no thread is left that writes to the trigger: its number may be another file's by then.
        server.asyncore.close_all(server._map)
        app.extensions["rebus"].catalog.engine.dispose()


def _answer(server: Any, stopping: threading.Event) -> None:
    while not stopping.is_set():
        server.asyncore.loop(timeout=1, map=server._map, use_poll=True, count=1)
