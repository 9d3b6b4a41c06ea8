"""Artifacts: written whole or not at all, and refused when anything about them changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.artifacts import FORMAT, MANIFEST, read_manifest, remove_leftovers, replace_file, write_artifact
from engine.errors import ArtifactError


def write(folder: Path, **files: bytes) -> Path:
    with write_artifact(folder, {"kind": "test", "number": 3}) as temporary:
        for name, data in files.items():
            (temporary / name).write_bytes(data)
    return folder


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write(tmp_path / "parent" / "one", a=b"alpha" * 100, b=b"")


def edit_manifest(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **changes}))


def rename_key(folder: Path, old: str, new: str) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest[new] = manifest.pop(old)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_what_was_written_is_read_back(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    assert (manifest["kind"], manifest["number"], manifest["format"]) == ("test", 3, FORMAT)
    assert {name: facts["bytes"] for name, facts in manifest["files"].items()} == {"a": 500, "b": 0}
    assert (artifact / "a").read_bytes() == b"alpha" * 100


def test_the_manifest_may_be_changed_inside_the_block(tmp_path: Path) -> None:
    manifest: dict[str, Any] = {"indexes": {}}
    with write_artifact(tmp_path / "one", manifest):
        manifest["indexes"]["image"] = 7
    assert read_manifest(tmp_path / "one")["indexes"] == {"image": 7}


def test_an_exception_inside_the_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), write_artifact(tmp_path / "parent" / "one", {}) as temporary:
        (temporary / "a").write_bytes(b"x")
        raise ZeroDivisionError
    assert list((tmp_path / "parent").iterdir()) == []


def test_a_manifest_that_is_not_json_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError), write_artifact(tmp_path / "one", {"path": tmp_path}):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_artifact_that_was_there(artifact: Path) -> None:
    with pytest.raises(ZeroDivisionError), write_artifact(artifact, {}):
        raise ZeroDivisionError
    assert read_manifest(artifact)["number"] == 3


def test_the_folder_does_not_exist_until_the_block_ends(tmp_path: Path) -> None:
    with write_artifact(tmp_path / "one", {}):
        assert not (tmp_path / "one").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_an_existing_artifact_is_replaced_whole(artifact: Path) -> None:
    write(artifact, c=b"new")
    assert list(read_manifest(artifact)["files"]) == ["c"]
    assert sorted(path.name for path in artifact.iterdir()) == ["c", MANIFEST]


def _folder_in_place(folder: Path) -> None:
    (folder / "b").unlink()
    (folder / "b").mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a file is altered": lambda folder: (folder / "a").write_bytes(b"alphA" * 100),
    "a file is truncated": lambda folder: (folder / "a").write_bytes(b"alpha" * 99),
    "a file has grown": lambda folder: (folder / "b").write_bytes(b"x"),
    "a file is missing": lambda folder: (folder / "b").unlink(),
    "a file is a folder": _folder_in_place,
    "the manifest is missing": lambda folder: (folder / MANIFEST).unlink(),
    "the manifest is cut": lambda folder: (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:-20]),
    "the manifest is empty": lambda folder: (folder / MANIFEST).write_bytes(b""),
    "the manifest is no text": lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe"),
    "the manifest is a list": lambda folder: (folder / MANIFEST).write_text("[]"),
    "the manifest names no files": lambda folder: edit_manifest(folder, files=None),
    "the files are a number": lambda folder: edit_manifest(folder, files=3),
    "the files are names": lambda folder: edit_manifest(folder, files=["a", "b"]),
    "the format is newer": lambda folder: edit_manifest(folder, format=FORMAT + 1),
    "the format is no number": lambda folder: edit_manifest(folder, format="x"),
    "the format is a list": lambda folder: edit_manifest(folder, format=[2]),
    "the format is made older": lambda folder: edit_manifest(folder, format=1),
    "a fact is altered": lambda folder: edit_manifest(folder, number=4),
    "a fact is added": lambda folder: edit_manifest(folder, more=4),
    "the hash of the manifest is gone": lambda folder: rename_key(folder, "xxh3_128", "other"),
    "the manifest is nested too deep": lambda folder: (folder / MANIFEST).write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_artifact_is_refused_with_what_to_do(artifact: Path, damage: Callable[[Path], object]) -> None:
    damage(artifact)
    with pytest.raises(ArtifactError, match="build it again"):
        read_manifest(artifact)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 499), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(artifact: Path, position: int, bit: int) -> None:
    whole = (artifact / "a").read_bytes()
    data = bytearray(whole)
    data[position] ^= 1 << bit
    (artifact / "a").write_bytes(data)
    with pytest.raises(ArtifactError, match="altered"):
        read_manifest(artifact)
    (artifact / "a").write_bytes(whole)
    read_manifest(artifact)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_of_the_manifest_is_noticed_or_says_the_same(artifact: Path, data: st.DataObject) -> None:
    whole, said = (artifact / MANIFEST).read_bytes(), read_manifest(artifact)
    altered = bytearray(whole)
    altered[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (artifact / MANIFEST).write_bytes(altered)
    try:
        assert read_manifest(artifact) == said  # a blank became another blank
    except ArtifactError as error:
        assert "build it again" in str(error)
    (artifact / MANIFEST).write_bytes(whole)


def test_a_manifest_of_the_first_format_is_read(artifact: Path) -> None:
    """It had no hash of itself."""
    manifest = json.loads((artifact / MANIFEST).read_text())
    del manifest["xxh3_128"]
    (artifact / MANIFEST).write_text(json.dumps({**manifest, "format": 1}))
    assert read_manifest(artifact)["number"] == 3


def test_leftovers_of_a_killed_process_are_removed_and_counted(artifact: Path) -> None:
    parent = artifact.parent
    (parent / ".tmp-dead").mkdir()
    (parent / ".tmp-dead" / "a").write_bytes(b"x")
    (parent / ".tmp-file").write_bytes(b"x")
    assert remove_leftovers(parent) == 2
    assert [path.name for path in parent.iterdir()] == ["one"]
    assert remove_leftovers(parent) == 0
    read_manifest(artifact)


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    assert remove_leftovers(tmp_path / "nowhere") == 0


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "thumb.jpg"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["thumb.jpg"]


def test_a_file_that_cannot_be_replaced_leaves_no_temporary(tmp_path: Path) -> None:
    (tmp_path / "thumb.jpg").mkdir()
    with pytest.raises(OSError):
        replace_file(tmp_path / "thumb.jpg", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["thumb.jpg"]
