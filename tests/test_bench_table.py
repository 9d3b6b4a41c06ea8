"""The table of methods in README.md is what the benchmark's result says."""

import json

from tests.bench.learning_table import END, README, START, table
from tests.bench.report import RESULTS


def test_the_table_is_made_from_the_committed_result() -> None:
    result = json.loads((RESULTS / "learning.json").read_text(encoding="utf-8"))
    shown = README.read_text(encoding="utf-8").split(START)[1].split(END)[0]
    assert shown == table(result)
    assert len(result["rows"]) > 20
