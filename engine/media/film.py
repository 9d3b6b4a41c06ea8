"""Films, by moments: one frame every few seconds, found by seeking, so that a long film takes little longer."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media.containers import facts_of, opened, words_of
from engine.media.contract import Frame, Media
from engine.media.limits import deadline, evenly, passed
from engine.media.pixels import check_pixels
from engine.types import Modality

_TIME_SHARE = 0.5
_WIDEST_PIXEL = 4.0  # width to height of one pixel, or the other way round
_DECODED_A_MOMENT = 600  # frames decoded on the way to one moment, where the stream can be entered nowhere nearer


def read_film(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """A film by its moments, upright, the shorter side of each about `at_least` pixels. position: milliseconds.

    Moments that cannot be decoded are left out. A container that holds sound alone is a sound. Raises MediaError.
    """
    with opened(path, settings) as container:
        facts, words = facts_of(container), words_of(container, "film")
        stream = next((stream for stream in container.streams.video if not _is_cover(stream)), None)
        if stream is None:
            if container.streams.audio:
                return Media(Modality.AUDIO, passages=words, facts=facts)
            raise MediaError("decode", "it holds no film", "check that the name's ending tells the truth")
        check_pixels((stream.codec_context.width, stream.codec_context.height), settings.max_pixels)
        stream.codec_context.thread_count = 1  # other files are decoded beside this one
        film = _Film(container, stream, settings, at_least)
        frames = film.moments(facts.duration_ms)
        if not frames:
            raise MediaError("decode", "none of its frames can be decoded", "copy it again from its source")
        frames[0] = replace(frames[0], position=0)  # the file's own picture
        return Media(Modality.VIDEO, tuple(frames), words, facts)


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


class _Film:
    """One stream of pictures, entered at any moment."""

    def __init__(self, container: InputContainer, stream: VideoStream, settings: MediaSettings, at_least: int) -> None:
        self.container, self.stream, self.settings, self.at_least = container, stream, settings, at_least
        self.start = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        self.until = deadline(settings.max_seconds, _TIME_SHARE)
        self.seen: set[int] = set()  # milliseconds

    def moments(self, duration_ms: int | None) -> list[Frame]:
        """The frames that could be decoded, in the order of the film."""
        frames: list[Frame] = []
        for seconds in self._wanted(duration_ms):
            if frames and passed(self.until):
                break
            frame = None
            with suppress(av.error.FFmpegError, ValueError, EOFError):
                frame = self._at(seconds)
            if frame is not None:
                frames.append(frame)
            elif duration_ms is None:
                break
        return sorted(frames, key=lambda frame: frame.position)

    def _wanted(self, duration_ms: int | None) -> Iterator[float]:
        """Seconds into the film. The whole of it is looked over coarsely first: time may be lacking for the rest."""
        step, most = self.settings.moment_seconds, self.settings.max_moments
        if duration_ms is None:
            return (number * step for number in range(most))
        count = max(1, math.ceil(duration_ms / 1000 / step))
        places = evenly(count, most)
        order = sorted(range(len(places)), key=lambda number: -(number & -number) if number else -len(places))
        return (places[number] * step for number in order)

    def _at(self, seconds: float) -> Frame | None:
        """The frame by which the stream can be entered at a moment; where that is kept already, the moment's own."""
        if seconds or self.seen:
            assert self.stream.time_base is not None
            self.container.seek(int((self.start + seconds) / self.stream.time_base), stream=self.stream)
        for number, frame in enumerate(self.container.decode(self.stream)):
            at = max(0.0, frame.time - self.start) if frame.time is not None else seconds
            position = round(at * 1000)
            if position not in self.seen and (number == 0 or at >= seconds):
                self.seen.add(position)
                return self._upright(frame, position)
            if number >= _DECODED_A_MOMENT or passed(self.until):
                break
        return None

    def _upright(self, frame: VideoFrame, position: int) -> Frame:
        check_pixels((frame.width, frame.height), self.settings.max_pixels)
        pixel = float(self.stream.sample_aspect_ratio or 1)
        pixel = pixel if 1 / _WIDEST_PIXEL <= pixel <= _WIDEST_PIXEL else 1.0
        width, height = max(1, round(frame.width * pixel)), frame.height
        scale = min(1.0, self.at_least / min(width, height))
        small = max(1, round(width * scale)), max(1, round(height * scale))
        image = Image.fromarray(frame.reformat(width=small[0], height=small[1], format="rgb24").to_ndarray())
        turn = round(frame.rotation / 90) % 4
        if turn:
            image = image.rotate(90 * turn, expand=True)
        return Frame(image, *((height, width) if turn % 2 else (width, height)), position=position)
