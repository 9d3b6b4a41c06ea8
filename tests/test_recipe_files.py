"""What a recipe's file may say: any other is refused at once, in a sentence that says what to do."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from indexer.starter.recipe import Recipe, checked, load_recipe
from indexer.starter.run import train_starter
from tests.conftest import silent
from tests.recipe_files import TinyTeacher, small_recipe

SOURCE = {"kind": "icons", "name": "a"}
TABLES = ("student", "space", "text", "image", "both")

numbers = st.integers() | st.integers(2**31, 2**80) | st.floats() | st.sampled_from([-1, 0, 1, 10**9])
values = st.recursive(numbers | st.text() | st.booleans(), lambda inner: st.lists(inner, max_size=3), max_leaves=4)


def defaults() -> dict[str, Any]:
    return asdict(checked({"teacher": "x", "sources": [SOURCE]}, "x.toml"))


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """A possible recipe in which one value, somewhere, is another."""
    recipe = defaults()
    where = draw(st.sampled_from([None, "sources", *TABLES]))
    table = recipe if where is None else recipe["sources"][0] if where == "sources" else recipe[where]
    table[draw(st.sampled_from(sorted(table)) | st.text(max_size=8))] = draw(values)
    return recipe


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


@given(recipes())
def test_a_recipe_is_possible_or_told_to_be_not(recipe: dict[str, Any]) -> None:
    try:
        found = checked(recipe, "x.toml")
    except ConfigError as error:
        assert "x.toml" in str(error) and len(str(error)) < 700
        return
    assert isinstance(found, Recipe)
    counts = [value for value in leaves(asdict(found)) if isinstance(value, int | float)]
    assert all(math.isfinite(value) and 0 <= value < 2**32 for value in counts)
    assert all("/" not in source.name and not source.name.startswith(".") for source in found.sources)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sources": []}, "does not say sources"),
        ({"sources": [SOURCE, SOURCE]}, "two sources are named 'a'"),
        ({"sources": [SOURCE, {**SOURCE, "name": "A"}]}, "two sources are named 'A'"),
        ({"sources": [{**SOURCE, "name": "../a"}]}, "name is made of letters"),
        ({"sources": [{**SOURCE, "name": ""}]}, "name is made of letters"),
        ({"sources": [{**SOURCE, "folder": "../../secret"}]}, "no folder below the data's"),
        ({"sources": [{**SOURCE, "seed": -1}]}, "sources.0.seed = -1"),
        ({"sources": [{**SOURCE, "views": 10**12}]}, "sources.0.views = 1000000000000"),
        ({"text": {"learning_rate": math.inf}}, "text.learning_rate = inf"),
        ({"space": {"max_minutes": math.nan}}, "space.max_minutes = nan"),
        ({"space": {"mark_weight": 2**40}}, "space.mark_weight = 1099511627776"),
        ({"space": {"epochs": 10**9}}, "space.epochs = 1000000000"),
        ({"student": {"text_width": 2**40}}, "student.text_width"),
    ],
)
def test_absurd_values_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        checked({"teacher": "x", "sources": [SOURCE], **changes}, "x.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + 9999 * "[", "nested too deeply"),
        (".".join(5000 * "a") + " = 1", "does not say|not possible|nested"),
        ("views = " + 5000 * "9", "cannot be read as TOML"),
        ("a = '" + 99999 * "x" + "'", "does not say|not possible"),
    ],
)
def test_a_file_made_to_hurt_ends_with_one_sentence(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as told:
        load_recipe(str(file))
    code, _, err = command(tmp_path / "home", "train", "--recipe", str(file))
    assert code == 2 and err.strip() == f"rebus: {told.value}" and len(err) < 700


def test_a_tower_that_cannot_be_made_is_told_before_anything_is_looked_at(encoder_folder: Path, tmp_path: Path) -> None:
    student = {**asdict(small_recipe().student), "image_tower": "no_such_tower"}
    with pytest.raises(ConfigError, match="'no_such_tower' cannot be made .* such as hgnetv2_b0"):
        train_starter(
            small_recipe(student=student), TinyTeacher(encoder_folder), tmp_path, tmp_path / "work", silent, silent
        )
    assert not list((tmp_path / "work").glob("views-*"))
