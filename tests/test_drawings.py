"""Drawings: rasterised at a useful size, reaching no other file, and bombs refused."""

import base64
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media import Media, fonts, read_media
from engine.media.fonts import font_families
from tests.media_files import encoded, png, svg

LIMITS = MediaSettings()
RED, WHITE = (255, 0, 0), (255, 255, 255)
ALL = 'width="100" height="50"'


def read(tmp_path: Path, data: bytes, at_least: int = 100) -> Media:
    (tmp_path / "a.svg").write_bytes(data)
    return read_media(tmp_path / "a.svg", LIMITS, at_least)


def middle(media: Media) -> tuple[int, ...]:
    image = media.frames[0].image
    return tuple(np.asarray(image)[image.height // 2, image.width // 2])


def refusal(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(MediaError) as error:
        read(tmp_path, data)
    assert error.value.stage == "decode" and error.value.hint
    return error.value.reason


def test_a_drawing_is_drawn_on_white_at_twice_the_size_wanted(tmp_path: Path) -> None:
    media = read(tmp_path, svg('<title> A  red\nsquare </title><rect x="50" width="50" height="50" fill="red"/>'))
    (frame,) = media.frames
    assert frame.image.size == (frame.width, frame.height) == (200, 100) and frame.image.mode == "RGB"
    assert frame.image.getpixel((20, 50)) == WHITE and frame.image.getpixel((150, 50)) == RED
    assert media.facts.title == "A red square"


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ('width="1e9" height="1e9"', (200, 200)),
        ('width="100000000" height="1"', (200, 1)),
        ('viewBox="0 0 3 6"', (100, 200)),
        ('width="100%" height="100%" viewBox="0 0 30 30"', (200, 200)),
        ('width="2mm" height="1mm"', (200, 100)),
        ("", (200, 100)),
    ],
)
def test_the_size_is_ours_whatever_the_drawing_says(tmp_path: Path, attributes: str, size: tuple[int, int]) -> None:
    media = read(tmp_path, svg('<rect width="20" height="10" fill="red"/>', attributes))
    assert media.frames[0].image.size == size


@pytest.mark.parametrize("attributes", ['width="0" height="0"', 'width="-5" height="9"', 'viewBox="0 0 nan 1"'])
def test_a_drawing_without_a_size_is_refused_or_drawn(tmp_path: Path, attributes: str) -> None:
    try:
        media = read(tmp_path, svg('<rect width="20" height="10"/>', attributes))
    except MediaError as error:
        assert error.reason.startswith("damaged or incomplete: ")
    else:
        assert max(media.frames[0].image.size) <= 200


@pytest.mark.skipif(not font_families(), reason="no font is installed here")
@pytest.mark.parametrize("font", [None, "Arial", "sans-serif", "serif", "monospace", "cursive", "'Not here', fantasy"])
def test_words_are_drawn_in_a_font_that_is_there(tmp_path: Path, font: str | None) -> None:
    family = f' font-family="{font}"' if font else ""
    image = read(tmp_path, svg(f'<text x="10" y="35" font-size="30"{family}>Boats</text>')).frames[0].image
    assert np.asarray(image).min() < 100


def test_words_without_any_font_leave_the_rest_of_the_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_FOLDERS", (str(tmp_path),))
    (tmp_path / "damaged.ttf").write_bytes(b"\0\1\0\0")
    font_families.cache_clear()
    try:
        assert font_families() == {}
        assert middle(read(tmp_path, svg(f'<rect {ALL} fill="red"/><text y="9">Boats</text>'))) == RED
    finally:
        font_families.cache_clear()


# --- nothing outside is reached ---


@pytest.mark.parametrize("element", ["image {0}", 'use {0} fill="red"', "feImage {0}"])
@pytest.mark.parametrize("attribute", ["href", "xlink:href"])
@pytest.mark.parametrize("address", ["{}", "file://{}", "a.png", " {}", "{}#x", "./a.png", "http://127.0.0.1:{port}/a"])
def test_another_file_is_never_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, element: str, attribute: str, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (50, 50), RED).save(tmp_path / "a.png")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        reference = address.format(tmp_path / "a.png", port=server.getsockname()[1])
        part = element.format(f'{attribute}="{reference}" {ALL}')
        body = f"<{part}/>"
        if element.startswith("feImage"):
            body = f'<filter id="f">{body}</filter><rect {ALL} fill="white" filter="url(#f)"/>'
        assert middle(read(tmp_path, svg(body))) == WHITE
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_drawing_within_a_drawing_loads_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), RED).save(tmp_path / "a.png")
    inner = svg(f'<image href="{tmp_path / "a.png"}" {ALL}/>')
    address = "data:image/svg+xml;base64," + base64.b64encode(inner).decode()
    assert middle(read(tmp_path, svg(f'<image href="{address}" {ALL}/>'))) == WHITE


def test_a_picture_inside_the_drawing_is_drawn(tmp_path: Path) -> None:
    data = base64.b64encode(encoded(Image.new("RGB", (50, 50), RED), "PNG")).decode()
    assert middle(read(tmp_path, svg(f'<image href="data:image/png;base64,{data}" {ALL}/>'))) == RED


def test_a_picture_bomb_inside_the_drawing_is_left_out(tmp_path: Path) -> None:
    data = base64.b64encode(png(40_000, 40_000)).decode()
    assert middle(read(tmp_path, svg(f'<image href="data:image/png;base64,{data}" {ALL}/>'))) == WHITE


# --- bombs ---


def billion_laughs() -> bytes:
    entities = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    return f'<!DOCTYPE svg [<!ENTITY a0 "ha">{entities}]>'.encode() + svg("<text>&a9;</text>")


def uses(levels: int) -> bytes:
    groups = "".join(f'<g id="a{n + 1}">' + f'<use href="#a{n}"/>' * 10 + "</g>" for n in range(levels))
    return svg(f'<defs><rect id="a0" width="9" height="9"/>{groups}</defs><use xlink:href="#a{levels}"/>')


def patterns(levels: int) -> bytes:
    shapes = [
        f'<pattern id="p{n + 1}" width="9" height="9">' + f'<rect {ALL} style="fill: url(#p{n})"/>' * 10 + "</pattern>"
        for n in range(levels)
    ]
    return svg(f'<defs>{"".join(shapes)}</defs><rect {ALL} fill="url(#p{levels})"/>')


def chain(length: int) -> bytes:
    """Each element of it shallow, all of them together deep."""
    return svg("".join(f'<g id="c{n + 1}"><use href="#c{n}"/></g>' for n in range(length)))


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "entities": (billion_laughs, "declares XML entities"),
    "outer entity": (
        lambda: b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + svg("<text>&x;</text>"),
        "declares XML entities",
    ),
    "depth": (lambda: svg("<g>" * 5000 + "</g>" * 5000), "nested more than 100 deep"),
    "chain of uses": (lambda: chain(3000), "nested more than 100 deep"),
    "uses": (lambda: uses(8), "draws more than 250,000 elements"),
    "patterns": (lambda: patterns(8), "draws more than 250,000 elements"),
    "cut": (lambda: svg("<g>")[:-8], "damaged or incomplete"),
    "words": (lambda: b"words", "damaged or incomplete"),
    "a page": (lambda: b"<html><body/></html>", "its first element is <html>"),
    "encoding": (lambda: b'<?xml version="1.0" encoding="rebus"?><svg/>', "damaged or incomplete"),
}


@pytest.mark.parametrize(("make", "reason"), BOMBS.values(), ids=BOMBS.keys())
def test_bombs_are_refused_with_their_reason(tmp_path: Path, make: Callable[[], bytes], reason: str) -> None:
    assert reason in refusal(tmp_path, make())


def test_what_refers_to_itself_is_drawn_without_end(tmp_path: Path) -> None:
    body = '<g id="a"><use href="#a"/><use href="#b"/></g><g id="b"><use href="#a"/></g>'
    assert middle(read(tmp_path, svg(f'{body}<rect {ALL} fill="red"/>'))) == RED


def test_the_deepest_drawing_allowed_can_be_drawn(tmp_path: Path) -> None:
    deep = "<g>" * 97 + f'<rect {ALL} fill="red"/>' + "</g>" * 97
    assert middle(read(tmp_path, svg(deep))) == RED


def test_a_filter_without_measure_is_capped(tmp_path: Path) -> None:
    effects = '<feTurbulence baseFrequency="0.01" numOctaves="1000000"/><feMorphology radius="100000"/>'
    body = f'<filter id="f">{effects}</filter><rect {ALL} filter="url(#f)"/>'
    assert read(tmp_path, svg(body)).frames
