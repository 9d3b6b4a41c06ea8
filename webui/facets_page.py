"""Filters to choose from, with counts: kind, library folder, folder, year and camera, each an address of a search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from engine.facets import Facets, facets
from engine.filters import Filters
from webui.query_box import narrowed
from webui.search_page import SearchPage
from webui.services import services

_SHOWN = 60  # values of one facet
_TITLES = {"type": "Kind", "root": "Library folder", "path": "Folder", "taken": "Year", "camera": "Camera"}
_KINDS = {"image": "Pictures", "text": "Words", "video": "Films", "audio": "Sounds"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A value, how many have it, and the address that chooses it, or takes it back when it is chosen."""

    label: str
    count: int
    address: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """What can be chosen of one kind. chosen: the filter as it stands, in words; clear: the address without it."""

    key: str
    title: str
    chosen: str | None
    clear: str
    choices: tuple[Choice, ...] = ()


def facet_titles(page: SearchPage) -> list[Facet]:
    """The facets of a page without their values, which are asked for when somebody looks."""
    known = services().known_facets()
    return [
        Facet(key, title, chosen, page.address(q=narrowed(page.box, key, None) or None, **_reset(key)))
        for key, title in _TITLES.items()
        if (chosen := _chosen(page, key)) or key in known or key == "type"
    ]


def facet_lists(page: SearchPage) -> list[Facet]:
    """The facets with their values. Counts follow the filters, but each facet's own: it offers what else there is."""

    @cache  # without filters of their own, all facets are counted at once
    def counted(filters: Filters) -> Facets:
        where = filters.where()
        services().check(where)
        return facets(services().catalog, where, page.modality)

    def others(key: str) -> Filters:
        """All filters but one."""
        changes: dict[str, Any] = {key: None} if key != "type" else {}
        return replace(page.filters, **changes)

    return [
        replace(facet, choices=_CHOICES[facet.key](page, counted(others(facet.key)))) for facet in facet_titles(page)
    ]


def _chosen(page: SearchPage, key: str) -> str | None:
    return None if key == "type" else getattr(page.filters, key)


def _reset(key: str) -> dict[str, None]:
    return {"path": None} if key == "path" else {"for": None} if key == "type" else {}


def _kinds(page: SearchPage, counts: Facets) -> tuple[Choice, ...]:
    box = narrowed(page.box, "type", None) or None
    return tuple(
        Choice(_KINDS[kind], count, page.address(q=box, **{"for": None if kind == "image" else kind}), here)
        for kind, count in counts.modalities.items()
        for here in [kind == page.modality]
    )


def _values(page: SearchPage, key: str, counts: Mapping[str, int], written: Callable[[str], str]) -> tuple[Choice, ...]:
    present = _chosen(page, key)
    made = []
    for label, count in list(counts.items())[:_SHOWN]:
        value = written(label)
        box = narrowed(page.box, key, None if value == present else value)
        made.append(Choice(label, count, page.address(q=box or None, **_reset(key)), value == present))
    return tuple(made)


def _roots(page: SearchPage, counts: Facets) -> tuple[Choice, ...]:
    return _values(page, "root", counts.roots, str)


def _folders(page: SearchPage, counts: Facets) -> tuple[Choice, ...]:
    named = {folder: count for folder, count in counts.folders.items() if folder}
    return _values(page, "path", named, lambda folder: f"{folder.replace(chr(34), '?')}/**")


def _years(page: SearchPage, counts: Facets) -> tuple[Choice, ...]:
    return _values(page, "taken", dict(sorted(counts.years.items(), reverse=True)), str)


def _cameras(page: SearchPage, counts: Facets) -> tuple[Choice, ...]:
    return _values(page, "camera", counts.cameras, str)


_CHOICES: Mapping[str, Callable[[SearchPage, Facets], tuple[Choice, ...]]] = {
    "type": _kinds, "root": _roots, "path": _folders, "taken": _years, "camera": _cameras,
}  # fmt: skip
