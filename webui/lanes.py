"""The server's threads in two lanes: requests that are much work wait apart, so that words never wait behind them.

That is work by pictures that are sent, by parts of pictures, by many searches at once and by long answers. What a
request asks is seen in its bytes before a thread is given to it: waiting in a thread would be what is to be avoided.
"""

import re
import time
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from waitress.task import ThreadedTaskDispatcher

_SMALL = 16 * 1024  # bytes of a body that holds no picture worth a lane
_MANY = ("/search/batch", "/search/stream", "/encode")
_PICTURES = re.compile(
    r'"(?:region|image|image_url)"\s*:\s*(?!null\b|\s)'  # in JSON
    r"|\\u00"  # a name that is spelled otherwise
    r"|\d@\d"  # a part of an item's picture, in an address or a form
)
_PATIENCE_S = 10.0

waited_too_long: ContextVar[bool] = ContextVar("waited_too_long", default=False)  # of the request that is answered


def brings_much(channel: Any) -> bool:
    """Whether the request that a connection waits with has files in it, a long body, picture terms, many searches or a
    stream of hits."""
    if not channel.requests:
        return False
    asked = channel.requests[0]
    if asked.error is not None:  # which is all that is answered
        return False
    length = asked.headers.get("CONTENT_LENGTH", "0")
    files = asked.headers.get("CONTENT_TYPE", "").lower().startswith("multipart/form-data")
    if files or (length.isdecimal() and int(length) > _SMALL) or asked.path.rstrip("/").endswith(_MANY):
        return True
    return bool(_PICTURES.search(unquote_plus(asked.query)) or _PICTURES.search(_body(asked)))


def _body(asked: Any) -> str:
    """What a short body says, as JSON or as a form."""
    file = asked.get_body_stream()
    data: bytes = file.read(_SMALL)
    file.seek(0)
    said = data.decode("latin-1")
    return unquote_plus(said) if "urlencoded" in asked.headers.get("CONTENT_TYPE", "").lower() else said


class Lanes(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    """waitress's threads, of which at most `most` answer requests that bring much; more of these wait without one.

    Who waited longer than `patience` seconds is answered all the same, with `waited_too_long` set.
    """

    def __init__(self, most: int, patience: float = _PATIENCE_S) -> None:
        super().__init__()
        self._room, self._patience = most, patience
        self.waiting: deque[_Much] = deque()

    def add_task(self, task: Any) -> None:
        """Queue a connection whose request is read."""
        if not brings_much(task):
            super().add_task(task)
            return
        much = _Much(task, self, time.monotonic() + self._patience)
        with self.lock:
            if not self._room:
                self.waiting.append(much)
                return
            self._room -= 1
        super().add_task(much)

    def left(self) -> None:
        """One that brought much is answered: the next takes its place."""
        with self.lock:
            if not self.waiting:
                self._room += 1
                return
            following = self.waiting.popleft()
        super().add_task(following)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        """End all threads. Those that still wait are cancelled with the others."""
        with self.lock:
            self.queue.extend(self.waiting)
            self.waiting.clear()
        return bool(super().shutdown(cancel_pending, timeout))


@dataclass(frozen=True, slots=True)
class _Much:
    """A connection whose request brings much, as a task. until: when it has waited too long."""

    channel: Any
    lanes: Lanes
    until: float

    def service(self) -> None:
        """Answer it."""
        late = waited_too_long.set(time.monotonic() > self.until)
        try:
            self.channel.service()
        finally:
            waited_too_long.reset(late)
            self.lanes.left()

    def cancel(self) -> None:
        """It will not be answered."""
        self.channel.cancel()
