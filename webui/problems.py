"""Errors as answers: RFC 9457 problem documents for programs, a page for people. None shows a trace or a path."""

import logging
from http import HTTPStatus
from typing import Literal, Self

from flask import Flask, Response, render_template, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import HTTPException

from engine.errors import Busy, EncoderUnavailable, NothingWhole, OtherStarter, RebusError

PROBLEM = "application/problem+json"

log = logging.getLogger(__name__)

_FOR_PROGRAMS = ("/api", "/healthz", "/readyz", "/openapi.json", "/knn-service", "/indices-list", "/metadata")
_PASSED_ON = ("Allow", "Accept", "Content-Range", "Retry-After", "WWW-Authenticate")
_GENERIC = "something went wrong on the server; its log has the details"
_DAMAGED = "files of this library are damaged: `rebus doctor` names them, and `rebus doctor --repair` mends what it can"
_ENCODER = "the encoder of this library cannot be loaded; the server's log says why and what to do"


class Problem(BaseModel):
    """The one shape of every error for programs (RFC 9457)."""

    type: Literal["about:blank"] = Field(
        default="about:blank", description="Always about:blank: the status says what kind of error it is."
    )
    title: str = Field(description="The name of the status.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong, and what to do.")

    @classmethod
    def of(cls, status: int, detail: str) -> Self:
        """The problem of a status."""
        return cls(title=_title(status), status=status, detail=detail)


def problem(status: int, detail: str) -> Response:
    """A problem as an answer."""
    return Response(Problem.of(status, detail).model_dump_json(), status, mimetype=PROBLEM)


def register_errors(app: Flask) -> None:
    """Answer every error in one place."""
    app.register_error_handler(Exception, _answer)


def explain_error(error: Exception) -> tuple[int, str]:
    """The status and the sentence to show. Messages that may hold paths of this machine are logged instead."""
    if isinstance(error, EncoderUnavailable) and not isinstance(error, OtherStarter):
        log.error("%s", error)
        return error.status, _ENCODER
    if isinstance(error, NothingWhole):
        return error.status, _DAMAGED  # the log named the files when they were found so
    if isinstance(error, RebusError) and (error.status < 500 or error.status == 503):
        return error.status, str(error)
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        return error.code, error.description or _title(error.code)
    log.error("a request failed: %s %s", request.method, request.path, exc_info=error)
    return 500, _GENERIC


def _answer(error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.code is not None and error.code < 400:
        return Response(status=error.code, headers=error.get_headers())  # a redirect
    status, detail = explain_error(error)
    response = problem(status, detail) if _wants_json() else _page(status, detail)
    if isinstance(error, HTTPException):
        extra = {name: value for name, value in error.get_headers() if name in _PASSED_ON}
        response.headers.update(extra)
    if isinstance(error, Busy):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _wants_json() -> bool:
    if request.path.startswith("/api/") or request.path in _FOR_PROGRAMS:
        return True
    kinds = [PROBLEM, "application/json", "text/html"]  # the first, for who takes anything: browsers name HTML
    return request.accept_mimetypes.best_match(kinds, PROBLEM) != "text/html"


def _page(status: int, detail: str) -> Response:
    title = {404: "Not here", 503: "Not ready yet", 413: "Too large"}.get(status, "That did not work")
    return Response(render_template("pages/error.html", title=title, detail=detail, page=None), status)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
