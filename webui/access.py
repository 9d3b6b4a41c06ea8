"""Who is let in, and what they may do: host names, the token, its cookie, CSRF, read-only serving, rates.

On this machine alone no token is asked for, unless one is set. Beyond it everybody needs the token: as `Authorization:
Bearer`, by the cookie that the login page gives, or, for clip-retrieval's client, in the path.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Request, current_app, redirect, render_template, request, session, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, TooManyRequests, Unauthorized
from werkzeug.wrappers import Response as Answer

from engine.artifacts import replace_file
from engine.config import Config, ServeSettings
from engine.errors import ConfigError
from webui.hosts import client_of, is_address, is_loopback
from webui.operations import changes

access = Blueprint("access", __name__)

_SAFE = ("GET", "HEAD", "OPTIONS")
_OPEN = ("access.login", "access.enter", "static", "probes.healthz", "probes.readyz")  # what nobody needs the token for
_BY_PATH = ("compat", "files")  # blueprints that take it from the path
_UNCOUNTED = ("static", "files.thumbnail", "files.media")
_LEAST, _TRIES = 16, 10  # characters of a token; wrong ones in a minute
_TOKEN_FILE, _PREFIX, _IN_PATH = "token", "/t/", "rebus.token_in_path"


def beyond_loopback(settings: ServeSettings) -> bool:
    """Whether others than this machine can reach the server: by its address, or by a proxy's name for it."""
    return not all(map(is_loopback, (settings.host, *settings.names)))


def token_of(config: Config) -> str:
    """The token to ask for; "" when none is. One is made for who serves beyond this machine without one."""
    given = config.serve.token
    if given and len(given) < _LEAST:
        raise ConfigError(f"serve.token has {len(given)} characters: use {_LEAST} or more, or none to have one made")
    if given or not beyond_loopback(config.serve):
        return given
    file = config.home / _TOKEN_FILE
    if not file.is_file():
        _write_secret(file, secrets.token_urlsafe(24))
    return file.read_text(encoding="ascii").strip()


class Access:
    """The rules of one application, kept in `app.extensions["rebus.access"]`."""

    def __init__(self, settings: ServeSettings, token: str) -> None:
        self.settings, self.token = settings, token
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(max(1, settings.requests_per_minute))
        self._wrong = RateLimitItemPerMinute(_TRIES)

    def install(self, app: Flask) -> None:
        """Check every request of the application by these rules, in this order."""
        app.extensions["rebus.access"] = self
        # A new token makes all cookies of the old one invalid.
        key = hashlib.sha256(b"session" + (self.token or secrets.token_hex(32)).encode()).hexdigest()
        app.config.update(
            SECRET_KEY=key, SESSION_COOKIE_NAME="rebus", SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Lax",
            SESSION_REFRESH_EACH_REQUEST=False,
        )  # fmt: skip
        app.session_interface = _Cookie()
        app.wsgi_app = _token_from_path(app.wsgi_app)  # type: ignore[method-assign]
        for check in (self._check_host, self._check_rate, self._check_token, self._check_change):
            app.before_request(check)
        app.context_processor(lambda: {"csrf": csrf})
        app.register_blueprint(access)

    def matches(self, given: str) -> bool:
        """Whether this is the token, in constant time. Wrong ones are counted: ten a minute are too many.

        The right one passes whatever the count: others behind its address could lock it out else.
        """
        right = hmac.compare_digest(given.encode(), self.token.encode())
        if not right and not self._limiter.hit(self._wrong, "wrong", client_of(request)):
            raise TooManyRequests("too many wrong tokens from your address: wait a minute")
        return right

    def _check_host(self) -> None:
        """Refuse names that are not ours: a foreign page could make its own name resolve to this machine and read it.

        No name can be made to stand for an address that is asked for as such.
        """
        try:
            asked = urlsplit(f"//{request.headers.get('Host', '')}")
            host, _ = asked.hostname or "", asked.port  # of two hosts, with a comma between them, there is no port
        except ValueError:
            host = ""
        bound = self.settings.host.strip("[]").lower()
        ours = {bound, *(name.lower() for name in self.settings.names)}
        everywhere = bound in ("0.0.0.0", "::") and (is_address(host) or is_loopback(host))
        if not (host in ours or everywhere or (is_loopback(bound) and is_loopback(host))):
            raise BadRequest("this server does not answer to that host name")

    def _check_rate(self) -> None:
        client = client_of(request)
        free = not self.settings.requests_per_minute or is_loopback(client) or request.endpoint in _UNCOUNTED
        if not free and not self._limiter.hit(self._requests, "all", client):
            raise TooManyRequests("too many requests from your address: wait a minute", retry_after=60)

    def _check_token(self) -> Answer | None:
        if not self.token or request.endpoint in _OPEN or session.get("in"):
            return None
        given = _bearer(request) or (request.environ.get(_IN_PATH) if request.blueprint in _BY_PATH else None)
        if given and self.matches(given):
            return None
        if request.method in _SAFE and request.accept_mimetypes.best_match(("application/json", "text/html")) == (
            "text/html"
        ):
            return redirect(url_for("access.login", next=request.full_path.rstrip("?")))
        needed = "the token is needed: send it as `Authorization: Bearer TOKEN`"
        raise Unauthorized(needed, www_authenticate=WWWAuthenticate("bearer"))

    def _check_change(self) -> None:
        """No foreign page may send anything, and no change is made without proof that one of ours asked for it."""
        if request.method in _SAFE or request.endpoint is None:
            return
        origin = request.headers.get("Origin")
        ours = origin is None or origin.partition("://")[2] == request.host  # a proxy may have another scheme
        if not (ours or origin in self.settings.origins):
            raise Forbidden("requests from other pages are refused")
        if not changes(current_app.view_functions[request.endpoint]):
            return
        if self.settings.read_only and request.blueprint != access.name:
            raise Forbidden("this server is read-only")
        if not (self._is_program() or _csrf_given()):
            raise Forbidden("the form's proof is missing or old: load the page again, and send it from there")

    def _is_program(self) -> bool:
        """Whether this cannot be a browser's doing that a foreign page led to: programs send no cookies or origins."""
        if _bearer(request):
            return True  # it was checked, and no page can add it
        signs = ("Origin", "Cookie", "Sec-Fetch-Site", "Referer")
        return not self.token and request.mimetype == "application/json" and not any(map(request.headers.get, signs))


@access.get("/login")
def login() -> str:
    """The form that takes the token."""
    return render_template("access/login.html", wrong=False, following=following(request.args))


@access.post("/login")
def enter() -> Answer | tuple[str, int]:
    """Let in who knows the token: with a cookie, for 30 days or until the token changes."""
    rules: Access = current_app.extensions["rebus.access"]
    if not rules.matches(request.form.get("token", "").strip()):
        return render_template("access/login.html", wrong=True, following=following(request.form)), 401
    session.clear()
    session["in"] = session.permanent = True
    return redirect(following(request.form), 303)


@access.post("/logout")
def leave() -> Answer:
    """Forget the cookie."""
    session.clear()
    return redirect(url_for("access.login"), 303)


def csrf() -> str:
    """What a form of ours has to send back, as `csrf` or X-CSRF-Token."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    return str(session["csrf"])


class _Cookie(SecureCookieSessionInterface):
    """Sent over HTTPS alone when it was given there."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Who sends no cookie has an empty session, for which no signature need be made ready."""
        if "Cookie" not in request.headers:
            return self.session_class()
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def _csrf_given() -> bool:
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
    known = session.get("csrf")
    return bool(known) and hmac.compare_digest(given.encode(), str(known).encode())


def _bearer(asked: Request) -> str | None:
    given = asked.authorization
    return given.token if given is not None and given.type == "bearer" else None


def following(fields: Any) -> str:
    """Where to go afterwards, as `next` says: an address of this server, whatever was asked for."""
    wanted = str(fields.get("next", ""))
    own = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if own else "/"


def _token_from_path(inner: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Take /t/TOKEN off the front of an address, so that what follows is routed as usual."""

    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        token, slash, rest = path.removeprefix(_PREFIX).partition("/") if path.startswith(_PREFIX) else ("", "", "")
        if token:
            environ[_IN_PATH] = token
            environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}{_PREFIX}{token}"
            environ["PATH_INFO"] = slash + rest
        return inner(environ, start_response)

    return call


def _write_secret(file: Path, text: str) -> None:
    """Write a file that nobody else on this machine can read, also for a moment."""
    before = os.umask(0o077)
    try:
        replace_file(file, text.encode("ascii"))
    finally:
        os.umask(before)
