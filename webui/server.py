"""The production server: waitress on the configured address, stopped gracefully by SIGINT or SIGTERM."""

import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from flask import Flask
from waitress.server import create_server

from engine.config import Config, ServeSettings
from engine.errors import ConfigError
from engine.search import Searcher
from webui.channel import LingeringChannel

_SPARE = 2**20  # above the application's own limit, so that it is the application that answers 413


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def serve(
    config: Config, searcher: Searcher | None = None, announce: Callable[[str], None] = lambda address: None
) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called with the address once it accepts connections.

    Raises ConfigError for a host beyond this machine, or a port that cannot be used.
    """
    from webui import create_app  # this module is imported by the package itself

    settings = config.serve
    if not is_loopback(settings.host):
        raise ConfigError(
            f"serve.host = {settings.host!r} reaches beyond this machine. Rebus has no login yet; "
            "put it behind a proxy that has one, or bind to 127.0.0.1"
        )
    server, address = listen(settings, create_app(config, searcher))
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a page of thumbnails always queues for a moment
    try:
        with _stopped_by_sigterm():
            announce(address)
            server.run()  # on SIGINT or SIGTERM it stops accepting, lets running requests end, and returns
    finally:
        server.close()


def listen(settings: ServeSettings, app: Flask) -> tuple[Any, str]:
    """A server of the application that is bound and not running yet, and its address."""
    # One name, one socket: with port 0, two would each get a port of their own.
    host = "127.0.0.1" if settings.host.lower() == "localhost" else settings.host.strip("[]")
    server = create_server(
        app, sockets=[_bound(host, settings.port)], threads=settings.threads, ident=None,
        max_request_body_size=(app.config["MAX_CONTENT_LENGTH"] or 0) + _SPARE, clear_untrusted_proxy_headers=True,
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
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the server's loop as Ctrl-C does. Signals reach only the main thread; elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _address(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"
