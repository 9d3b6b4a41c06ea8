"""A server as `rebus serve` makes it, run by a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from engine.config import Config
from webui import create_app
from webui.server import listen


@contextmanager
def running(config: Config, threads: int = 2) -> Iterator[tuple[str, int]]:
    """Its host and port."""
    app = create_app(config)
    server, address = listen(replace(config.serve, port=0, threads=threads), app)
    thread = threading.Thread(target=server.run)
    thread.start()

    def stop() -> None:
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.asyncore.close_all(server._map)

    try:
        yield "127.0.0.1", int(urlsplit(address).port or 0)
    finally:
        server.trigger.pull_trigger(stop)  # in the loop's own thread, which then ends
        thread.join(20)
        server.task_dispatcher.shutdown()
        app.extensions["rebus"].catalog.engine.dispose()
