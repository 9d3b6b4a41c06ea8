"""The production server: waitress on the configured address, stopped gracefully by SIGINT or SIGTERM."""

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

from flask import Flask
from waitress.server import create_server

from engine.config import Config, ServeSettings
from engine.errors import ConfigError
from engine.search import Searcher
from webui.channel import LingeringChannel
from webui.lanes import Lanes
from webui.services import picture_threads

_CONNECTIONS, _IDLE_S = 1000, 60  # at once; seconds after which one that sends nothing is closed
_GRACE_S, _LAST_S = 10.0, 1.0  # for answers that are under way when the server is stopped; for threads to end then
_FORWARDED = {"x-forwarded-for", "x-forwarded-proto"}
_SPARE = 2**20  # above the application's own limit, so that it is the application that answers 413


def serve(
    config: Config, searcher: Searcher | None = None, announce: Callable[[str], None] = lambda address: None
) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called with the address once it accepts connections.

    A program had better end by `os._exit` then: threads of it may be in native code yet, where the interpreter's own
    end aborts them. Raises ConfigError for a port that cannot be used, or a token that is too short.
    """
    from webui import create_app  # this module is imported by the package itself

    app = create_app(config, searcher)
    server, address = listen(config.serve, app)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a page of thumbnails always queues for a moment
    try:
        with _stopped_by_sigterm(server) as stopping:
            announce(address)
            app.extensions["rebus"].warm()  # the page answers meanwhile
            run(server, stopping)
    finally:
        server.close()
        app.extensions["rebus"].uploads.end()
        app.extensions["rebus"].catalog.engine.dispose()  # whose last connection folds its log into the database


def run(server: Any, stopping: threading.Event) -> bool:
    """Answer until `stopping` is set, or Ctrl-C; then accept nothing new, and answer what was asked, for ten seconds
    or to the next Ctrl-C.

    Whether all threads had an end by then.
    """
    loop = partial(server.asyncore.loop, map=server._map, use_poll=server.adj.asyncore_use_poll, count=1)
    with suppress(KeyboardInterrupt):
        while not stopping.is_set():
            loop(timeout=server.adj.asyncore_loop_timeout)
    server.accepting = False
    server.del_channel()
    server.socket.close()
    until = time.monotonic() + _GRACE_S
    with suppress(KeyboardInterrupt):
        while _busy(server) and time.monotonic() < until:
            loop(timeout=0.05)
    for channel in list(server.active_channels.values()):
        channel.will_close = False  # it has nothing to linger for
        channel.handle_close()
    server.task_dispatcher.shutdown(timeout=_LAST_S)
    server.asyncore.close_all(server._map)
    return not server.task_dispatcher.threads


def _busy(server: Any) -> bool:
    """Whether anything that was asked has not been answered to the last byte."""
    tasks = server.task_dispatcher
    asked = tasks.queue or tasks.waiting or tasks.active_count
    return bool(asked or any(channel.total_outbufs_len for channel in server.active_channels.values()))


def listen(settings: ServeSettings, app: Flask) -> tuple[Any, str]:
    """A server of the application that is bound and not running yet, and its address."""
    # One name, one socket: with port 0, two would each get a port of their own.
    host = "127.0.0.1" if settings.host.lower() == "localhost" else settings.host.strip("[]")
    behind = {"trusted_proxy": settings.proxy, "trusted_proxy_headers": _FORWARDED} if settings.proxy else {}
    lanes = Lanes(picture_threads(settings))
    lanes.set_thread_count(settings.threads)
    server = create_server(
        app, _dispatcher=lanes, sockets=[_bound(host, settings.port)], threads=settings.threads, ident=None,
        max_request_body_size=(app.config["MAX_CONTENT_LENGTH"] or 0) + _SPARE, clear_untrusted_proxy_headers=True,
        connection_limit=_CONNECTIONS, asyncore_use_poll=True, channel_timeout=_IDLE_S, **behind,
    )  # fmt: skip
    server.channel_class = LingeringChannel
    return server, _address(host, server.effective_port)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"{host} port {port} cannot be used ({error.strerror}): stop what uses it, "
            "or choose another with serve.port"
        ) from None


@contextmanager
def _stopped_by_sigterm(server: Any) -> Iterator[threading.Event]:
    """An event that SIGTERM sets. Signals reach only the main thread; elsewhere nothing changes."""
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if not stopping.is_set():  # the second time, the loop may have ended and closed what wakes it up
            stopping.set()
            server.pull_trigger()

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGTERM, previous)


def _address(host: str, port: int) -> str:
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"
