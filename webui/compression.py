"""The page's own scripts and styles and the dots of the map, sent compressed.

Nothing else is: an answer that holds a secret beside somebody's words would tell of it by its length.
"""

import gzip
from functools import lru_cache

from flask import Flask, Response, request

_KINDS = {
    "static": ("text/css", "text/javascript", "application/javascript", "image/svg+xml"),
    "library_pages.dots": ("application/octet-stream",),
}


def compress_static(app: Flask) -> None:
    """Compress what holds neither secrets nor words, for those who read that."""
    app.after_request(_compressed)


def _compressed(response: Response) -> Response:
    if response.mimetype not in _KINDS.get(request.endpoint or "", ()):
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code == 200 and request.accept_encodings["gzip"] and request.method == "GET":
        response.direct_passthrough = False
        response.set_data(_gzip(response.get_data()))
        response.headers["Content-Encoding"] = "gzip"
        response.set_etag(response.get_etag()[0] or "", weak=True)  # the bytes differ, the meaning does not
    return response


@lru_cache(maxsize=64)
def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
