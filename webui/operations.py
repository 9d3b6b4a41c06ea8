"""Operations of the API: a view says what it takes and answers by shapes, which are checked here and documented."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Response, g, request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from engine.errors import InvalidInput
from webui.schemas import explain

JSON, LINES, FORM = "application/json", "application/x-ndjson", "multipart/form-data"

B = TypeVar("B", bound=BaseModel)
View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a view takes (an address's query, a JSON body or a form with one file) and what it answers.

    streams: the answer is lines of this shape, of application/x-ndjson. changes: the library is another afterwards.
    loose: a body is read whatever it is called.
    """

    answer: type[BaseModel]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    form: type[BaseModel] | None = None
    streams: bool = False
    changes: bool = False
    loose: bool = False

    def read(self) -> tuple[BaseModel, ...]:
        """What this request holds, as the view's first argument. Raises InvalidInput."""
        if self.query is not None:
            return (_from_fields(self.query, request.args),)
        if self.body is None:
            nothing_more(request.args)
            return ()
        nothing_more(request.args)
        if self.form is not None and request.mimetype == FORM:
            return (_from_fields(self.form, request.form, image=_uploaded()),)
        if request.mimetype != JSON and not self.loose:
            also = f", or {FORM} with a file named image" if self.form else ""
            raise UnsupportedMediaType(f"send {JSON}{also}")
        return (_from_json(self.body),)


def operation(spec: Operation) -> Callable[[View], View]:
    """Make a view of a function that takes what `spec` reads, after the values of its path, and answers a shape."""

    def decorate(function: View) -> View:
        @functools.wraps(function)
        def view(**path: Any) -> Response:
            given = spec.read()
            g.asked = given[0] if given else None  # for the access log
            answer = function(*given, **path)
            if isinstance(answer, BaseModel):
                return Response(answer.model_dump_json(), mimetype=JSON)
            return Response(_lines(answer), mimetype=LINES)

        view.operation = spec  # type: ignore[attr-defined]
        return view

    return decorate


def reading(view: View) -> View:
    """Say of a view that answers POST that it changes nothing."""
    view.reads = True  # type: ignore[attr-defined]
    return view


def changes(view: View) -> bool:
    """Whether a view that answers POST, PUT, PATCH or DELETE changes anything: it does, unless it says otherwise."""
    spec = operation_of(view)
    return spec.changes if spec is not None else not getattr(view, "reads", False)


def operation_of(view: View) -> Operation | None:
    """What `operation` said of a view; None for one of no API."""
    found: Operation | None = getattr(view, "operation", None)
    return found


def _from_json(shape: type[B]) -> B:
    """The body as a shape. Raises InvalidInput."""
    try:
        return shape.model_validate_json(request.get_data(cache=False), strict=True)
    except ValidationError as error:
        raise explain(error) from None


def nothing_more(fields: "MultiDict[str, str]") -> None:
    """Raise InvalidInput for parameters where none are known."""
    for key in fields:
        raise InvalidInput(f"unknown key {key!r}: this address takes none")


def _from_fields(shape: type[B], fields: "MultiDict[str, str]", **files: bytes) -> B:
    """Fields of an address or a form as a shape: those that are lists may be given several times."""
    values: dict[str, Any] = {}
    for key, given in fields.lists():
        known = shape.model_fields.get(key)
        if known is not None and known.default == []:
            values[key] = given
        elif len(given) > 1:
            raise InvalidInput(f"{key} is given {len(given)} times: keep one")
        else:
            values[key] = given[0]
    try:
        return shape.model_validate({**values, **files})
    except ValidationError as error:
        raise explain(error) from None


def _uploaded() -> bytes:
    """The bytes of the one file of a multipart body, which must be named image."""
    files = request.files.getlist("image")
    if len(files) != 1 or len(list(request.files.items(multi=True))) != 1:
        raise InvalidInput("send exactly one file, in the field named image")
    data: bytes = files[0].read()
    return data


def _lines(rows: Iterator[BaseModel]) -> Iterator[bytes]:
    for row in rows:
        yield row.model_dump_json().encode() + b"\n"
