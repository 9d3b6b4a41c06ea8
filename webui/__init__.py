"""The web: pages, files and the JSON endpoint over one library, as a Flask application.

It meets `indexer` only in the catalog, and reads: no address changes anything.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest

from engine.catalog import Catalog
from engine.config import Config
from engine.search import Searcher
from webui.api import api
from webui.files import files
from webui.library_api import library_api, probes
from webui.metrics import metrics
from webui.openapi import documentation
from webui.pages import pages
from webui.problems import register_errors
from webui.server import is_loopback, serve
from webui.services import Services

__all__ = ["create_app", "serve"]

# Nothing inline and nothing from elsewhere. Pictures may also be data: and blob:, for one that was just dropped.
_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:", "media-src 'self'",
    "connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
))  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(config: Config, searcher: Searcher | None = None) -> Flask:
    """The application over the library at `config.home`, or over the library of `searcher`.

    Raises CatalogError when there is no library.
    """
    app = Flask(__name__)
    # An upload as base64 in JSON grows by a third; the exact limit is checked on the decoded bytes.
    app.config["MAX_CONTENT_LENGTH"] = config.serve.max_upload_bytes * 4 // 3 + 2**20
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["rebus"] = Services(config, searcher or Searcher(config, Catalog(config)))
    app.before_request(_host_check(config.serve.host))
    app.after_request(_secure)
    for blueprint in (api, library_api, probes, documentation, files, metrics, pages):
        app.register_blueprint(blueprint)
    register_errors(app)
    return app


def _host_check(bound: str) -> Callable[[], None]:
    """Refuse names that are not ours: a foreign page could make its own name resolve to this machine and read it."""

    def check() -> None:
        try:
            host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
        except ValueError:
            host = ""
        if not (is_loopback(host) if is_loopback(bound) else host == bound.strip("[]").lower()):
            raise BadRequest("this server does not answer to that host name")

    return check


def _secure(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "private, no-cache"
    return response
