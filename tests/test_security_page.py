"""SECURITY.md names tests that exist, at least one for each attack."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "SECURITY.md").read_text(encoding="utf-8")


def test_every_attack_names_tests_that_exist() -> None:
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 25
    for attack, _, tests in rows:
        named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", tests)
        assert named, attack
        for file, name in named:
            source = (TESTS / file).read_text(encoding="utf-8")
            assert not name or re.search(rf"^def {name}\(", source, re.MULTILINE), (attack, name)
