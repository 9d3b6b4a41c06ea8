"""`rebus mark`: what is said of results, and that it is said one way at a time."""

import json
from collections.abc import Callable

import pytest

from engine.config import Config


def test_what_is_said_counts(changed: Config, command: Callable[..., tuple[int, str, str]]) -> None:
    for said, good, bad in (((), [1], []), (("--bad",), [], [1]), (("--good",), [1], []), (("--forget",), [], [])):
        code, out, _ = command(changed.home, "mark", "a red boat", "1", *said, "--json")
        facts = json.loads(out)
        assert (code, facts["good"], facts["bad"]) == (0, good, bad)


@pytest.mark.parametrize("said", [("--good", "--bad"), ("--bad", "--forget"), ("--good", "--bad", "--forget")])
def test_one_thing_is_said_at_a_time(
    changed: Config, command: Callable[..., tuple[int, str, str]], said: tuple[str, ...]
) -> None:
    code, _, error = command(changed.home, "mark", "a red boat", "1", *said)
    assert code == 2 and "give one of them" in error
    assert command(changed.home, "marks")[1] == ""
