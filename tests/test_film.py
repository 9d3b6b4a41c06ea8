"""Films by their moments and sounds by their facts; playlists open nothing."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media import Media, modality_of, read_media
from engine.types import Modality
from tests.media_files import encoded, film, sound

LIMITS = MediaSettings(moment_seconds=1.0)
FILMS = {  # ending -> (codec, FFmpeg's format, frames a second)
    ".mp4": ("libx264", None, 10),
    ".mov": ("mpeg4", None, 10),
    ".m4v": ("mpeg4", "mp4", 10),
    ".3gp": ("mpeg4", "3gp", 10),
    ".mkv": ("mpeg4", None, 10),
    ".webm": ("libvpx", None, 10),
    ".avi": ("mpeg4", None, 10),
    ".wmv": ("wmv2", "asf", 10),
    ".mpg": ("mpeg2video", "mpeg", 25),
    ".m2ts": ("mpeg2video", "mpegts", 25),
}
SOUNDS = {
    ".mp3": ("libmp3lame", None),
    ".wav": ("pcm_s16le", None),
    ".flac": ("flac", None),
    ".ogg": ("flac", "ogg"),
    ".opus": ("libopus", None),
    ".m4a": ("aac", "ipod"),
    ".aac": ("aac", "adts"),
    ".wma": ("pcm_s16le", "asf"),
    ".aiff": ("pcm_s16be", None),
}


def read(path: Path, limits: MediaSettings = LIMITS, at_least: int = 48) -> Media:
    return read_media(path, limits, at_least)


def refusal(path: Path, data: bytes | None = None, limits: MediaSettings = LIMITS) -> str:
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(MediaError) as error:
        read(path, limits)
    assert error.value.hint and "0x" not in error.value.reason
    return error.value.reason


def reds(media: Media) -> list[float]:
    return [float(np.asarray(frame.image)[30:, 40:, 0].mean()) for frame in media.frames]


# --- films ---


@pytest.mark.parametrize("ending", FILMS)
def test_a_film_is_its_moments(tmp_path: Path, ending: str) -> None:
    codec, form, rate = FILMS[ending]
    media = read(film(tmp_path / f"a{ending}", 6, codec, form, rate=rate))
    assert media.modality is modality_of(f"a{ending.upper()}") is Modality.VIDEO
    positions = [frame.position for frame in media.frames]
    assert positions[0] == 0 and positions == sorted(set(positions)) and 4 <= len(positions) <= 7
    assert positions[-1] >= 4000 and max(np.diff(positions)) <= 2100
    # The picture is that of its time: its red grows by 250 in 6 seconds.
    assert reds(media) == pytest.approx([position / 6000 * 250 for position in positions], abs=25)
    assert media.facts.duration_ms == pytest.approx(6000, abs=250)
    assert {(frame.image.size, frame.width, frame.height) for frame in media.frames} == {((72, 48), 96, 64)}


def test_moments_of_a_long_film_are_evenly_spaced(tmp_path: Path) -> None:
    media = read(film(tmp_path / "a.mp4", 40), MediaSettings(moment_seconds=1.0, max_moments=5))
    positions = [frame.position for frame in media.frames]
    assert len(positions) == 5 and positions[-1] > 30_000
    assert max(np.diff(positions)) - min(np.diff(positions)) <= 1500


def test_moments_between_the_places_where_a_film_can_be_entered(tmp_path: Path) -> None:
    media = read(film(tmp_path / "a.mp4", 6, gop=600))
    assert [frame.position for frame in media.frames] == [0, 1000, 2000, 3000, 4000, 5000]


def test_a_short_film_is_one_moment(tmp_path: Path) -> None:
    media = read(film(tmp_path / "a.mp4", 0.1), MediaSettings())
    assert [frame.position for frame in media.frames] == [0]


@pytest.mark.parametrize(("rotation", "corner"), [(90, (0, 1)), (-90, (1, 0)), (180, (1, 1)), (0, (0, 0))])
def test_a_film_is_upright(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    """Rotated by its metadata, counter-clockwise: the white square moves from the upper left corner."""
    frame = read(film(tmp_path / "a.mp4", 1, rotation=rotation)).frames[0]
    assert (frame.width, frame.height) == ((64, 96) if rotation % 180 else (96, 64))
    pixels = np.asarray(frame.image)
    assert pixels[-3 if corner[1] else 3, -3 if corner[0] else 3].min() > 200
    assert frame.image.size == ((48, 72) if rotation % 180 else (72, 48))


def test_pixels_that_are_not_square_are_widened(tmp_path: Path) -> None:
    frame = read(film(tmp_path / "a.mp4", 1, pixel=Fraction(2))).frames[0]
    assert (frame.width, frame.height) == (192, 64)


def test_what_a_film_says_of_itself(tmp_path: Path) -> None:
    metadata = {
        "title": "A  boat", "artist": "Somebody", "comment": "seen from the pier",
        "creation_time": "2021-05-04T12:34:56Z", "location": "+48.8500+002.3500/",
    }  # fmt: skip
    media = read(film(tmp_path / "a.mp4", 1, metadata=metadata))
    assert [(passage.text, passage.source) for passage in media.passages] == [
        ("A boat, Somebody", "film"),
        ("seen from the pier", "film"),
    ]
    facts = media.facts
    assert (facts.title, facts.taken_at, facts.latitude, facts.longitude) == ("A boat", 1620131696.0, 48.85, 2.35)


def test_a_container_without_a_film_is_a_sound(tmp_path: Path) -> None:
    media = read(sound(tmp_path / "a.mp4", "aac"))
    assert media.modality is Modality.AUDIO and not media.frames and media.facts.duration_ms


def test_a_cut_film_keeps_what_can_be_decoded(tmp_path: Path) -> None:
    data = film(tmp_path / "whole.mkv", 10).read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    media = read(tmp_path / "a.mkv")
    assert media.frames[0].position == 0 and 2 <= len(media.frames) < 8


def test_a_film_with_damage_in_the_middle_is_read(tmp_path: Path) -> None:
    data = bytearray(film(tmp_path / "whole.avi", 10).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    (tmp_path / "a.avi").write_bytes(data)
    assert len(read(tmp_path / "a.avi").frames) >= 4


def test_pixels_are_counted_before_a_film_is_decoded(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 1)
    assert "96 x 64" in refusal(path, limits=MediaSettings(max_pixels=6000))
    assert "over the limit of 100" in refusal(path, limits=MediaSettings(max_film_bytes=100))
    assert read(path, MediaSettings(max_bytes=100)).frames


# --- sounds ---


@pytest.mark.parametrize("ending", SOUNDS)
def test_a_sound_has_a_duration_and_its_words(tmp_path: Path, ending: str) -> None:
    metadata = {"title": "A song", "artist": "Somebody"}
    media = read(sound(tmp_path / f"a{ending}", *SOUNDS[ending], metadata=metadata))
    assert media.modality is modality_of(f"a{ending}") is Modality.AUDIO and not media.frames
    assert media.facts.duration_ms == pytest.approx(2000, abs=100)
    if ending != ".aac":  # a bare stream
        assert media.facts.title == "A song"
        assert media.passages[0].text.startswith("A song") and media.passages[0].source == "sound"


def test_damaged_sounds_are_refused(tmp_path: Path) -> None:
    assert "known format" in refusal(tmp_path / "a.mp3", bytes(10_000))
    assert refusal(tmp_path / "b.mp3", b"ID3" + bytes(10_000)).startswith("damaged or incomplete: ")
    data = sound(tmp_path / "whole.flac", "flac").read_bytes()
    assert refusal(tmp_path / "a.flac", data[:30]).startswith("damaged or incomplete: ")


# --- nothing else is opened ---


def playlists(target: Path) -> dict[str, bytes]:
    """Lists that FFmpeg would follow to another file."""
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n".encode(),
        "concat": f"ffconcat version 1.0\nfile '{target}'\n".encode(),
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="x" type="static">'
            f'<Period><AdaptationSet mimeType="video/mp4"><Representation id="0"><BaseURL>{target}</BaseURL>'
            "</Representation></AdaptationSet></Period></MPD>"
        ).encode(),
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "asx": f"[Reference]\r\nRef1=file://{target}\r\n".encode(),
    }


@pytest.mark.parametrize("kind", playlists(Path("/")))
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mpg", ".mp3", ".wma"])
def test_a_playlist_opens_nothing(tmp_path: Path, kind: str, ending: str) -> None:
    target = film(tmp_path / "target.mkv", 1)
    assert "not a film or sound in a known format" in refusal(tmp_path / f"a{ending}", playlists(target)[kind])


@pytest.mark.parametrize("ending", [".mp4", ".avi", ".mp3"])
@pytest.mark.parametrize("kind", ["GIF", "PNG", "JPEG"])
def test_a_picture_is_no_film(tmp_path: Path, ending: str, kind: str) -> None:
    data = encoded(Image.new("RGB", (64, 64), "red"), kind)
    reason = refusal(tmp_path / f"a{ending}", data)
    assert "known format" in reason or reason.startswith("damaged or incomplete")
