"""schemathesis asks every operation of the document what it allows, and what it does not: none may fail, or lie.

`make fuzz` asks 10,000 times and more; here a few times each.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from engine.catalog import Catalog
from engine.config import Config
from engine.search import Searcher
from tests.web_library import copy_library
from webui import create_app

CASES = int(os.environ.get("FUZZ_CASES", "8"))  # of each operation and mode
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def operations(library: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The operations of the document that the application serves, by their names; some of them change the library."""
    config = copy_library(library, tmp_path_factory.mktemp("fuzzed"))
    config = replace(config, serve=replace(config.serve, requests_per_minute=0))  # else most are refused for their rate
    catalog = Catalog(config)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(config, Searcher(config, catalog)))
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    yield {operation.label: operation for operation in found}
    catalog.engine.dispose()


def _takes_something(operation: Any) -> bool:
    return bool(operation.body) or any(True for _ in operation.iter_parameters())


@st.composite
def _cases(draw: st.DrawFn, operation: Any, mode: GenerationMode) -> Case[Any]:
    """A case of an operation, but for those forms of which schemathesis draws a part that it then cannot write."""
    try:
        drawn: Case[Any] = draw(operation.as_strategy(generation_mode=mode))
    except ValueError as error:
        if "Unsupported type: 'Binary'" not in str(error):
            raise
        reject()
    return drawn


@pytest.mark.parametrize("mode", GenerationMode)
def test_no_operation_fails_or_lies(operations: dict[str, Any], mode: GenerationMode) -> None:
    asked: Counter[int] = Counter()
    for operation in operations.values():
        if mode is GenerationMode.NEGATIVE and not _takes_something(operation):
            continue

        @given(_cases(operation, mode))
        @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=CASES < 500)
        def ask(case: Case[Any]) -> None:
            response = case.call()
            asked[response.status_code] += 1
            # A form has words alone: what is wrong for its type arrives as the word that says it, and may be right.
            as_words = case.media_type == "multipart/form-data"
            case.validate_response(response, checks=CHECKS[:-1] if as_words else CHECKS)
            if response.status_code >= 400:
                assert response.headers["content-type"] == ["application/problem+json"]

        ask()
    assert asked[200] > 0 or mode is GenerationMode.NEGATIVE
    assert max(asked) < 500 and 429 not in asked, asked
    if "FUZZ_CASES" in os.environ:
        sys.stdout.write(f"{mode.value}: {sum(asked.values()):,} cases, by status {dict(sorted(asked.items()))}\n")
