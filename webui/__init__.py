"""The web: pages, files and the JSON endpoint over one library, as a Flask application.

It meets `indexer` only in the catalog.
"""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response

from engine.catalog import Catalog
from engine.config import Config
from engine.search import Searcher
from webui.access import Access, beyond_loopback, token_of
from webui.access_log import AccessLog
from webui.api import api
from webui.compat import compat
from webui.compression import compress_static
from webui.files import files
from webui.headers import SECURITY
from webui.library_api import library_api, probes
from webui.library_pages import library_pages
from webui.marks_api import marks_api
from webui.metrics import metrics
from webui.openapi import documentation
from webui.pages import pages
from webui.problems import register_errors
from webui.server import serve
from webui.services import Services

__all__ = ["create_app", "serve"]


class _Application(Flask):
    """No function here is async: Flask looks at each again in every request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(config: Config, searcher: Searcher | None = None) -> Flask:
    """The application over the library at `config.home`, or over the library of `searcher`.

    Raises CatalogError when there is no library, ConfigError for a token that is too short.
    """
    app = _Application(__name__)
    # An upload as base64 in JSON grows by a third; the exact limit is checked on the decoded bytes.
    app.config["MAX_CONTENT_LENGTH"] = config.serve.max_upload_bytes * 4 // 3 + 2**20
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    shows_places = config.serve.show_places or not beyond_loopback(config.serve)
    library = Services(config, searcher or Searcher(config, Catalog(config)), shows_places=shows_places)
    app.extensions["rebus"] = library
    AccessLog(config.serve, library.measured).install(app)
    Access(config.serve, token_of(config)).install(app)
    compress_static(app)
    app.after_request(_secure)
    for blueprint in (api, library_api, marks_api, compat, probes, documentation, files, metrics, pages, library_pages):
        app.register_blueprint(blueprint)
    register_errors(app)
    return app


def _secure(response: Response) -> Response:
    given = {name.lower() for name, _ in response.headers}
    for name, value in SECURITY.items():
        if name.lower() not in given:
            response.headers.add(name, value)
    return response
