"""The repository keeps its promises: the documentation names what exists, and nothing names a machine."""

import re
import subprocess
from pathlib import Path

import pytest

import rebus

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listing.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize("name", sorted(rebus.cli.commands))
def test_every_command_and_its_help_are_documented(name: str) -> None:
    assert f"`rebus {name}" in README and rebus.cli.commands[name].help


def test_every_documented_command_exists() -> None:
    assert set(re.findall(r"`rebus ([a-z]+)", README)) <= set(rebus.cli.commands)


def test_the_readme_begins_with_the_two_commands() -> None:
    assert re.search(r"^# Rebus.*?```sh\nmake demo.*?\nmake test.*?\n```", README, re.DOTALL)


def test_the_lock_has_hashes_and_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    names = re.findall(r"^([a-z0-9_.-]+)==", lock, re.MULTILINE)
    assert {"torch", "torchvision", "faiss-gpu", "faiss-cpu", "open-clip-torch", "flask", "sqlalchemy"} <= set(names)
    assert "://" not in lock and "--index" not in lock and "--find-links" not in lock
    blocks = re.split(r"^(?=[a-z0-9_.-]+==)", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


def test_no_file_is_over_500_lines() -> None:
    long = {p.name: n for p in tracked() if p.suffix == ".py" and (n := len(p.read_text().splitlines())) > 500}
    assert not long
