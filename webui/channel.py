"""Connections that may refuse a body and are still heard, and how answers leave on them."""

import socket
import time
from contextlib import suppress

from waitress.channel import HTTPChannel
from waitress.task import WSGITask

from webui.refusals import Refusal, StrictParser

_LINGER_S = 10.0


class WholeTask(WSGITask):  # type: ignore[misc]  # waitress has no types
    """An answer whose head and body, where that comes in one piece, leave together: one system call, one packet."""

    wrote_header: bool

    def write(self, data: bytes) -> None:
        """Send a piece of the body, and the head before the first one."""
        if self.wrote_header or not data or self.content_length != len(data) or not self.has_body:
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header, self.content_bytes_written = True, len(data)


class LingeringChannel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection that ends by saying so, and reads on for a while what the other side still sends.

    Closing it with bytes unread would reset it: who sends a body over the limit would never see the answer 413.
    """

    parser_class, task_class, error_task_class = StrictParser, WholeTask, Refusal

    _until: float | None = None
    _sending = False

    def readable(self) -> bool:
        """Whether to read: what comes while it lingers is thrown away by `received`, since `will_close` is set."""
        return self._until is not None or bool(super().readable())

    def writable(self) -> bool:
        """Whether `handle_write` is due: while it lingers, only to end it.

        Not while a thread sends by itself. The loop would go round and round until that has the interpreter again, and
        keep it from that; what the socket does not take, the thread then tells the loop of.
        """
        if self._until is not None:
            return time.monotonic() >= self._until
        return not self._sending and bool(super().writable())

    def handle_close(self) -> None:
        """Begin to linger when it is we who close; close at the second call."""
        if self._until is None and self.will_close and self.connected:
            with suppress(OSError):  # the other side may be gone
                self.socket.shutdown(socket.SHUT_WR)
                self._until = time.monotonic() + _LINGER_S
                return
        super().handle_close()

    def _flush_some(self, do_close: bool = True) -> bool:
        self._sending = True
        try:
            return bool(super()._flush_some(do_close))
        finally:
            self._sending = False
