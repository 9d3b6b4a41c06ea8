"""What a query needs: media, encoders, codes, the index, the catalog and the searcher.

The ten names below are for scripts and notebooks, and stay as they are between releases; README shows them at work.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.config import load_config
    from engine.errors import RebusError
    from engine.filters import Filters
    from engine.search import Searcher
    from engine.types import Hit, Modality, Query, Results, Term

__all__ = [
    "Catalog", "Filters", "Hit", "Modality", "Query", "RebusError", "Results", "Searcher", "Term", "load_config",
]  # fmt: skip
_HOMES = {
    "Catalog": "catalog",
    "Filters": "filters",
    "RebusError": "errors",
    "Searcher": "search",
    "load_config": "config",
}


def __getattr__(name: str) -> Any:
    """Start-up time: a name is imported when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"engine.{_HOMES.get(name, 'types')}"), name)
