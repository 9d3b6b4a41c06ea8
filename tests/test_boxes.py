"""Films and sounds leave the machine only when each of their parts is of a kind that says nothing of a place."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_originals import _film, _sound
from webui.boxes import is_harmless, is_known
from webui.originals import is_kept_back

KINDS = {
    "a.mp4": "mov,mp4,m4a,3gp,3g2,mj2",
    "a.webm": "matroska,webm",
    "a.wav": "wav",
    "a.mp3": "mp3",
    "a.flac": "flac",
    "a.ogg": "ogg",
}
TELLS = b"38.7223N 9.1393W C3441324567890"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A file of each kind that nothing is wrong with."""
    folder = tmp_path_factory.mktemp("films")
    made = {"a.mp4": _film(folder / "a.mp4"), "a.webm": _film(folder / "a.webm", "libvpx")}
    for name, codec in (("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.ogg", "flac")):
        with av.open(str(folder / name), "w") as container:
            container.metadata["title"] = "A title"
            stream = container.add_stream(codec, rate=48000, layout="stereo")
            assert isinstance(stream, av.AudioStream)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="stereo")
            frame.rate = 48000
            for packet in (*stream.encode(frame), *stream.encode()):
                container.mux(packet)
        made[name] = (folder / name).read_bytes()
    return made | {"a.mp3": _sound(folder / "a.mp3")}


def box(name: bytes, content: bytes = TELLS) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


def keyed(name: bytes) -> bytes:
    """Tags as phones write them: a list of names, and a value for the first."""
    value = box(b"\0\0\0\1", box(b"data", b"\0\0\0\1" + bytes(4) + b"14"))
    keys = box(b"keys", bytes(4) + b"\0\0\0\1" + box(b"mdta", name))
    handler = box(b"hdlr", bytes(8) + b"mdta" + bytes(13))
    return box(b"meta", bytes(4) + handler + keys + box(b"ilst", value))


def element(name: bytes, content: bytes) -> bytes:
    return name + bytes((0x80 + len(content),)) + content


def tags(name: bytes, words: bytes) -> bytes:
    """One tag of Matroska."""
    simple = element(b"\x67\xc8", element(b"\x45\xa3", name) + element(b"\x44\x87", words))
    return element(b"\x12\x54\xc3\x67", element(b"\x73\x73", simple))


def info(name: bytes, words: bytes) -> bytes:
    """A list of words of a WAV."""
    said = name + len(words).to_bytes(4, "little") + words + bytes(len(words) % 2)
    return b"LIST" + (4 + len(said)).to_bytes(4, "little") + b"INFO" + said


def within(data: bytes, more: bytes) -> bytes:
    """With a further box in `moov`, which is the last in the file."""
    at = data.rindex(b"moov") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    assert at + size == len(data)
    return data[:at] + (size + len(more)).to_bytes(4, "big") + data[at + 4 :] + more


def tagged(frame: bytes) -> Callable[[bytes], bytes]:
    """With one frame of ID3 before everything else."""
    tag = frame + len(TELLS).to_bytes(4, "big") + bytes(2) + TELLS
    return lambda data: b"ID3\x03\0\0" + bytes((0, 0, 0, len(tag))) + tag + data


@pytest.mark.parametrize("name", KINDS)
def test_known_kinds_are_given(tmp_path: Path, whole: dict[str, bytes], name: str) -> None:
    (tmp_path / name).write_bytes(whole[name])
    assert not is_kept_back(tmp_path / name, 10**7)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("a.mp4", lambda data: data + box(b"uuid")),
        ("a.mp4", lambda data: data + box(b"free")),
        ("a.mp4", lambda data: data + box(b"free", bytes(2**20 + 1))),
        ("a.mp4", lambda data: within(data, box(b"GPMF"))),
        ("a.mp4", lambda data: within(data, box(b"udta", box(b"GPMF")))),
        ("a.mp4", lambda data: within(data, box(b"udta", box(b"CAME")))),
        ("a.mp4", lambda data: within(data, box(b"udta", box(b"\xa9xyz")))),
        ("a.mp4", lambda data: within(data, box(b"udta", box(b"loci")))),
        ("a.mp4", lambda data: within(data, box(b"meta", bytes(4) + box(b"ilst", box(b"----"))))),
        ("a.mp4", lambda data: within(data, keyed(b"com.maker.log"))),
        ("a.mp4", lambda data: data + b"\0\0\0\1free" + bytes(7) + b"\4"),
        ("a.mp4", lambda data: data + box(b"mdat")),
        ("a.mp4", lambda data: within(data, box(b"udta", box(b"\xa9cmt", b"\0\5\x15\xc7words")))),
        ("a.mp4", lambda data: within(data, box(b"udta", box(b"\xa9nam", b"\0\x12\x15\xc7+38.7223-009.1393/")))),
        ("a.mp4", lambda data: data[: data.index(b"mdat") - 4] + box(b"mdat", bytes(900) + data[-900:])),
        ("a.webm", lambda data: data + tags(b"PLACE", b"Lisbon")),
        ("a.webm", lambda data: data + tags(b"COMMENT", b"words")),
        ("a.webm", lambda data: data + tags(b"TITLE", b"GPS(+38.7,-9.13)")),
        ("a.webm", lambda data: data + element(b"\x12\x54\xc3\x67", element(b"\x44\x85", TELLS))),
        ("a.wav", lambda data: data + info(b"IARL", b"38.7223")),
        ("a.wav", lambda data: data + info(b"ICMT", b"words")),
        ("a.wav", lambda data: data + info(b"INAM", b"38.7223N 9.1393W")),
        ("a.mp3", lambda data: data + b"APETAGEX" + bytes(24) + b"Location\0Lisbon"),
        ("a.mp3", lambda data: data + (b"TAG" + TELLS).ljust(128, b"\0")),
        ("a.mp3", lambda data: data + b"LYRICSBEGININD0000200" + TELLS),
        ("a.mp3", tagged(b"COMM")),
        ("a.mp3", tagged(b"TXXX")),
        ("a.mp3", tagged(b"TIT2")),
        ("a.flac", lambda data: data + b"APETAGEX" + bytes(24) + b"Location\0Lisbon"),
        ("a.flac", lambda data: data + (b"TAG" + TELLS).ljust(128, b"\0")),
        ("a.ogg", lambda data: data + TELLS),
        ("a.webm", lambda data: data + b"\x4d\x80\x9f" + TELLS),
        ("a.webm", lambda data: data + bytes((0xEC, 0x80 + len(TELLS))) + TELLS),
        ("a.wav", lambda data: data + b"iXML" + (32).to_bytes(4, "little") + TELLS.ljust(32)),
        ("a.mp3", tagged(b"GEOB")),
        ("a.mp3", tagged(b"PRIV")),
        ("a.flac", lambda data: data[:4] + b"\x02" + len(TELLS).to_bytes(3, "big") + TELLS + data[4:]),
    ],
)
def test_a_part_of_no_known_kind_keeps_it_back(
    tmp_path: Path, whole: dict[str, bytes], name: str, spoil: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(spoil(whole[name]))
    assert is_kept_back(tmp_path / name, 10**7)


def test_parts_that_say_nothing_are_given(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for number, data in enumerate((
        whole["a.mp4"] + box(b"free", bytes(99)),
        within(whole["a.mp4"], box(b"udta", box(b"\xa9nam", b"\0\7\x15\xc7A title"))),
        within(whole["a.mp4"], box(b"udta", bytes(4))),
        within(whole["a.mp4"], keyed(b"com.android.version")),
    )):  # fmt: skip
        (tmp_path / f"{number}.mp4").write_bytes(data)
        assert not is_kept_back(tmp_path / f"{number}.mp4", 10**7), number


@pytest.mark.parametrize(
    ("name", "spoil"),
    [("a.webm", lambda data: data + tags(b"ARTIST", b"Somebody")), ("a.wav", lambda data: data + info(b"IART", b"Me")),
     ("a.mp3", lambda data: b"ID3\x03\0\0\0\0\0\x0fTIT2\0\0\0\5\0\0\0Name" + data), ("a.mp3", lambda data: data[:-9])],
)  # fmt: skip
def test_harmless_tags_are_given(
    tmp_path: Path, whole: dict[str, bytes], name: str, spoil: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(spoil(whole[name]))
    assert not is_kept_back(tmp_path / name, 10**7)


@pytest.mark.parametrize(
    "words",
    ["GPS(+38.7,-9.13)", "+38.7223-009.1393/", "38.7223, 9.1393", "38.72 N 9.13 W", "38°43'20\"N", "geo:38,9",
     "$GPGGA,123519", "at -9,13", "N38 43.2 W9 8.1", "38 deg 43", "38.722/9.139", "Latitude 38"],
)  # fmt: skip
def test_what_is_like_a_coordinate_is_no_title(words: str) -> None:
    assert not is_harmless("title", words)


@pytest.mark.parametrize(
    ("name", "words"),
    [("ENCODER", "Lavf60.16.100"), ("encoder", "Lavc60.31.102 libx264"), ("DURATION", "00:00:02.000000000"),
     ("date", "2024-05-01"), ("creation_time", "2024-05-01T12:00:00.123456Z"), ("encoder", "LAME3.100"),
     ("title", "Op. 27, No. 2 (1801) 1,000 miles"), ("track", "3/12"), ("compatible_brands", "isomiso2avc1mp41"),
     ("vendor_id", "[0][0][0][0]"), ("title", "Part 1, S01 E02"), ("encoder", "HandBrake 1.6.1 2023012300"),
     ("title", "7 Nation Army"), ("title", "In 3 Weeks")],
)  # fmt: skip
def test_what_titles_and_releases_say_is_no_coordinate(name: str, words: str) -> None:
    assert is_harmless(name, words)


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.ts", "mpeg4"), ("a.wmv", "wmv2")])
def test_other_kinds_are_kept_back(tmp_path: Path, name: str, codec: str) -> None:
    _film(tmp_path / name, codec)
    assert is_kept_back(tmp_path / name, 10**7)


def test_places_that_camcorders_write_into_pictures_are_marks(tmp_path: Path, whole: dict[str, bytes]) -> None:
    at = whole["a.mp4"].index(b"mdat") + 8
    said = bytes.fromhex("17ee8c60f84d11d98cd60800200c9a66") + b"MDPM"
    assert len(whole["a.mp4"]) > at + len(said) + 100
    (tmp_path / "a.mp4").write_bytes(whole["a.mp4"][:at] + said + whole["a.mp4"][at + len(said) :])
    assert is_kept_back(tmp_path / "a.mp4", 10**7)


@given(
    st.sampled_from(sorted(KINDS)), st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=4),
    st.floats(0, 1), st.binary(max_size=64),
)  # fmt: skip
def test_anything_is_followed_to_an_end(
    whole: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, name: str,
    spoiled: list[tuple[float, bytes]], cut: float, more: bytes,
) -> None:  # fmt: skip
    data = bytearray(whole[name])
    for place, junk in spoiled:
        at = int(place * (len(data) - 1))
        data[at : at + len(junk)] = junk
    path = tmp_path_factory.getbasetemp() / f"spoiled-{name}"
    path.write_bytes(bytes(data[: int(cut * len(data))]) + more)
    assert is_known(path, KINDS[name]) in (True, False)


def test_boxes_within_boxes_without_end_are_not_followed(tmp_path: Path) -> None:
    deep = b""
    for _ in range(2000):
        deep = box(b"moov", deep)
    (tmp_path / "deep.mp4").write_bytes(deep)
    assert not is_known(tmp_path / "deep.mp4", KINDS["a.mp4"])
