"""The walk over a folder: its order, what it passes over, what it tells of, what becomes of text beside pictures."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import warnings
from pathlib import Path

import pathspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.media import modality_of
from indexer.found import Folder
from indexer.rules import rules_of
from indexer.walk import walk
from tests.folders import touch

REPOSITORY = Path(__file__).parent.parent
TEXT_IS_MEDIA = modality_of("a.txt") is not None


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        touch(root / path)
    return root


def folders(root: Path, start: str = "", exclude: tuple[str, ...] = (), home: str = ".home") -> list[Folder]:
    return list(walk(root, root / start, root / home, exclude))


def media(root: Path, start: str = "", exclude: tuple[str, ...] = (), home: str = ".home") -> list[str]:
    return [file.path for folder in folders(root, start, exclude, home) for file in folder.media]


def failures(root: Path) -> dict[str, str]:
    return {path: error.reason for folder in folders(root) for path, error in folder.failures.items()}


def test_files_come_in_order_and_before_those_of_the_folders_below(tmp_path: Path) -> None:
    make(tmp_path, "b/2.jpg", "b/c/3.jpg", "a/1.jpg", "z.jpg", "A.jpg", "b-d/4.jpg", "b/notes.doc")
    assert media(tmp_path) == ["A.jpg", "z.jpg", "a/1.jpg", "b/2.jpg", "b/c/3.jpg", "b-d/4.jpg"]
    assert [folder.path for folder in folders(tmp_path)] == ["", "a", "b", "b/c", "b-d"]


def test_a_file_tells_its_size_and_time(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(5, 1_000_000_007))
    (file,) = folders(tmp_path)[0].media
    assert (file.path, file.size, file.mtime_ns) == ("a.jpg", 1, 1_000_000_007)


def test_hidden_and_service_folders_and_the_home_are_passed_over(tmp_path: Path) -> None:
    make(
        tmp_path,
        "a.jpg",
        ".b.jpg",
        ".c/d.jpg",
        "@eaDir/e.jpg",
        "x/node_modules/f.jpg",
        "lib/thumbs/g.jpg",
        "x/lib/h.jpg",
    )
    assert media(tmp_path, home="lib") == ["a.jpg", "x/lib/h.jpg"]
    make(tmp_path, "thumbs/i.jpg", "x/thumbs/j.jpg")
    assert "thumbs/i.jpg" not in media(tmp_path, home="") and "x/thumbs/j.jpg" in media(tmp_path, home="")


def test_patterns_of_the_settings_are_relative_to_the_root(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a.png", "raw/b.jpg", "x/raw/c.jpg", "x/d.jpg")
    assert media(tmp_path, exclude=("*.png", "/raw/")) == ["a.jpg", "x/d.jpg", "x/raw/c.jpg"]
    assert media(tmp_path, start="x", exclude=("x/raw", "d.jpg")) == []
    with pytest.raises(InvalidInput, match="index.exclude"):
        media(tmp_path, exclude=("!",))


def test_the_innermost_ignore_file_decides(tmp_path: Path) -> None:
    make(tmp_path, *(f"{folder}{name}.jpg" for folder in ("", "x/", "x/y/", "no/") for name in "abc"))
    (tmp_path / ".rebusignore").write_text("# all of\na.jpg\n/b.jpg\nno/\nx/c.jpg\n")
    (tmp_path / "x" / ".rebusignore").write_text("!a.jpg\n")
    (tmp_path / "x" / "y" / ".rebusignore").write_text("*\n!c.jpg\n")
    (tmp_path / "no" / ".rebusignore").write_text("!*.jpg\n")
    expected = ["c.jpg", "x/a.jpg", "x/b.jpg", "x/y/c.jpg"]
    assert media(tmp_path) == expected
    assert media(tmp_path, start="x") == expected[1:]
    assert media(tmp_path, start="x/y") == expected[3:]


def test_sidecars_and_tables_may_be_ignored_too(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a.json", "captions.csv")
    (tmp_path / ".rebusignore").write_text("a.json\ncaptions.csv\n")
    (folder,) = folders(tmp_path)
    assert folder.sidecars == {} and folder.tables == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a.jpg\n\xff", "not UTF-8"),
        (b"[z-a]\n", "bad character range"),
        (b"a\\\n", "Invalid git pattern"),
        (b"a/**/b/**/c/**/d\n", r"more than 2 \*\*"),
        (b"x" * 501, "501 characters"),
        (b"x\n" * 1001, "1,001 lines"),
        (b"x" * 65537, "65,537 bytes"),
        (None, "not a regular file"),
    ],
)
def test_a_folder_whose_ignore_file_cannot_be_used_is_passed_over(
    tmp_path: Path, data: bytes | None, reason: str
) -> None:
    make(tmp_path, "a.jpg", "x/a.jpg", "x/y/b.jpg", "z.jpg")
    if data is None:
        os.mkfifo(tmp_path / "x" / ".rebusignore")
    else:
        (tmp_path / "x" / ".rebusignore").write_bytes(data)
    assert media(tmp_path) == ["a.jpg", "z.jpg"]
    (folder,) = [folder for folder in folders(tmp_path) if folder.unread]
    (error,) = folder.failures.values()
    assert folder.path == "x" and [*folder.failures] == ["x/.rebusignore"]
    assert re.search(reason, error.reason) and "passed over until then" in error.hint
    assert media(tmp_path, "x/y") == [] and folders(tmp_path, "x/y")[0].unread


def test_a_walk_that_starts_in_an_ignored_folder_finds_nothing(tmp_path: Path) -> None:
    make(tmp_path, "no/a.jpg", "no/x/b.jpg")
    (tmp_path / ".rebusignore").write_text("no/\n")
    (tmp_path / "no" / ".rebusignore").write_text("!*.jpg\n")
    assert media(tmp_path, "no/x") == media(tmp_path, "no") == []


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 13 + "*b", "a" * 200),
        ("*[(]" * 12 + "*b", "(" * 200),
        ("*?" * 12 + "*b", "a" * 200),
        ("*[!x]*[]a]" * 6 + "*b", "a" * 200),
        ("**" * 100 + "b", "a" * 200),
    ],
)
def test_no_pattern_takes_long(pattern: str, name: str) -> None:
    began = time.process_time()
    assert not rules_of([pattern]).match(name, folder=False)
    assert rules_of([pattern]).match(f"{name}b", folder=False)
    assert time.process_time() - began < 5


GLOBS = st.lists(st.sampled_from([*"ab*?/!.([-&", "[ab]", "[[a]", "[+--]", "[a&&b]", "**/", "\\*"]), max_size=12).map(
    "".join
)


@given(GLOBS, st.text(st.sampled_from("ab/.(*[-&,"), min_size=1, max_size=12))
def test_patterns_mean_what_git_has_them_mean(pattern: str, path: str) -> None:
    try:
        rules = rules_of([pattern])
    except InvalidInput:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of `re`, which is told of no such pattern by ours
        plain = pathspec.GitIgnoreSpec.from_lines([pattern])
    assert rules.match(path, folder=False) == bool(plain.check_file(path).include)


def test_classes_by_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\[\[:alpha:\]\].*write \[a-z\]"):
        rules_of(["[[:alpha:]].jpg"])


def test_links_are_not_followed_and_told_when_they_lead_out(tmp_path: Path) -> None:
    outside, root = make(tmp_path / "outside", "a.jpg"), make(tmp_path / "root", "in/b.jpg")
    for name, target in [
        ("out.jpg", outside / "a.jpg"),
        ("out", outside),
        ("within.jpg", root / "in" / "b.jpg"),
        ("within", root / "in"),
        ("broken.jpg", root / "gone.jpg"),
        ("circle.jpg", root / "circle.jpg"),
        ("notes.doc", outside / "a.jpg"),
    ]:
        (root / name).symlink_to(target)
    assert media(root) == ["in/b.jpg"]
    told = failures(root)
    assert set(told) == {"out.jpg", "out", "broken.jpg", "circle.jpg"}
    assert "out of the media folder" in told["out"] and "broken" in told["broken.jpg"]


def test_a_linked_sidecar_is_not_read(tmp_path: Path) -> None:
    outside, root = make(tmp_path / "outside", "a.txt"), make(tmp_path / "root", "a.jpg")
    (root / "a.txt").symlink_to(outside / "a.txt")
    (root / "captions.jsonl").symlink_to(outside / "a.txt")
    (root / "metadata").symlink_to(outside)
    (folder, *_) = folders(root)
    assert folder.sidecars == {} and folder.tables == ()


def test_folders_too_deep_are_told_once(tmp_path: Path) -> None:
    place = tmp_path
    for _ in range(140):
        place /= "d"
        place.mkdir()
    touch(place / "a.jpg")
    assert media(tmp_path) == []
    assert [path.count("/") + 1 for path in failures(tmp_path)] == [129]


def test_names_that_are_no_text_are_told(tmp_path: Path) -> None:
    for path in (b"caf\xe9.jpg", b"d\xff/b.jpg", b"caf\xe9.txt"):
        whole = os.fsencode(tmp_path) + b"/" + path
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(b"x")
    assert media(tmp_path) == [] and set(failures(tmp_path)) == {"caf\\xe9.jpg", "d\\xff", "caf\\xe9.txt"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a").chmod(0)
    try:
        found = {folder.path: folder for folder in folders(tmp_path)}
    finally:
        (tmp_path / "a").chmod(0o700)
    assert found["a"].unread and "cannot be read" in found["a"].failures["a"].reason and found["b"].media


def test_a_folder_whose_files_cannot_be_looked_at_is_not_read(tmp_path: Path) -> None:
    """In a process of its own: root may look at anything, so there it gives up that right first."""
    make(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg")
    program = [sys.executable, "-c", "import sys; from tests.test_walk import told; print(told(sys.argv[1]))"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("there is no setpriv to give up root's rights with")
        program = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *program]
    (tmp_path / "a").chmod(0o444)
    done = subprocess.run([*program, str(tmp_path)], capture_output=True, text=True, timeout=60, cwd=REPOSITORY)
    (tmp_path / "a").chmod(0o700)
    assert done.stdout == "{'': '', 'a': 'the folder cannot be read: Permission denied', 'b': ''}\n", done.stderr


def told(root: str) -> dict[str, str]:
    """Each folder below, and why it was not read."""
    return {one.path: one.failures[one.path].reason if one.unread else "" for one in folders(Path(root))}


def test_a_folder_that_is_gone_by_now_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg")
    found = walk(tmp_path, tmp_path, tmp_path / ".home")
    next(found)
    (tmp_path / "a" / "1.jpg").unlink()
    (tmp_path / "a").rmdir()
    (folder,) = found
    assert folder.unread and folder.path == "a"


def test_tables_of_the_folders_above_hold_wherever_the_walk_starts(tmp_path: Path) -> None:
    make(
        tmp_path,
        "captions.jsonl",
        "x/captions.csv",
        "x/Metadata.CSV",
        "x/00000/1.jpg",
        "x/00000.parquet",
        "x/00001.parquet",
    )
    make(tmp_path, "metadata/metadata_0.parquet", "metadata/other.parquet")
    expected = ["x/00000.parquet", "x/Metadata.CSV", "x/captions.csv", "captions.jsonl", "metadata/metadata_0.parquet"]
    for start in ("", "x", "x/00000"):
        (folder,) = (folder for folder in folders(tmp_path, start) if folder.path == "x/00000")
        assert [table.path for table in folder.tables] == expected
    with tarfile.open(tmp_path / "x" / "00001.tar", "w") as archive:
        archive.add(tmp_path / "x" / "00000" / "1.jpg", "1.jpg")
    for start in ("x", "x/00001.tar"):
        (tar,) = (folder for folder in folders(tmp_path, start) if folder.path == "x/00001.tar")
        assert [table.path for table in tar.tables] == ["x/00001.parquet", *expected[1:]]
        assert [file.path for file in tar.media] == ["x/00001.tar/1.jpg"]


def test_sidecars_are_known_in_any_case_and_are_no_media(tmp_path: Path) -> None:
    names = {"a.TXT", "a.json", "a.jpg.XMP", "Captions.JSONL", "captions.parquet", "00000.Parquet", "metadata.csv"}
    make(tmp_path, "a.jpg", "other.parquet", "other.csv", *names)
    (folder,) = folders(tmp_path)
    assert set(folder.sidecars) == names and [file.path for file in folder.media] == ["a.jpg"]
    assert {table.path for table in folder.tables} == {"Captions.JSONL", "captions.parquet", "metadata.csv"}


@pytest.mark.parametrize("name", ["a.txt", "a.jpg.txt", "a.TXT"])
def test_text_beside_a_picture_is_its_captions(tmp_path: Path, name: str) -> None:
    make(tmp_path, "a.jpg", name)
    (folder,) = folders(tmp_path)
    assert [file.path for file in folder.media] == ["a.jpg"] and list(folder.sidecars) == [name]


def test_the_captions_of_an_ignored_picture_are_no_document(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a.txt", "b.jpg")
    assert media(tmp_path, exclude=("*.png",)) == ["b.jpg"]


@pytest.mark.skipif(not TEXT_IS_MEDIA, reason="text files are not indexed")
def test_other_text_is_a_document_and_describes_nothing(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "ab.txt", "a.md", "notes.txt", "notes.md", "sub/a.txt")
    seen = {folder.path: folder for folder in folders(tmp_path)}
    assert [file.path for file in seen[""].media] == ["a.jpg", "a.md", "ab.txt", "notes.md", "notes.txt"]
    assert seen[""].sidecars == {} == seen["sub"].sidecars and [f.path for f in seen["sub"].media] == ["sub/a.txt"]


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(names, names), max_size=6), st.lists(names.map(lambda name: name + "*"), max_size=2))
def test_any_names_are_walked_twice_alike(
    tmp_path_factory: pytest.TempPathFactory, paths: list[tuple[str, str]], exclude: list[str]
) -> None:
    root = tmp_path_factory.mktemp("any")
    for folder, name in paths:
        if folder.strip(".") and name.strip("."):
            touch(root / f"d{folder}" / f"{name}.jpg")
    try:
        first = media(root, exclude=tuple(exclude))
    except InvalidInput:
        return
    assert first == media(root, exclude=tuple(exclude)) and len(first) == len(set(first))
    assert all((root / path).is_file() for path in first)
    shown = {p.relative_to(root).as_posix() for p in root.rglob("*.jpg") if not p.name.startswith(".")}
    assert set(first) <= shown and (exclude or set(first) == shown)


def test_what_is_called_as_captions_and_is_no_file_is_told(tmp_path: Path) -> None:
    make(tmp_path, "x.jpg", "dir.tar/in.jpg")
    names = ["captions.jsonl", "p.tar", "x.jpg.txt", "x.json", "x.xmp"]
    for name in names:
        os.mkfifo(tmp_path / name)
    assert failures(tmp_path) == dict.fromkeys(names, "not a regular file")
    assert media(tmp_path) == ["x.jpg", "dir.tar/in.jpg"]
