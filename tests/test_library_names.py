"""The ten public names of engine: they are there, README tells of them, and its example runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine.config import Config

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## As a library")[2].partition("\n## ")[0]


def test_the_ten_names_are_those_of_the_readme() -> None:
    said = re.findall(r"`(\w+)`", SECTION.partition("```")[0])
    assert set(said) - {"engine"} == set(engine.__all__) and len(engine.__all__) == 10
    assert all(getattr(engine, name).__name__ == name for name in engine.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = engine.nothing


def test_the_example_of_the_readme_runs(
    library: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REBUS_HOME", str(library.home))
    example = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert len(example) == 1
    names: dict[str, object] = {}
    exec(compile(example[0], "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 6 and all("boats/" in line for line in printed[:5])
    assert "123456789" in printed[5]
    for name, count in (("words", 3), ("same", 5)):
        found = names[name]
        assert isinstance(found, engine.Results) and len(found.hits) == count
    names["searcher"].catalog.engine.dispose()  # type: ignore[attr-defined]


def test_a_name_is_imported_only_when_it_is_asked_for() -> None:
    program = "import engine, sys; engine.load_config; sys.exit('torch' in sys.modules or 'sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
