"""Tars of pictures, read as folders: what counts as one, what hostile ones hold, and how members are served."""

import io
import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError, NotFound
from engine.media import files, read_media
from engine.media.files import file_inside, hash_and_size, hash_bytes, hash_file, list_shard, open_file, read_file
from engine.media.tars import read_shard
from indexer.found import Folder
from indexer.sidecars import CaptionText
from indexer.walk import walk
from tests.folders import found as find
from tests.folders import said, table, texts, touch


def jpeg(color: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(out, "JPEG")
    return out.getvalue()


def tar(path: Path, members: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


SHARD = {"000.jpg": jpeg("red"), "000.txt": b"a boat", "000.json": b'{"tags": ["sea"]}', "001.jpg": jpeg("blue")}


def found(root: Path) -> dict[str, Folder]:
    return {folder.path: folder for folder in walk(root, root, root / ".home")}


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_shard_is_a_folder_with_its_own_sidecars(tmp_path: Path, format: int) -> None:
    path = tar(tmp_path / "sub" / "00000.tar", SHARD, format)
    folder = found(tmp_path)["sub/00000.tar"]
    assert [file.path for file in folder.media] == ["sub/00000.tar/000.jpg", "sub/00000.tar/001.jpg"]
    assert {file.mtime_ns for file in folder.media} == {path.stat().st_mtime_ns}
    assert folder.media[0].size == len(SHARD["000.jpg"]) and not folder.failures
    captions = said(tmp_path, "sub/00000.tar/000.jpg")
    assert captions.texts == [CaptionText("a boat", "en", "txt")] and captions.keywords == ["sea"]


def test_members_are_read_as_files(tmp_path: Path) -> None:
    place = tar(tmp_path / "00000.tar", SHARD)
    data = SHARD["001.jpg"]
    assert read_file(place / "001.jpg", 10**6) == data and hash_and_size(place / "001.jpg", 10**6)[1] == len(data)
    assert hash_file(place / "001.jpg", 10**6) == hash_bytes(data)
    assert read_media(place / "001.jpg", MediaSettings(), 10).frames[0].width == 40
    with open_file(place / "001.jpg", 10**6) as file:
        assert file.seek(-3, os.SEEK_END) == len(data) - 3 and file.read() == data[-3:] and file.read() == b""
        assert file.seek(10**9) and file.read(5) == b"" and file.seek(2) == 2 and file.read(4) == data[2:6]
    with pytest.raises(MediaError, match="over the limit of 10"):
        open_file(place / "001.jpg", 10)


def test_a_member_that_is_not_there_is_gone(tmp_path: Path) -> None:
    place = tar(tmp_path / "00000.tar", SHARD)
    for path in (
        place / "002.jpg",
        place / "sub" / "001.jpg",
        place / ".." / "00000.tar" / "no",
        tmp_path / "no.tar" / "a",
    ):
        with pytest.raises(MediaError, match="gone"):
            read_file(path, 10**6)


def test_a_tar_that_changes_is_looked_at_anew(tmp_path: Path) -> None:
    place = tar(tmp_path / "00000.tar", {"000.jpg": b"one"})
    assert read_file(place / "000.jpg", 100) == b"one"
    tar(place, {"0.txt": b"longer than before" * 1000, "000.jpg": b"two"})
    assert read_file(place / "000.jpg", 100) == b"two"


def test_few_tars_are_remembered(tmp_path: Path) -> None:
    for number in range(files._MOST_SHARDS + 9):
        assert read_file(tar(tmp_path / f"{number}.tar", {"a.jpg": b"%d" % number}) / "a.jpg", 100) == b"%d" % number
    assert len(files._shards) <= files._MOST_SHARDS


def test_a_folder_in_a_tar_and_names_with_a_dot_are_read(tmp_path: Path) -> None:
    members = {"./a.jpg": b"1", "./sub/b.jpg": b"2", "sub/b.txt": b"a boat", "./._a.jpg": b"x", "sub/.b.jpg": b"x"}
    members |= {"captions.jsonl": b'{"image": "sub/b.jpg", "en": "by table"}'}
    place = tar(tmp_path / "00000.tar", members)
    seen = found(tmp_path)
    assert [file.path for file in seen["00000.tar"].media] == ["00000.tar/a.jpg"]
    assert [file.path for file in seen["00000.tar/sub"].media] == ["00000.tar/sub/b.jpg"]
    assert texts(tmp_path, "00000.tar/sub/b.jpg") == ["a boat", "by table"]
    assert read_file(place / "sub" / "b.jpg", 10) == b"2"


def test_a_tar_has_the_captions_of_the_tables_above_and_beside_it(tmp_path: Path) -> None:
    tar(tmp_path / "out" / "00000.tar", SHARD)
    table(tmp_path, {"image": "001.jpg", "en": "from above"})
    shard = pa.table({"key": ["000", "001"], "caption": ["a boat", "a tree"], "url": ["u", "u"]})
    pq.write_table(shard, tmp_path / "out" / "00000.parquet")
    assert texts(tmp_path, "out/00000.tar/001.jpg") == ["a tree", "from above"]


def test_ignore_rules_hold_inside_a_tar(tmp_path: Path) -> None:
    tar(tmp_path / "00000.tar", SHARD)
    tar(tmp_path / "no.tar", SHARD)
    (tmp_path / ".rebusignore").write_text("000.jpg\nno.tar\n")
    assert {path: [file.path for file in folder.media] for path, folder in found(tmp_path).items()} == {
        "": [],
        "00000.tar": ["00000.tar/001.jpg"],
    }


def odd(path: Path, *members: tuple[str, bytes, str]) -> None:
    """A tar of members of any type: (name, type, link)."""
    with tarfile.open(path, "w") as archive:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"data"))


@pytest.mark.parametrize(
    "members",
    [
        [("notes.doc", tarfile.REGTYPE, ""), ("a.jpg", tarfile.REGTYPE, "")],
        [("a.jpg", tarfile.REGTYPE, ""), ("b.jpg", tarfile.SYMTYPE, "/etc/passwd")],
        [("a.jpg", tarfile.REGTYPE, ""), ("b.jpg", tarfile.LNKTYPE, "a.jpg")],
        [("a.jpg", tarfile.REGTYPE, ""), ("b.jpg", tarfile.CHRTYPE, "")],
        [("a.jpg", tarfile.REGTYPE, ""), ("b.jpg", tarfile.FIFOTYPE, "")],
        [("a.jpg", tarfile.REGTYPE, ""), ("x/y/b.jpg", tarfile.REGTYPE, "")],
        [("a.jpg", tarfile.REGTYPE, ""), ("../b.jpg", tarfile.REGTYPE, "")],
        [("/a.jpg", tarfile.REGTYPE, "")],
        [("sub", tarfile.DIRTYPE, "")],
    ],
)
def test_other_archives_are_not_opened(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    odd(tmp_path / "00000.tar", *members)
    assert list(found(tmp_path)) == [""]
    with pytest.raises(MediaError, match="gone"):
        read_file(tmp_path / "00000.tar" / "a.jpg", 100)


def test_what_is_only_called_a_tar_is_left_alone(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("000.jpg"))
    (tmp_path / "b.tar").write_bytes(b"")
    (tmp_path / "c.tar").write_bytes(b"\0" * 4096)
    (tmp_path / "d.tar").symlink_to("a.tar")
    os.mkfifo(tmp_path / "e.tar")
    touch(tmp_path / "f.tar" / "a.jpg")
    seen = found(tmp_path)
    assert list(seen) == ["", "f.tar"]
    assert {name: failure.reason for name, failure in seen[""].failures.items()} == {"e.tar": "not a regular file"}
    assert [file.path for file in seen["f.tar"].media] == ["f.tar/a.jpg"]
    assert read_file(tmp_path / "f.tar" / "a.jpg", 9) == b"x"


def test_a_tar_that_cannot_be_opened_hides_nothing_that_was_indexed(tmp_path: Path) -> None:
    place = tar(tmp_path / "00000.tar", SHARD)
    walking = walk(tmp_path, tmp_path, tmp_path / ".home")
    next(walking)
    place.unlink()
    (folder,) = walking
    assert folder.unread and folder.failures["00000.tar"].reason == "it is gone"


@pytest.mark.parametrize("cut", [600, 1024, 3000, 3584, 4100])
def test_of_a_truncated_tar_what_is_whole_is_used(tmp_path: Path, cut: int) -> None:
    whole = tar(tmp_path / "whole", {f"00{number}.jpg": bytes([65 + number]) * 700 for number in range(4)}).read_bytes()
    (tmp_path / "00000.tar").write_bytes(whole[:cut])
    seen = found(tmp_path)["00000.tar"]
    assert [file.path for file in seen.media] == [f"00000.tar/00{number}.jpg" for number in range((cut + 324) // 1536)]
    assert "ends early" in seen.failures["00000.tar"].reason
    for number, file in enumerate(seen.media):
        assert read_file(tmp_path / file.path, 1000) == bytes([65 + number]) * 700


def test_a_link_to_a_tar_is_not_followed(tmp_path: Path) -> None:
    outside = tar(tmp_path / "outside" / "00000.tar", SHARD)
    root = tmp_path / "root"
    root.mkdir()
    (root / "00000.tar").symlink_to(outside)
    seen = found(root)
    assert list(seen) == [""] and "out of the media folder" in seen[""].failures["00000.tar"].reason
    with pytest.raises(MediaError, match="link"):
        read_file(root / "00000.tar" / "000.jpg", 10**6)
    with pytest.raises(NotFound):
        file_inside(root, root / "00000.tar" / "000.jpg")


def test_a_member_may_be_sent_when_its_tar_lies_inside_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    place = tar(root / "00000.tar", SHARD)
    other = tar(tmp_path / "other.tar", SHARD)
    assert file_inside(root, place / "000.jpg") == place / "000.jpg"
    for path in (place / "002.jpg", other / "000.jpg", root / ".." / "other.tar" / "000.jpg", place / "." / ".." / "x"):
        with pytest.raises(NotFound):
            file_inside(root, path)


def header(size: bytes, kind: bytes = b"0", name: bytes = b"001.jpg") -> bytes:
    """A tar header that claims a size, with a right checksum."""
    block = bytearray(512)
    block[: len(name)], block[124 : 124 + len(size)], block[156:157] = name, size, kind
    block[257:265], block[148:156] = b"ustar\x0000", b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


NEGATIVE = b"\xff" * 10 + b"\xfe\x00"  # -512 in base 256


@pytest.mark.parametrize("kind", [b"0", b"x", b"g", b"L", b"K", b"S", b"V"])
@pytest.mark.parametrize("size", [NEGATIVE, b"77777777777\0", b"\x80" + b"\x7f" * 11, b"not octal\0"])
def test_sizes_that_lie_cost_neither_time_nor_memory(tmp_path: Path, kind: bytes, size: bytes) -> None:
    whole = tar(tmp_path / "whole", {"000.jpg": b"x" * 100}).read_bytes()[:1024]
    (tmp_path / "00000.tar").write_bytes(whole + header(size, kind) + b"1 x=y\n" * 500)
    seen = found(tmp_path).get("00000.tar")
    if seen is not None:
        assert [file.path for file in seen.media] == ["00000.tar/000.jpg"] and "00000.tar" in seen.failures
    shard = list_shard(tmp_path / "00000.tar")
    assert shard is None or all(start + length <= 4536 for start, length in shard.members.values())


@given(st.binary(max_size=100), st.integers(0, 3000), st.integers(0, 600))
def test_whatever_a_tar_holds_members_lie_within_it(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, cut: int
) -> None:
    whole = tar(tmp_path_factory.getbasetemp() / "any.tar", {"000.jpg": b"x" * 700, "sub/001.txt": b"y"}).read_bytes()
    data = whole[:at] + noise + whole[at + cut :]
    shard = read_shard(io.BytesIO(data))
    for name, (start, size) in (shard.members if shard else {}).items():
        assert 0 <= start <= start + size <= len(data)
        assert name and not name.startswith("/") and ".." not in name.split("/") and name.count("/") <= 1


def test_members_beyond_the_limit_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.media.tars._MOST_MEMBERS", 2)
    tar(tmp_path / "00000.tar", SHARD)
    folder = found(tmp_path)["00000.tar"]
    assert [file.path for file in folder.media] == ["00000.tar/000.jpg"]
    assert "more than 2 files" in folder.failures["00000.tar"].reason


def test_members_of_tars_count_where_a_table_names_them(tmp_path: Path) -> None:
    tar(tmp_path / "sub" / "00000.tar", SHARD)
    names = ("b.jpg", "001.jpg", "sub/00000.tar/000.jpg", "002.jpg")
    table(tmp_path, *({"image": name, "en": "x"} for name in names))
    touch(tmp_path / "b.jpg")
    reader, folder, file = find(tmp_path, "b.jpg")
    reader.read(folder, file)
    reader.unmatched()
    assert reader.failures["captions.jsonl"].reason == "1 line about no file that is here, the first: 002.jpg"
