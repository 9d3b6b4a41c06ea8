"""Names and captions as people read them on a terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from engine.words import plain
from indexer.progress import Progress


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\x1b[2Jb.jpg", "a\\x1b[2Jb.jpg"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\x9b31m\udcff", "\\x9b31m\\udcff"),
        ("Größe \u5c71 👩\u200d🚀 C:\\a", "Größe \u5c71 👩\u200d🚀 C:\\a"),
    ],
)
def test_what_would_steer_a_terminal_is_escaped(name: str, said: str) -> None:
    assert plain(name) == said


@given(st.text())
def test_plain_text_is_one_line_and_stays_as_it_is(text: str) -> None:
    assert len(plain(text).splitlines()) <= 1
    assert plain(plain(text)) == plain(text)


def test_notes_are_plain_and_hold_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    progress = Progress()
    monkeypatch.setattr(progress, "_console", Console(file=out))
    progress.note("a [/b] folder \x1b]0;x\x07")
    assert out.getvalue() == "a [/b] folder \\x1b]0;x\\x07\n"
