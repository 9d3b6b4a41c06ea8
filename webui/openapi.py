"""/openapi.json and /docs: the operations that views declare, as a document and as a page that works offline."""

import functools
import re
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from flask import Blueprint, Flask, Response, current_app, render_template
from openapi_pydantic import OpenAPI
from openapi_pydantic.util import PydanticSchema, construct_open_api_with_schema_class
from pydantic import BaseModel
from werkzeug.routing import Rule

from engine.errors import NotFound
from webui.operations import FORM, JSON, LINES, Operation, operation_of
from webui.problems import PROBLEM, Problem

documentation = Blueprint("documentation", __name__)

# Swagger UI as the wheel of offapi has it: nothing is loaded from elsewhere.
_ASSETS = {"swagger_bundle.js": "text/javascript", "swagger_style.css": "text/css"}
_CONVERTER = re.compile(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>")
_GUARDED = {
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}, "security": [{"token": []}],
}  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@documentation.get("/openapi.json")
def document() -> Response:
    """The description of every operation, for generated clients and tools."""
    known = current_app.extensions.setdefault("rebus.document", [])
    if not known:  # the operations are all registered by the first request
        known.append(_document(current_app))
    return Response(known[0], mimetype=JSON)


@documentation.get("/docs")
def docs() -> str:
    """The same for people, with a form to try each operation."""
    return render_template("documentation/docs.html")


@documentation.get("/docs/<name>")
def asset(name: str) -> Response:
    """Swagger UI's own script and style."""
    if name not in _ASSETS:
        raise NotFound("no such file")
    response = Response(_asset(name), mimetype=_ASSETS[name])
    response.headers["Cache-Control"] = "private, max-age=86400"
    return response


@functools.cache
def _asset(name: str) -> bytes:
    return files("offapi").joinpath(name).read_bytes()


def _document(app: Flask) -> str:
    paths: dict[str, dict[str, Any]] = {}
    for rule, spec, summary in _operations(app):
        method = next(method for method in _METHODS if method in (rule.methods or ()))
        path = _CONVERTER.sub(r"{\1}", rule.rule)
        paths.setdefault(path, {})[method.lower()] = _described(rule, spec, summary)
    described = OpenAPI.model_validate({
        "openapi": "3.1.1",
        "info": {"title": "Rebus", "version": version("rebus"), "description": "Cross-modal search over one library."},
        "paths": paths,
        **(_GUARDED if app.extensions["rebus.access"].token else {}),
    })  # fmt: skip
    return construct_open_api_with_schema_class(described).model_dump_json(by_alias=True, exclude_none=True)


def _operations(app: Flask) -> Iterator[tuple[Rule, Operation, str]]:
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        spec = operation_of(view)
        if spec is not None and "token" not in rule.arguments:
            yield rule, spec, (view.__doc__ or "").strip()


def _described(rule: Rule, spec: Operation, summary: str) -> dict[str, Any]:
    answer = {LINES if spec.streams else JSON: {"schema": _schema(spec.answer)}}
    described: dict[str, Any] = {
        "operationId": rule.endpoint.rpartition(".")[2],
        "summary": summary,
        "parameters": [*_path_parameters(rule), *_query_parameters(spec.query)],
        "responses": {
            "200": {"description": " ".join((spec.answer.__doc__ or "").split()), "content": answer},
            "default": {"description": "What was wrong.", "content": {PROBLEM: {"schema": _schema(Problem)}}},
        },
    }
    if spec.body is not None:
        content = {JSON: {"schema": _schema(spec.body)}}
        if spec.form is not None:
            content[FORM] = {"schema": _schema(spec.form)}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _path_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    for name in sorted(rule.arguments):
        yield {
            "name": name, "in": "path", "required": True, "description": "The id of an item, as hits have it.",
            "schema": {"type": "integer", "minimum": 1},
        }  # fmt: skip


def _query_parameters(shape: type[BaseModel] | None) -> Iterator[dict[str, Any]]:
    schema: dict[str, Any] = shape.model_json_schema() if shape is not None else {}
    required = schema.get("required", ())
    for name, given in schema.get("properties", {}).items():
        about = given.pop("description").replace("; null: ", "; left out: ")
        yield {
            "name": name, "in": "query", "required": name in required, "description": about,
            "schema": _unnulled(given),
        }  # fmt: skip


def _unnulled(schema: dict[str, Any]) -> dict[str, Any]:
    """What an address can say: a parameter that is null is left out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
    return {**rest, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})}


def _schema(shape: type[BaseModel]) -> PydanticSchema[Any]:
    return PydanticSchema(schema_class=shape)
