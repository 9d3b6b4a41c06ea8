"""Connections that may refuse a body and are still heard."""

import socket
import time
from contextlib import suppress

from waitress.channel import HTTPChannel

_LINGER_S = 10.0


class LingeringChannel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection that ends by saying so, and reads on for a while what the other side still sends.

    Closing it with bytes unread would reset it: who sends a body over the limit would never see the answer 413.
    """

    _until: float | None = None

    def readable(self) -> bool:
        """Whether to read: what comes while it lingers is thrown away by `received`, since `will_close` is set."""
        return self._until is not None or bool(super().readable())

    def writable(self) -> bool:
        """Whether `handle_write` is due: while it lingers, only to end it."""
        return bool(super().writable()) if self._until is None else time.monotonic() >= self._until

    def handle_close(self) -> None:
        """Begin to linger when it is we who close; close at the second call."""
        if self._until is None and self.will_close and self.connected:
            with suppress(OSError):  # the other side may be gone
                self.socket.shutdown(socket.SHUT_WR)
                self._until = time.monotonic() + _LINGER_S
                return
        super().handle_close()
