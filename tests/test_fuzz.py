"""schemathesis asks every operation of the document what it allows, and what it does not: none may fail, or lie.

`make fuzz` asks 10,000 times and more; here a few times each.
"""

import os
import sys
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
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
from webui import create_app

CASES = int(os.environ.get("FUZZ_CASES", "8"))  # of each operation and mode
_NOTHING_TO_SPOIL = {f"GET /{name}" for name in ("healthz", "readyz", "api/v1/jobs", "api/v1/stats", "api/v1/versions")}
_NOTHING_TO_SPOIL.add("GET /api/v1/status")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def operations(library: Config, catalog: Catalog) -> dict[str, Any]:
    """The operations of the document that the application serves, by their names."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(library, Searcher(library, catalog)))
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {operation.label: operation for operation in found}


@pytest.mark.parametrize("mode", GenerationMode)
def test_no_operation_fails_or_lies(operations: dict[str, Any], mode: GenerationMode) -> None:
    asked: Counter[int] = Counter()
    for name, operation in operations.items():
        if mode is GenerationMode.NEGATIVE and name in _NOTHING_TO_SPOIL:
            continue

        @given(operation.as_strategy(generation_mode=mode))
        @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=CASES < 500)
        def ask(case: Case[Any]) -> None:
            response = case.call()
            asked[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)
            if response.status_code >= 400:
                assert response.headers["content-type"] == ["application/problem+json"]

        ask()
    assert asked[200] > 0 or mode is GenerationMode.NEGATIVE
    assert max(asked) < 500, asked
    if "FUZZ_CASES" in os.environ:
        sys.stdout.write(f"{mode.value}: {sum(asked.values()):,} cases, by status {dict(sorted(asked.items()))}\n")
