"""Settings: where they come from, which wins, and that config.toml documents every one of them."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from engine.config import SECTIONS, load_config
from engine.errors import ConfigError

SHIPPED = Path(__file__).parent.parent / "config.toml"


def defaults() -> dict[str, dict[str, Any]]:
    return {name: dataclasses.asdict(section()) for name, section in SECTIONS.items()}


def write(home: Path, text: str) -> Path:
    path = home / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, "[search]\nlimit = 10\ncandidates = 11\nthreads = 12\n")
    environ = {"REBUS_SEARCH_CANDIDATES": "21", "REBUS_SEARCH_THREADS": "22"}
    search = load_config(tmp_path, overrides={"search.threads": 33, "search.limit": None}, environ=environ).search
    assert (search.limit, search.candidates, search.threads) == (10, 21, 33)


def test_without_any_source_every_setting_has_its_default(tmp_path: Path) -> None:
    config = dataclasses.asdict(load_config(tmp_path, environ={}))
    assert config == {"home": tmp_path, **defaults()}


def test_home_comes_from_the_argument_then_the_variable_then_the_platform(tmp_path: Path) -> None:
    environ = {"REBUS_HOME": str(tmp_path / "variable")}
    assert load_config(tmp_path / "argument", environ=environ).home == tmp_path / "argument"
    assert load_config(environ=environ).home == tmp_path / "variable"
    assert load_config(environ={}).home.name == "rebus"


def test_home_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config("library", environ={}).home == tmp_path / "library"


def test_a_named_file_replaces_the_one_in_the_home(tmp_path: Path) -> None:
    write(tmp_path, "[search]\nlimit = 10\n")
    named = tmp_path / "other.toml"
    named.write_text("[search]\ncandidates = 5\n")
    for config in (
        load_config(tmp_path, named, environ={}),
        load_config(tmp_path, environ={"REBUS_CONFIG": str(named)}),
    ):
        assert (config.search.candidates, config.search.limit) == (5, 24)


def test_a_list_in_the_environment_is_split_at_commas(tmp_path: Path) -> None:
    config = load_config(tmp_path, environ={"REBUS_CAPTIONS_LANGUAGES": "zh, en,,"})
    assert config.captions.languages == ("zh", "en")


def test_other_programs_variables_are_left_alone(tmp_path: Path) -> None:
    assert load_config(tmp_path, environ={"REBUSSEARCH_LIMIT": "3", "PATH": "x"}).search.limit == 24


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[serch]\nlimit = 3\n", ["[serch]", "search"]),
        ("[search]\nlimt = 3\n", ["search.limt", "limit"]),
        ("search = 3\n", ["[search]"]),
        ("home = '/tmp'\n", ["[home]"]),
        ("[search\n", ["TOML"]),
        ("[search]\nlimit = 'many'\n", ["search.limit", "'many'"]),
        ("[search]\nlimit = 0\n", ["search.limit", "0"]),
        ("[search]\nlimit = 2.5\n", ["search.limit", "2.5"]),
        ("[codec]\nbits = 100\n", ["codec.bits", "100"]),
        ("[encoder]\ndevice = 'tpu'\n", ["encoder.device", "'tpu'"]),
        ("[train]\nlearning_rate = nan\n", ["train.learning_rate", "nan"]),
        ("[train]\nheld_out = 1.0\n", ["train.held_out", "1.0"]),
        ("[captions]\nlanguages = ['en', 3]\n", ["captions.languages", "3"]),
        ("[captions]\nlanguages = []\n", ["captions.languages"]),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, named: list[str]) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path, environ={})
    assert [part for part in named if part not in str(error.value)] == []


def test_a_file_that_is_not_text_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"config\.toml cannot be read"):
        load_config(tmp_path, environ={})


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("REBUS_SERCH_LIMIT", "3", ["REBUS_SERCH_LIMIT"]),
        ("REBUS_SEARCH_LIMT", "3", ["REBUS_SEARCH_LIMT", "search.limt"]),
        ("REBUS_SEARCH", "3", ["REBUS_SEARCH"]),
        ("REBUS_SEARCH_LIMIT", "many", ["search.limit", "'many'"]),
        ("REBUS_SERVE_PORT", "70000", ["serve.port", "'70000'"]),
        ("REBUS_CAPTIONS_LANGUAGES", " , ", ["captions.languages"]),
        ("REBUS_CONFIG", "/nowhere/config.toml", ["/nowhere/config.toml", "REBUS_CONFIG"]),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(tmp_path: Path, name: str, value: str, named: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path, environ={name: value})
    assert [part for part in named if part not in str(error.value)] == []


@pytest.mark.parametrize(("flag", "value"), [("search.limit", 0), ("search.limt", 3), ("serch.limit", 3)])
def test_what_is_wrong_in_a_flag_is_named(tmp_path: Path, flag: str, value: int) -> None:
    with pytest.raises(ConfigError, match=flag.split(".")[0 if flag.startswith("serch") else 1]):
        load_config(tmp_path, overrides={flag: value}, environ={})


def test_every_setting_can_be_given_in_the_environment(tmp_path: Path) -> None:
    environ = {
        f"REBUS_{section}_{key}".upper(): ",".join(value) if isinstance(value, tuple) else str(value)
        for section, settings in defaults().items()
        for key, value in settings.items()
    }
    assert load_config(tmp_path, environ=environ) == load_config(tmp_path, environ={})


def test_settings_cannot_be_changed_once_read(tmp_path: Path) -> None:
    config = load_config(tmp_path, environ={})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.search.limit = 3  # type: ignore[misc]


def test_the_shipped_file_sets_nothing() -> None:
    assert tomllib.loads(SHIPPED.read_text(encoding="utf-8")) == {name: {} for name in SECTIONS}


def test_the_shipped_file_documents_every_setting_with_its_default() -> None:
    text = re.sub(r"^# (?=[a-z_]+ = )", "", SHIPPED.read_text(encoding="utf-8"), flags=re.MULTILINE)
    documented = tomllib.loads(text)
    expected = {
        name: {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
        for name, settings in defaults().items()
    }
    assert documented == expected
    assert [(name, list(keys)) for name, keys in documented.items()] == [(n, list(k)) for n, k in expected.items()]


def test_every_setting_of_the_shipped_file_is_explained_above_it() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    bare = [
        line
        for before, line in zip(lines, lines[1:], strict=False)
        if re.match(r"# [a-z_]+ = ", line) and not re.match(r"# .{15,}[^=]$", before)
    ]
    assert bare == []
