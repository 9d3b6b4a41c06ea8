"""The search of a page for elsewhere: as a call of the endpoint, and as a command."""

import json
import re
import shlex
from dataclasses import fields
from itertools import count
from typing import Any

from flask import current_app, request

from engine.filters import Filters
from engine.likeness import Likeness
from engine.types import Modality
from webui.search_page import SearchPage
from webui.services import services

_PICTURE = "picture-{}.jpg"
_PLAIN = re.compile(r"[^\W_][\w' -]*")  # words that the command line cannot take for a picture, an item or a weight
_FIELDS = tuple(field.name for field in fields(Filters))


def as_curl(page: SearchPage) -> str:
    """curl for this search; own pictures stand in it as the names of files."""
    body = json.dumps(_body(page), ensure_ascii=False)
    parts = ["curl", "-s", request.host_url + "api/v1/search", "-H", "content-type: application/json"]
    if current_app.extensions["rebus.access"].token:
        parts += ["-H", "authorization: Bearer TOKEN"]
    if not page.own:
        return shlex.join([*parts, "-d", body])
    whole = re.sub(r"\bFILE:(\d)", r"""'"$(base64 < picture-\1.jpg | tr -d '\\n')"'""", shlex.quote(body))
    return f"printf %s {whole} | {shlex.join([*parts, '-d', '@-'])}"  # a whole picture is too long for an argument


def as_command(page: SearchPage) -> str:
    """`rebus search` for this search."""
    terms: list[str] = []
    numbers = count(1)
    for term in page.terms:
        if term.text is not None:
            value = term.text if _PLAIN.fullmatch(term.text) else f'"{term.text}"'
        else:
            value = f"./{_PICTURE.format(next(numbers))}" if term.image is not None else f"like:{Likeness.of(term)}"
        weight = "" if abs(term.weight) == 1 else f"{abs(term.weight):.7g}:"
        terms += (["-"] if term.weight < 0 else ["+"] if terms else []) + [weight + value]
    parts: list[str] = []
    for name in _FIELDS:
        given = getattr(page.filters, name)
        for value in given if isinstance(given, tuple) else [given] if given else []:
            parts += [f"--{name}", value]
    if page.least:
        parts += ["--min", f"{page.least:g}"]
    if page.asked_mode:
        parts += ["--mode", str(page.asked_mode)]
    if page.explain:
        parts.append("--explain")
    if page.modality is not Modality.IMAGE:
        parts += ["--for", str(page.modality)]
    top = services().config.search.limit
    return shlex.join(["rebus", "search", *parts, "--top", str(top), "--", *terms])


def _body(page: SearchPage) -> dict[str, Any]:
    """What the endpoint is asked for the hits of this page."""
    terms, pictures = [], 0
    for term in page.terms:
        one: dict[str, Any] = {"text": term.text} if term.text else {"item": term.item}
        if term.image is not None:
            pictures += 1
            one = {"image": f"FILE:{pictures}"}
        terms.append(
            one
            | ({"region": list(term.region)} if term.region else {})
            | ({"weight": term.weight} if term.weight != 1 else {})
        )
    given = {name: getattr(page.filters, name) for name in _FIELDS}
    filters = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value}
    kind = {} if page.modality is Modality.IMAGE else {"modality": str(page.modality)}
    given_too = {"mode": page.asked_mode, "min": page.least, "explain": page.explain}
    more = {key: value for key, value in given_too.items() if value}
    return {"terms": terms, **kind, **filters, **more, "limit": services().config.search.limit}
